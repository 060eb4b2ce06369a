package view

import (
	"iter"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// rank orders what is the worst; the higher the worse.
type rank int8

const (
	caughtUp rank = iota
	noCommit
	lags
	warn
	rewind
	stall
	stop
	unseen
)

// words of one look, and of a monitor.
var oneLookWords = map[rank]string{caughtUp: "OK", noCommit: "NO COMMIT", lags: "LAGS", unseen: "UNSEEN"}

func oneLook(r rank) string {
	if word, ok := oneLookWords[r]; ok {
		return word
	}
	return "LAGS"
}

// rankOf says how a partition does. One look knows no more than whether there is something to read.
func (f Filter) rankOf(p *monitor.Partition) rank {
	switch {
	case p.Err != nil && (f.OneLook || p.Lag < 0):
		return unseen
	case !f.OneLook && p.Status == monitor.Stop:
		return stop
	case !f.OneLook && p.Status == monitor.Stall:
		return stall
	case !f.OneLook && p.Status == monitor.Rewind:
		return rewind
	case !f.OneLook && p.Status == monitor.Warn:
		return warn
	case waits(p):
		return noCommit
	case p.Commit < p.Readable && p.Lag > 0:
		return lags
	default:
		return caughtUp
	}
}

// waits tells whether a partition without a commit has records, or may have some: nobody knows what the group has read.
func waits(p *monitor.Partition) bool { return p.Commit < 0 && (p.End < 0 || p.End != p.Start) }

// partitions are those of a group, and what else its topics have: a partition that came while the group was down has neither a commit nor a
// member, and may be full of records.
func (f Filter) partitions(s *monitor.Snapshot, g *monitor.Group) iter.Seq[*monitor.Partition] {
	return func(yield func(*monitor.Partition) bool) {
		for from := 0; from < len(g.Partitions); {
			name := g.Partitions[from].Topic
			to := from
			for to < len(g.Partitions) && g.Partitions[to].Topic == name {
				to++
			}
			if f.topic(name) && !ofTopic(s, g.Partitions[from:to], yield) {
				return
			}
			from = to
		}
	}
}

// ofTopic are the partitions of one topic, in the order of their number, of which a group has some.
func ofTopic(s *monitor.Snapshot, some []monitor.Partition, yield func(*monitor.Partition) bool) bool {
	var logs []monitor.Log
	if t, ok := s.Topic(some[0].Topic); ok {
		logs = t.Partitions
	}
	for i := range some {
		p := &some[i]
		for ; len(logs) > 0 && logs[0].Partition <= p.Partition; logs = logs[1:] {
			if logs[0].Partition < p.Partition && !yield(without(p.Topic, &logs[0])) {
				return false
			}
		}
		if !yield(p) {
			return false
		}
	}
	for i := range logs {
		if !yield(without(some[0].Topic, &logs[i])) {
			return false
		}
	}
	return true
}

// without is a partition without a commit or a member.
func without(topic string, l *monitor.Log) *monitor.Partition {
	return &monitor.Partition{
		Topic: topic, Partition: l.Partition, Owner: -1, Commit: -1, Start: l.Start, Stable: l.Stable, End: l.End, Lag: -1, Readable: -1,
		Drain: -1, Err: l.Err,
	}
}

// rows are a group's topics, in the order of their names.
func (f Filter) rows(s *monitor.Snapshot, g *monitor.Group) []Row {
	out := []Row{}
	var worst monitor.Status
	for p := range f.partitions(s, g) {
		if n := len(out); n == 0 || out[n-1].Topic != p.Topic {
			out = append(out, Row{Topic: p.Topic})
			worst = monitor.Unknown
		}
		row := &out[len(out)-1]
		worst = worst.Worse(p.Status)
		row.add(p, f.rankOf(p))
		if f.OneLook {
			row.Drain = nil
		}
		if row.Status = worst.String(); f.OneLook {
			row.Status = oneLook(row.order)
		}
		if f.Partitions {
			row.Partitions = append(row.Partitions, f.partition(g, p))
		}
	}
	return out
}

// add adds a partition to a topic's row.
func (r *Row) add(p *monitor.Partition, order rank) {
	r.order = max(r.order, order)
	if p.Lag >= 0 {
		if r.Lag == nil {
			r.Lag = new(int64)
		}
		*r.Lag += p.Lag
	}
	if p.Commit < 0 {
		r.Uncommitted++
	}
	if waits(p) {
		r.uncommitted++
	}
	if p.Lag > 0 && !p.TimeLag.Known {
		r.undated++
	}
	r.TimeLag = worse(r.TimeLag, timeLag(p.TimeLag))
	if d := seconds(p.Drain); d != nil && (r.Drain == nil || *d > *r.Drain) {
		r.Drain = d
	}
	r.Gone += p.Gone
	r.Lost += p.Lost
	if _, share, ok := p.Margin(); ok && (r.RetentionUsed == nil || share > *r.RetentionUsed) {
		r.RetentionUsed = &share
	}
	if r.Error == "" {
		r.Error = text(p.Err)
	}
}

// worse is the time lag of two partitions.
func worse(a, b *TimeLag) *TimeLag {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case b.Seconds > a.Seconds:
		a, b = b, a
	}
	return &TimeLag{a.Seconds, a.Within, a.AtLeast || b.AtLeast}
}

func (f Filter) partition(g *monitor.Group, p *monitor.Partition) Partition {
	out := Partition{
		Partition: p.Partition, Status: p.Status.String(), Commit: offset(p.Commit), Start: offset(p.Start), Stable: offset(p.Stable),
		End: offset(p.End), Lag: offset(p.Lag), TimeLag: timeLag(p.TimeLag), Gone: p.Gone, Lost: p.Lost, Watched: p.Watched,
		Error: text(p.Err),
	}
	if _, share, ok := p.Margin(); ok {
		out.RetentionUsed = &share
	}
	if f.OneLook {
		out.Status, out.Watched = oneLook(f.rankOf(p)), 0
	} else {
		out.Drain, out.Stands = seconds(p.Drain), seconds(p.Stands)
	}
	if p.Owner >= 0 && p.Owner < len(g.Members) {
		m := &g.Members[p.Owner]
		out.Member = &Member{m.ID, m.InstanceID, m.ClientID, m.Host}
	}
	return out
}

func worstRow(rows []Row) (worst rank) {
	for i := range rows {
		worst = max(worst, rows[i].order)
	}
	return worst
}

func offset(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// precise tells whether a time lag is known to about a second.
func precise(l monitor.TimeLag) bool { return l.Known && !l.AtLeast && l.Within <= time.Second }
