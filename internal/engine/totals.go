package engine

import (
	"time"
)

// Totals are counters since the engine began, and of the engines that it comes after. They only grow.
type Totals struct {
	Topics        map[string]*TopicTotals
	Rebalances    [rebalances]int64
	RebalanceTime [rebalances]Distribution // see Rebalance
	Commits       Distribution             // those that were acknowledged
	CommitTime    time.Duration            // of all of them
	CommitsFailed int64
	LastCommit    time.Time // zero: none yet
	Outages       int64
	Reclaims      int64

	gone Stats // of topics that are not told of any more
}

// TopicTotals are those of one topic.
type TopicTotals struct {
	Outcomes

	Polled, PolledBytes     int64
	Restored                int64
	Retried                 int64 // calls for a record that had failed before
	Stuck                   int64
	DataLosses, LostRecords int64
	Failed                  [failureClasses]int64
	Handling                Distribution // of a record; of a batch on a route that handles batches
}

// Outcomes are what became of records. Those of a transaction count when it is committed: an abort undoes them.
type Outcomes struct {
	Finished, Skipped, Delayed, DeadLettered, Dropped int64
}

func (o *Outcomes) add(more Outcomes) {
	o.Finished += more.Finished
	o.Skipped += more.Skipped
	o.Delayed += more.Delayed
	o.DeadLettered += more.DeadLettered
	o.Dropped += more.Dropped
}

// countOutcomes says where the outcomes of an assignment count.
func (e *Engine) countOutcomes(a *assignment) {
	a.totals = e.topicTotals(a.topic)
	if a.outcomes = &a.totals.Outcomes; e.transacts() && !e.still {
		a.outcomes = new(Outcomes)
	}
}

// settleOutcomes counts those of a transaction that was committed.
func (a *assignment) settleOutcomes() {
	if a.outcomes != &a.totals.Outcomes {
		a.totals.add(*a.outcomes)
		*a.outcomes = Outcomes{}
	}
}

// called counts the calls of a run that is over, also of one that outlived its assignment.
func (t *TopicTotals) called(r *run, took time.Duration) {
	usual := r.a.perRecord
	if r.walk { // all of them are slow, or may be
		usual = took
	}
	t.Retried += int64(r.retried)
	t.Handling.spread(took, usual, r.calls)
}

// FailureClass is a kind of failure.
type FailureClass int

// The classes of failures.
const (
	FailedError FailureClass = iota // any error that is retried
	FailedTimeout
	FailedOutage
	FailedPoison
	FailedPanic
	FailedDecode
	FailedWrite // brokers refused what was written for the record, in a transaction
	failureClasses
)

// FailureClasses are the names of the classes.
var FailureClasses = [failureClasses]string{"error", timeoutClass, "outage", poisonClass, "panic", "decode", "write"}

// timeoutClass is the class of a call that ran out of its time.
const timeoutClass = "timeout"

func failureClass(out Outcome) FailureClass {
	switch {
	case out.Kind == Outage:
		return FailedOutage
	case out.class() == timeoutClass:
		return FailedTimeout
	case out.Kind != Poison:
		return FailedError
	case out.class() == FailureClasses[FailedPanic]:
		return FailedPanic
	case out.class() == FailureClasses[FailedDecode]:
		return FailedDecode
	}
	return FailedPoison
}

// Rebalance is why partitions came or went.
type Rebalance int

// The reasons. Those that came took until all of them knew where they begin; those that were asked back took the drain and its commit.
// The others take no time.
const (
	CameIn   Rebalance = iota // the group gave them to us
	AskedFor                  // the group asked for them back
	TakenOff                  // the group gave them to somebody else without asking
	Expelled                  // the group had taken us for dead: they begin anew
	rebalances
)

// Rebalances are the names of the reasons.
var Rebalances = [rebalances]string{"assigned", "revoked", "lost", "expelled"}

func (t *TopicTotals) failed() (n int64) {
	for _, f := range t.Failed {
		n += f
	}
	return n
}

// topicTotals are the totals of a topic, made where there are none. Under mu, as all below.
func (e *Engine) topicTotals(topic string) *TopicTotals {
	t := e.totals.Topics[topic]
	if t == nil {
		t = new(TopicTotals)
		e.totals.Topics[topic] = t
	}
	return t
}

// forgetTotals stops telling of topics that no route names and that we have no partition of, as a pattern may match ever new ones.
func (e *Engine) forgetTotals() {
	ours := make(map[string]struct{})
	for p := range e.parts {
		ours[p.topic] = struct{}{}
	}
	for topic, t := range e.totals.Topics {
		if _, has := ours[topic]; e.routes[topic] == nil && !has {
			e.totals.gone.add(t)
			delete(e.totals.Topics, topic)
		}
	}
}

// Totals returns the counters as they stand.
func (e *Engine) Totals() Totals {
	e.mu.Lock()
	defer e.unlock()
	t := e.totals
	t.Topics = make(map[string]*TopicTotals, len(e.totals.Topics))
	for topic, of := range e.totals.Topics {
		c := *of
		c.Handling = of.Handling.clone()
		t.Topics[topic] = &c
	}
	t.Commits = t.Commits.clone()
	for i := range t.RebalanceTime {
		t.RebalanceTime[i] = t.RebalanceTime[i].clone()
	}
	return t
}

// Stats is sluice.Stats.
type Stats struct {
	Polled, Finished, Restored, Failed, Delayed, DeadLettered, Dropped, Skipped int64
	Commits, CommitsFailed, Rebalances, DataLosses, Reclaims                    int64
	CommitTime                                                                  time.Duration
	Outages, Stuck                                                              int64
	BufferedBytes, Buffered                                                     int64
}

func (s *Stats) add(t *TopicTotals) {
	s.Polled += t.Polled
	s.Finished += t.Finished
	s.Restored += t.Restored
	s.Failed += t.failed()
	s.Delayed += t.Delayed
	s.DeadLettered += t.DeadLettered
	s.Dropped += t.Dropped
	s.Skipped += t.Skipped
	s.DataLosses += t.DataLosses
	s.Stuck += t.Stuck
}

// Stats returns the sums of the counters as they stand.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.unlock()
	t := &e.totals
	s := t.gone
	for _, of := range t.Topics {
		s.add(of)
	}
	for _, n := range t.Rebalances {
		s.Rebalances += n
	}
	s.Commits, s.CommitTime, s.CommitsFailed = t.Commits.Count, t.CommitTime, t.CommitsFailed
	s.Outages, s.Reclaims = t.Outages, t.Reclaims
	s.BufferedBytes, s.Buffered = e.heldBytes, int64(e.heldRecords)
	return s
}
