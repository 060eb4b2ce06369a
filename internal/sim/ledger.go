package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice"
)

// record is one record, from before it is produced.
type record struct {
	recordPlan
	id       int
	offset   int64 // -1 until somebody knows it
	produced time.Time
	calls    int
	failures int       // that its kind counts
	faults   int       // calls whose failure is its own
	blamed   time.Time // when an outage that was not named failed it first
	finished []finish
	last     *tenure   // that handled it last
	given    []*tenure // that gave it to OnFailure, or to a retry topic
	gaveUp   time.Time // when the first of them did
	dead     bool      // its dead letter reached the brokers
	gone     bool      // cut off by retention
	passed   bool      // by a seek
	undone   int       // of finished: those before a seek that has them all done again, or may have
	lapsed   time.Time // when that seek began
	was      bool      // over before it; until it is known that it holds
	settled  bool      // by a transaction that is committed

	copies []*record // in the next retry topic
	of     *record   // that it is a copy of; nil when it is none
	level  int       // how many delays it has seen
	due    time.Time // of a copy
}

// finish is one time that a record was finished.
type finish struct {
	tenure *tenure
	at     time.Time
	copied bool // as a copy of it went on to a retry topic
}

func (r *record) String() string {
	if r.of != nil {
		return fmt.Sprintf("offset %d of partition %d, a copy of %v", r.offset, r.partition, r.of)
	}
	return fmt.Sprintf("offset %d of partition %d (%v)", r.offset, r.partition, r.kind)
}

// poisonous tells whether no handler can make anything of the record.
func (r *record) poisonous() bool {
	return r.kind == poison || r.kind == panics || r.kind == undecodable
}

// over tells whether nothing needs to be done about the record any more.
func (r *record) over() bool {
	return len(r.stand()) > 0 || r.dead || r.gone || r.passed || r.was || r.settled
}

// stand is how often it was finished, less what a seek has undone.
func (r *record) stand() []finish { return r.finished[r.undone:] }

func (r *record) finishedBy(t *tenure) bool {
	return slices.ContainsFunc(r.finished, func(f finish) bool { return f.tenure == t })
}

// givenBy tells whether a process may have given up on the record.
func (r *record) givenBy(p *process) bool {
	return slices.ContainsFunc(r.given, func(t *tenure) bool { return t.process == p })
}

// finishedFor tells whether the process may commit past the record: it finished it, or another did, and told so in a commit.
func (r *record) finishedFor(p *process) bool {
	return slices.ContainsFunc(r.stand(), func(f finish) bool {
		return f.tenure.process == p || !f.at.After(f.tenure.sent)
	})
}

// laneName names a lane of the topic, whoever has it.
type laneName struct {
	partition int32
	key       string
	id        int // of a record that is its own lane; else -1
}

func (s *scenario) lane(r *record) laneName {
	switch {
	case s.ordering == sluice.ByPartition:
		return laneName{r.partition, "", -1}
	case s.ordering == sluice.ByKey && r.key != "":
		return laneName{r.partition, r.key, -1}
	default:
		return laneName{r.partition, "", r.id}
	}
}

// ledger is what the oracle knows of records and calls. It is guarded by world.mu.
type ledger struct {
	records []*record
	logs    [][]*record // by partition and offset; nil where there is no record
	lanes   map[laneName]*laneLog
	left    int // records that are not over
	copies  int // of records, those in retry topics
	calls   int
	answers int            // that readers of committed records see
	again   map[string]int // calls for records that were finished before, by what allowed them
}

// laneLog is the records of a lane, in order.
type laneLog struct {
	records []*record
	low     int // those below are over
	freed   time.Time

	answered int64 // the offset that was answered last
}

func newLedger(partitions int32) *ledger {
	return &ledger{logs: make([][]*record, partitions), lanes: make(map[laneName]*laneLog), again: make(map[string]int)}
}

// add takes in a record that is about to be produced.
func (l *ledger) add(s *scenario, plan recordPlan) *record {
	r := &record{recordPlan: plan, id: len(l.records), offset: -1, produced: time.Now()}
	l.records = append(l.records, r)
	l.left++
	name := s.lane(r)
	if l.lanes[name] == nil {
		l.lanes[name] = new(laneLog)
	}
	l.lanes[name].records = append(l.lanes[name].records, r)
	return r
}

// place notes a record's offset.
func (l *ledger) place(r *record, offset int64) {
	if r.offset >= 0 {
		return
	}
	r.offset = offset
	for int64(len(l.logs[r.partition])) <= offset {
		l.logs[r.partition] = append(l.logs[r.partition], nil)
	}
	l.logs[r.partition][offset] = r
}

// at is the record at an offset; nil when there is none, or nobody knows of it.
func (l *ledger) at(partition int32, offset int64) *record {
	if log := l.logs[partition]; offset < int64(len(log)) {
		return log[offset]
	}
	return nil
}

func (l *ledger) finish(r *record, t *tenure) {
	if !r.over() {
		l.left--
	}
	r.finished = append(r.finished, finish{tenure: t, at: time.Now()})
}

func (l *ledger) cut(r *record) {
	if !r.over() {
		l.left--
	}
	r.gone = true
}

func (l *ledger) buried(r *record) {
	if !r.over() {
		l.left--
	}
	r.dead = true
}

// unfinished is the lowest record of a range that the process has no right to commit past; nil when there is none.
func (l *ledger) unfinished(p *process, partition int32, from, to int64, drops bool) *record {
	log := l.logs[partition]
	for o := max(0, from); o < min(to, int64(len(log))); o++ {
		r := log[o]
		if r == nil || r.dead || r.gone || r.passed || r.was || (p != nil && r.finishedFor(p)) || (p == nil && r.over()) {
			continue
		}
		if drops && p != nil && r.givenBy(p) { // that it is dropped may be told a little later
			continue
		}
		return r
	}
	return nil
}

// before is an earlier record of the lane that the call would leave behind if it began with r; nil when there is none.
func (lane *laneLog) before(r *record, c *call) *record {
	for lane.low < len(lane.records) && lane.records[lane.low].over() {
		lane.low++
	}
	low := lane.low
	if s := c.t.seek; s != nil && s.done {
		low = 0
	}
	for _, o := range lane.records[low:] {
		if o.offset < 0 || o.offset >= r.offset || o.leaves(c.t) || slices.Contains(o.given, c.t) {
			continue
		}
		if c.p.w.scenario.transacts() && o.last != c.t { // committed before it, or that is found out when what came of it is audited
			continue
		}
		if c.p.w.scenario.commit.before && o.offset < c.t.atLeast { // committed, and lost with its process
			continue
		}
		if !slices.ContainsFunc(c.messages, func(m sluice.Message[*record]) bool { return m.Value == o }) {
			return o
		}
	}
	return nil
}

// leaves tells whether a tenure may leave an earlier record of a lane behind.
func (r *record) leaves(t *tenure) bool {
	switch s := t.seek; {
	case s != nil && r.offset < s.to:
		return true
	case s != nil && s.done: // all of it is done again, in order
		return r.finishedBy(t) || r.gone
	}
	return r.over() || t.began.Before(r.lapsed) // it does not know of the seek
}

// repeated says why a record that was finished before may be called for again; "" when it may not.
func (l *ledger) repeated(r *record, by *tenure) string {
	by.process.waited()
	if by.excuse != "" {
		return by.excuse // it does not know that it is not the owner any more
	}
	if r.offset < by.atLeast {
		return ""
	}
	if by.seek != nil && !r.finishedBy(by) {
		return sought
	}
	for _, f := range r.stand() {
		if f.tenure == by {
			return ""
		}
		if f.at.Before(f.tenure.recorded) && by.began.After(f.tenure.recorded) {
			return "" // that it is finished is in a commit that by began with, or a later one
		}
		if why := l.allowed(f.tenure); why == "" {
			return ""
		} else if len(r.stand()) == 1 {
			return why
		}
	}
	return "several"
}

// allowed says why the work of an earlier tenure may be done again.
func (l *ledger) allowed(t *tenure) string {
	t.process.waited()
	switch {
	case t.excuse != "":
		return t.excuse
	case t.ended.IsZero():
		return ""
	case t.lost():
		return "lost"
	case t.moved():
		return "moved"
	}
	return "" // it ended in a revoke or a stop, whose commit tells of all that it finished
}
