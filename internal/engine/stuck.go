package engine

import (
	"math"
	"time"
)

// Stuck is what becomes of a record that has failed for Route.StuckAfter.
type Stuck int

// StuckWarn tells it and tries on. StuckPark does not, as long as the assignment lasts.
const (
	StuckWarn Stuck = iota
	StuckPark
	StuckDeadLetter
	StuckHalt
)

// stuckClass is the class of a failure that is none of the record's own: it failed for as long as it may.
const stuckClass = "stuck"

// quits tells whether records that are stuck are tried no more.
func (r *Route) quits() bool { return r.StuckAfter > 0 && r.Stuck != StuckWarn }

// span is from when, exclusively, and until when a record has to have failed for its first time since the last outage to be stuck. The
// zero value holds nothing.
type span struct{ after, until time.Time }

func (s span) holds(at time.Time) bool { return at.After(s.after) && !at.After(s.until) }

// overdue is the span in which a record that is stuck now has failed for its first time. The clock stands still in an outage, and starts
// again with the first failure after it: what a record could do meanwhile nobody knows.
func (r *Route) overdue(now time.Time) span {
	if o := r.outage; o != nil {
		now = o.since
	}
	if r.StuckAfter == 0 {
		return span{}
	}
	return span{after: r.recovered, until: now.Add(-r.StuckAfter)}
}

// spent tells whether a record has used up its attempts, with failures that it has not been told of, in an outage or not.
func (t *trouble) spent(a *assignment, more int) bool {
	most := a.maxAttempts()
	return most > 0 && max(t.attempts, t.failed+more) >= most
}

// failedFor is the class of a record that is given up because it failed.
func (t *trouble) failedFor(a *assignment) string {
	long := a.route.quits() && t.last.Sub(t.since) >= a.route.StuckAfter
	if a.maxAttempts() == 0 || long && !t.spent(a, 0) {
		return stuckClass
	}
	return usedUp
}

// stays tells whether giving a record up, for a class of failure, leaves it unfinished. It is handled again after a restart or a move,
// and so nothing behind it in its lane may be handled before.
func (a *assignment) stays(class string) bool {
	rt := a.route
	switch {
	case class == stuckClass && (rt.Stuck == StuckPark || rt.Stuck == StuckHalt):
		return true
	case class == usedUp && a.work.Delays < len(rt.Delays):
		return false
	}
	return rt.OnFailure == Park || rt.OnFailure == Halt
}

// staysExhausted is stays for a record that has used up its attempts, with failures that it has not been told of, or its time.
func (it item) staysExhausted(a *assignment, more int) bool {
	if it.trouble.spent(a, more) {
		return a.stays(usedUp)
	}
	return a.stays(stuckClass)
}

// stuck tells that a record is stuck, once.
func (e *Engine) stuck(a *assignment, it *item) {
	t := it.trouble
	if t.stuck {
		return
	}
	t.stuck = true
	a.totals.Stuck++
	e.log.Warn("record is stuck: it has failed for long, while others succeed", "event", "record_stuck",
		"topic", a.topic, "partition", a.partition,
		"offset", it.record.Offset, "attempts", t.attempts, "since", t.first, "then", a.route.Stuck, "err", t.err)
	if f := e.cfg.Observer.Stuck; f != nil {
		info := StuckInfo{Record: it.record, Attempts: t.attempts, Since: t.first, Err: t.err}
		e.tell(func() { f(info) })
	}
}

// stuckText is what health says of a record that is stuck and stays.
func (t *trouble) stuckText(offset int64, more string) string {
	return "offset " + itoa(offset) + " is stuck: it has failed since " + t.first.UTC().Format(time.RFC3339) + more + ": " + t.err.Error()
}

// warnStuck tells that a record is stuck which is tried on.
func (e *Engine) warnStuck(a *assignment, it *item) {
	e.stuck(a, it)
	a.trouble(it.record.Offset, it.trouble.stuckText(it.record.Offset, ""))
}

// setAside keeps a record, and its lane, from being tried again.
func (e *Engine) setAside(a *assignment, it *item) {
	t := it.trouble
	t.due = t.last.Add(math.MaxInt64)
	a.trouble(it.record.Offset, t.stuckText(it.record.Offset, ", and is not tried again before a restart or a move of its partition"))
}

func (s Stuck) String() string { return [...]string{"warn", "park", "dead letter", "halt"}[s] }
