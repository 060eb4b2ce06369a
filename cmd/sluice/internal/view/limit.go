package view

import (
	"fmt"
	"strconv"
	"time"
)

// Limit is how far a group may be behind, in records or in time. The zero value is no limit.
type Limit struct {
	given   bool
	records int64
	age     time.Duration // -1: the limit is in records
}

// ParseLimit reads a number of records, or a duration.
func ParseLimit(s string) (Limit, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return Limit{true, n, -1}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return Limit{true, 0, d}, nil
	}
	return Limit{}, fmt.Errorf("%q is neither a number of records nor a time as in 5m", s)
}

// Exceeded are the rows that are further behind than the limit allows, or of which that cannot be said.
func (l Limit) Exceeded(s Snapshot) (why []string) {
	if !l.given {
		return nil
	}
	if len(s.Groups) == 0 {
		return []string{"there is no such group"}
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		switch {
		case g.Error != "":
			why = append(why, fmt.Sprintf("group %s: %s", clean(g.Group), g.Error))
		case len(g.Topics) == 0 && g.reads():
			why = append(why, fmt.Sprintf("group %s: its lag is not known: it has no commit, and no member of it has a partition",
				clean(g.Group)))
		}
		for k := range g.Topics {
			r := &g.Topics[k]
			for _, text := range []string{l.exceededBy(r), l.unknown(r)} {
				if text != "" {
					why = append(why, fmt.Sprintf("group %s, topic %s: %s", clean(g.Group), clean(r.Topic), text))
				}
			}
		}
	}
	return why
}

// reads tells whether a group may read topics at all: those of workers (Kafka Connect) and registries do not.
func (g *Group) reads() bool { return g.ProtocolType == "" || g.ProtocolType == "consumer" }

// exceededBy says by what a row is known to be too far behind.
func (l Limit) exceededBy(r *Row) string {
	switch {
	case r.Lag == nil || *r.Lag == 0:
		return ""
	case l.age < 0 && *r.Lag > l.records:
		return fmt.Sprintf("the lag is %d, more than %d", *r.Lag, l.records)
	case l.age >= 0 && r.TimeLag != nil && r.TimeLag.Seconds > l.age.Seconds():
		return fmt.Sprintf("the time lag is %s, more than %v", r.TimeLag, l.age)
	default:
		return ""
	}
}

// unknown says what keeps a row that is not known to be too far behind from being known to be near enough.
func (l Limit) unknown(r *Row) string {
	switch {
	case r.Error != "":
		return "its lag is not known: " + r.Error
	case r.uncommitted > 0: // nobody knows what it has read
		return fmt.Sprintf("its lag is not known: %s and no commit", partitionsHave(r.uncommitted))
	case l.age < 0 || r.TimeLag != nil && r.TimeLag.Seconds > l.age.Seconds():
		return ""
	case r.undated > 0:
		return fmt.Sprintf("its time lag is not known: %s of an unknown age", partitionsHave(r.undated))
	case r.TimeLag != nil && r.TimeLag.AtLeast:
		return fmt.Sprintf("the time lag may be more than %v: the records were there when it was first looked for them", l.age)
	default:
		return ""
	}
}

func partitionsHave(n int) string {
	if n == 1 {
		return "1 of its partitions has records"
	}
	return fmt.Sprintf("%d of its partitions have records", n)
}
