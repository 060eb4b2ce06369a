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
		if g.Error != "" {
			why = append(why, fmt.Sprintf("group %s: %s", clean(g.Group), g.Error))
		}
		for k := range g.Topics {
			r := &g.Topics[k]
			if text := l.judge(r); text != "" {
				why = append(why, fmt.Sprintf("group %s, topic %s: %s", clean(g.Group), clean(r.Topic), text))
			}
		}
	}
	return why
}

func (l Limit) judge(r *Row) string {
	switch {
	case r.order == unseen:
		return "its lag is not known: " + r.Error
	case r.Lag == nil: // without a commit, nobody knows what it has read
		return "its lag is not known: it has no commit"
	case l.age < 0 && *r.Lag > l.records:
		return fmt.Sprintf("the lag is %d, more than %d", *r.Lag, l.records)
	case l.age < 0 || *r.Lag == 0:
		return ""
	case r.TimeLag == nil:
		return "its time lag is not known"
	case r.TimeLag.Seconds > l.age.Seconds():
		return fmt.Sprintf("the time lag is %s, more than %v", r.TimeLag, l.age)
	case r.TimeLag.AtLeast:
		return fmt.Sprintf("the time lag may be more than %v: the records were there when it was first looked for them", l.age)
	default:
		return ""
	}
}
