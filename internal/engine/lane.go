package engine

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lane is the ordered queue that records wait in. At most one run of a lane is under way.
type lane struct {
	a      *assignment
	key    string // of ByKey
	offset int64  // of a lane that is one record; else -1
	queue  fifo[item]
	busy   bool   // ready, running, parked, or waiting for something: whoever ends that makes it ready again
	ready  bool   // in its assignment's ready queue
	dying  int    // fenced routes: dead letters that must be acknowledged before the lane goes on
	after  uint64 // CommitEach: the finish that a commit has to cover before the lane goes on
	timer  *time.Timer
}

// item is a record in a lane.
type item struct {
	record  *kgo.Record
	trouble *trouble // nil until something went wrong
}

// trouble is the history of a record that did not succeed at once.
type trouble struct {
	attempts    int    // that count
	failed      int    // failures, those in outages among them
	begun       uint64 // the route's latest run when the record failed last, by itself; 0: it did not
	outages     int
	first, last time.Time
	since       time.Time // its first failure of its own after the last outage; zero: none
	err         error
	class       string
	due         time.Time // not before
	alone       bool      // in a batch of its own
	aloneIn     *outage   // likewise, as long as that lasts
	settled     bool      // on fenced routes: done with, its batch only has to step over it
	tried       *outage   // the last one that it failed in
	condemned   bool      // used up its attempts or its time, while others succeed: not called again
	refused     bool      // by brokers, with what was written for it: see blame
	delayed     bool      // its copy goes to a retry topic
	stuck       bool      // and that was told
	slow        bool      // its latest failure took long to come: see inNoTime
	again       bool      // while others succeed it is called once more, as that was slow
}

// laneRef names a lane across assignments.
type laneRef struct {
	part
	key    string
	offset int64
}

// ghost is a lane whose run outlived its assignment. The lane of the same name waits for it.
type ghost struct{ waiting *lane }

func (l *lane) ref() laneRef { return laneRef{part: l.a.part, key: l.key, offset: l.offset} }

// laneOf returns the lane that a record belongs in.
func (e *Engine) laneOf(a *assignment, r *kgo.Record) *lane {
	switch {
	case a.route.Ordering == ByPartition:
		return e.onlyLane(a)
	case a.route.Ordering == ByKey && r.Key != nil:
		l := a.keyed[string(r.Key)]
		if l == nil {
			l = e.newLane(a, string(r.Key), -1)
			a.keyed[l.key] = l
		}
		return l
	default:
		return e.newLane(a, "", r.Offset)
	}
}

// onlyLane is the lane of all records of an assignment that is handled in partition order; nil of another one.
func (e *Engine) onlyLane(a *assignment) *lane {
	if a.main == nil && a.route.Ordering == ByPartition {
		a.main = e.newLane(a, "", -1)
	}
	return a.main
}

// A lane lives from its first record to its last, which is short where records are handled as fast as they come. So lanes that were
// forgotten are used again, with the room of their queues: so many, of so many records, at the most.
const (
	maxSpareLanes = 4096
	maxSpareQueue = 64
)

func (e *Engine) newLane(a *assignment, key string, offset int64) *lane {
	n := len(e.spare)
	if n == 0 {
		return &lane{a: a, key: key, offset: offset}
	}
	l := e.spare[n-1]
	e.spare = e.spare[:n-1]
	l.a, l.key, l.offset = a, key, offset
	return l
}

// forget lets go of a lane that is empty. Nobody but its assignment knows it.
func (e *Engine) forget(l *lane) {
	if l == l.a.main {
		return
	}
	if l.a.keyed[l.key] == l {
		delete(l.a.keyed, l.key)
	}
	if queue := l.queue; len(e.spare) < maxSpareLanes && cap(queue.items) <= maxSpareQueue {
		*l = lane{queue: queue}
		e.spare = append(e.spare, l)
	}
}

// enqueue puts a record into its lane.
func (e *Engine) enqueue(a *assignment, it item) {
	l := e.laneOf(a, it.record)
	l.queue.push(it)
	e.grew(l, 1)
}

// grew has a lane run that records have joined.
func (e *Engine) grew(l *lane, records int) {
	a := l.a
	if !l.busy {
		e.makeReady(l)
	} else if a.route.HandleBatch != nil {
		e.batchGrew(a, l, records)
	}
	if a.route.CommitFirst && a.wantsGrant() {
		e.commitSoon()
	}
}

// makeReady lets a lane run, or forgets it when it has nothing to run. The lane is not running, parked or ready.
func (e *Engine) makeReady(l *lane) {
	a := l.a
	l.busy = false
	if !a.starts() {
		return
	}
	if l.queue.len() == 0 {
		e.forget(l)
		return
	}
	l.busy = true
	if len(e.ghosts) > 0 {
		if g := e.ghosts[l.ref()]; g != nil { // invariant 5: the old handler first
			g.waiting = l
			return
		}
	}
	if !a.mayHandle(l.queue.peek()[0]) {
		a.awaiting = append(a.awaiting, l)
		if a.wantsGrant() {
			e.commitSoon()
		}
		return
	}
	if due := l.queue.peek()[0].due(); !due.IsZero() {
		if wait := time.Until(due); wait > 0 {
			e.park(l, wait)
			return
		}
	}
	l.ready = true
	a.ready.push(l)
	if a.route.HandleBatch != nil {
		e.batchReady(a, l)
		return
	}
	e.list(a)
}

// mayHandle tells whether a record may be handled by now: where the commit comes first, once it is committed.
func (a *assignment) mayHandle(it item) bool {
	return !a.route.CommitFirst || it.record.Offset < a.granted
}

// park keeps a lane waiting without a worker.
func (e *Engine) park(l *lane, d time.Duration) {
	a := l.a
	a.parked[l] = struct{}{}
	if e.still {
		d = math.MaxInt64
	}
	l.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.unlock()
		if _, ok := a.parked[l]; ok {
			delete(a.parked, l)
			e.makeReady(l)
		}
	})
}

// list puts an assignment with ready lanes before the route's workers, and starts one if there is room.
func (e *Engine) list(a *assignment) {
	r := a.route
	if !a.listed {
		a.listed = true
		r.ready.push(a)
	}
	e.hire(r)
}

// hire starts a worker, if there is work for it and the route may have one more.
func (e *Engine) hire(r *Route) {
	if r.ready.len() > 0 && r.active < r.Workers && r.mayStart() {
		r.active++
		b := e.takeBadge(r)
		e.spawn(func() { e.workLoop(r, b) })
	}
}

func (it item) due() time.Time {
	if it.trouble == nil {
		return time.Time{}
	}
	return it.trouble.due
}

func (it item) attempts() int {
	if it.trouble == nil {
		return 0
	}
	return max(it.trouble.attempts, it.trouble.failed)
}

func (it item) settled() bool { return it.trouble != nil && it.trouble.settled }

// condemned tells whether a record is not called again: its policy decides.
func (it item) condemned() bool {
	t := it.trouble
	return t != nil && (t.condemned || t.refused && t.due.IsZero())
}

// alone tells whether a record has to be in a batch of its own.
func (it item) alone() bool {
	t := it.trouble
	return t != nil && (t.alone || t.aloneIn != nil && !t.aloneIn.over)
}

// batchReady counts a lane that became ready on a batch route, and lists the assignment when its batch is due.
func (e *Engine) batchReady(a *assignment, l *lane) {
	a.readyRecords += l.queue.len()
	head := l.queue.peek()[0]
	retried := head.trouble != nil && !head.record.Attrs.IsControl() // waited long enough
	e.batchDue(a, retried)
}

// batchGrew counts records that joined a lane which is ready.
func (e *Engine) batchGrew(a *assignment, l *lane, records int) {
	if l.ready {
		a.readyRecords += records
		e.batchDue(a, false)
	}
}

// batchDue lists an assignment whose batch is full, or has waited long enough, or need not wait.
func (e *Engine) batchDue(a *assignment, now bool) {
	r := a.route
	switch {
	case now || a.flush || r.MaxWait == 0 || a.readyRecords >= r.MaxSize || a.state == finishing:
		a.flush = true
		e.list(a)
	case a.batchTimer == nil:
		a.batchTimer = time.AfterFunc(r.MaxWait, func() {
			e.mu.Lock()
			defer e.unlock()
			a.batchTimer = nil
			if a.starts() && a.ready.len() > 0 {
				a.flush = true
				e.list(a)
			}
		})
	}
}
