package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/tracker"
)

// state is an assignment's place in the diagram of the package comment.
type state int

const (
	starting state = iota // its position is not known yet
	open
	finishing // takes nothing new; what it has committed first is handled still
	leaving   // takes nothing new, drains
	moving    // its position is about to change: takes nothing new
	halted
	closed
)

var stateNames = [...]string{"starting", "open", "leaving", "leaving", "reclaiming", "halted", "closed"}

func (s state) String() string { return stateNames[s] }

// assignment is one partition, from one assign to its end. All of it is guarded by Engine.mu, save what says otherwise.
type assignment struct {
	part
	epoch    uint64
	came     time.Time
	totals   *TopicTotals
	outcomes *Outcomes // see countOutcomes
	member   string    // our member id when it was opened: under another, the partition was somebody else's meanwhile
	route    *Route
	work     Work // not changed once the assignment is open; how many delays its records have seen is always known
	carries  bool // its commits say what is finished above the frontier
	state    state

	ctx    context.Context // of its handlers
	cancel context.CancelCauseFunc
	stop   atomic.Bool // start no further record: read by workers between records, without the lock

	tracker   *tracker.Tracker // nil while starting
	committed int64            // as the broker acknowledged it; -1 none
	metadata  string           // that it acknowledged with it
	changes   uint64           // of what was ahead then, by the tracker
	acked     bool             // a commit of this assignment was acknowledged
	unsure    bool             // another commit is under way, or nobody knows whether it arrived, or may still: see late.go
	begin     int64            // where it was opened
	logStart  int64
	logEnd    int64 // as of the last fetch; -1 unknown

	main   *lane            // of ByPartition
	keyed  map[string]*lane // of ByKey; only lanes with something in them
	ready  readyLanes
	listed bool // in the route's ready queue
	runs   []*run
	parked map[*lane]struct{}

	delayed    fifo[delayed] // of a retry topic: what is not due, in no lane yet
	delayTimer *time.Timer   // nil: nothing was delayed yet

	readyRecords int // on batch routes: in ready lanes
	flush        bool
	batchTimer   *time.Timer

	writing       int // dead letters that are being written
	settling      int // records that are in no lane any more and wait for theirs
	settlingBytes int64
	heldBytes     int64
	heldRecords   int
	marks         fifo[polledMark] // when records were polled that may have to be owned
	owned         int64            // below it, what waits in lanes owns its memory
	paused        bool             // by the engine: see resume
	held          bool             // by the user: see Pause
	streaming     bool             // on routes that stream: the handler has not returned
	streamer      string           // and its badge
	opened        func()           // called once, when it is open; may be nil
	seeking       bool             // its position is not in the log: takes nothing until a place to go on is found
	unproven      bool             // the client may not be where it was moved to: see arrived
	perRecord     time.Duration    // of the last run

	granted int64 // CommitFirst: records below it may be handled, as they are committed
	grant   int   // of them, those that are not finished
	asked   bool  // a commit of more is under way

	handed map[int64]handed // CommitManually: handled, and waiting for Finish

	fresh       int              // records finished and not yet accounted for
	finishes    uint64           // grows with every run that finished something
	awaiting    []*lane          // EachRecord: wait for a commit that covers them
	fetchFailed time.Time        // the last failed fetch
	problems    map[int64]string // why health is red, by the record that it is about
	lastError   string
	lastErrorAt time.Time
	ages        ages      // of what was handed over
	stamps      stamps    // when that was written
	backlog     bool      // the last hand-over left some of the log behind
	endSeen     time.Time // since when it is known that the log goes on behind what was polled; zero: it does not
	restsUntil  time.Time // of an aborted transaction: when the last of its retries is due
	still       stillness
}

// newAssignment makes and installs an assignment, in place of the one that may be there.
func (e *Engine) newAssignment(p part, route *Route) *assignment {
	if old := e.parts[p]; old != nil && old.member != e.member {
		e.close(old, ErrLost)
	} else if old != nil {
		e.close(old, ErrMoved)
	}
	e.epoch++
	now := time.Now()
	a := &assignment{
		part: p, epoch: e.epoch, came: now, member: e.member, route: route, carries: e.carries(route),
		work:      Work{Topic: p.topic, Partition: p.partition, Delays: route.RetryTopics[p.topic]},
		committed: -1, logEnd: -1, logStart: -1,
		keyed:  make(map[string]*lane),
		parked: make(map[*lane]struct{}),

		problems: make(map[int64]string),
	}
	if route.Stream != nil {
		a.opened = func() { e.openStream(a) }
	}
	if route.CommitManually {
		a.handed = make(map[int64]handed)
	}
	a.ctx, a.cancel = context.WithCancelCause(e.base)
	if e.stopping {
		a.state = leaving
		a.stop.Store(true)
	}
	e.countOutcomes(a)
	a.held = e.pauses.has(p)
	e.pauseChange = append(e.pauseChange, p) // what the client was told holds across assignments
	e.parts[p] = a
	e.watchForStall(a, now)
	info := AssignedInfo{Topic: p.topic, Partition: p.partition, Epoch: a.epoch}
	if f := e.cfg.Observer.Assigned; f != nil {
		e.tell(func() { f(info) })
	}
	return a
}

// start makes an assignment's position known.
func (a *assignment) start(pos position) {
	a.tracker = tracker.New(pos.next, pos.epoch)
	a.tracker.Restore(pos.ahead)
	a.committed, a.metadata = pos.committed, pos.metadata
	a.begin, a.granted = pos.next, pos.next
	delete(a.problems, claimProblem)
	a.work.Begin, a.work.Token, a.work.TopicID = pos.next, pos.token, pos.topicID
	if a.state == starting {
		a.state = open
		if a.opened != nil {
			a.opened()
		}
	}
}

// takes tells whether polled records are welcome.
func (a *assignment) takes() bool { return a.state == open && !a.seeking }

// works tells whether the outcome of a run still counts.
func (a *assignment) works() bool { return a.state != closed }

// starts tells whether records that wait may be handled.
func (a *assignment) starts() bool { return a.state == open || a.state == finishing }

// unfinished is where work that must not be lost begins: the frontier, or what was not committed first.
func (a *assignment) unfinished() int64 {
	if a.route.CommitFirst {
		return a.granted
	}
	f, _ := a.frontier()
	return f
}

// frontier is the only offset that may be committed; -1 when the position is not known.
func (a *assignment) frontier() (int64, int32) {
	if a.tracker == nil {
		return -1, -1
	}
	return a.tracker.Frontier()
}

// moved tells whether there is another offset to commit.
func (a *assignment) moved() bool {
	s := a.snapshot()
	return a.works() && s.offset >= 0 && (s.offset != a.committed || a.unsure)
}

// dirty tells whether there is something to commit: another offset, or more above it. Only the broker's answer to a commit of that
// very pair makes it clean.
func (a *assignment) dirty() bool {
	return a.moved() || a.works() && a.carries && a.tracker != nil && a.tracker.Changes() != a.changes
}

// idle tells whether a drain is over.
func (a *assignment) idle() bool {
	if a.state == finishing && (a.asked || a.grant > 0) {
		return false
	}
	return len(a.runs) == 0 && a.writing == 0 && len(a.handed) == 0 && !a.streaming
}

// quiet stops an assignment from starting anything, and forgets what waits. What runs goes on.
func (e *Engine) quiet(a *assignment, s state) {
	a.state = s
	e.spoil(errGone)
	a.stop.Store(true)
	if a.work.Stream != nil {
		a.work.Stream.End()
	}
	for l := range a.parked {
		l.timer.Stop()
	}
	clear(a.parked)
	clear(a.keyed)
	if a.delayTimer != nil {
		a.delayTimer.Stop()
	}
	a.delayed = fifo[delayed]{}
	a.main, a.ready, a.awaiting, a.readyRecords = nil, readyLanes{}, nil, 0
	if a.batchTimer != nil {
		a.batchTimer.Stop()
	}
	bytes, records := a.settlingBytes, a.settling // these two, and what runs, stay held
	for _, r := range a.runs {
		for _, it := range r.items[r.published:] {
			bytes += size(it.record)
			records++
		}
	}
	for _, h := range a.handed {
		bytes += h.size
		records++
	}
	e.hold(a, bytes-a.heldBytes, records-a.heldRecords)
}

// close ends an assignment: nothing that still runs for it counts any more.
func (e *Engine) close(a *assignment, cause error) {
	if a.state == closed {
		return
	}
	e.quiet(a, closed)
	e.hold(a, -a.heldBytes, -a.heldRecords)
	clear(a.handed)
	if !errors.Is(cause, ErrTransaction) {
		delete(e.remembered, a.part)
	}
	if a.grant > 0 {
		e.log.Error("records that were committed first will not be handled", "event", "committed_first_not_handled",
			"topic", a.topic, "partition", a.partition,
			"records", a.grant, "err", cause)
	}
	if len(a.runs) > 0 {
		e.outlived[a] = struct{}{}
	}
	for _, r := range a.runs {
		for _, l := range r.lanes {
			e.ghosts[l.ref()] = &ghost{}
		}
	}
	a.cancel(cause)
	if e.parts[a.part] == a {
		delete(e.parts, a.part)
	}
	if a.paused {
		a.paused = false
		e.pauseChange = append(e.pauseChange, a.part)
	}
	if f := e.cfg.Observer.Released; f != nil {
		frontier, _ := a.frontier()
		info := ReleasedInfo{
			Topic: a.topic, Partition: a.partition, Epoch: a.epoch, Frontier: frontier, Lost: errors.Is(cause, ErrLost),
		}
		e.tell(func() { f(info) })
	}
	e.abandonProbe(a)
	e.cond.Broadcast()
}

// halt stops a partition until a restart or a move. Its frontier stays and is committed.
func (e *Engine) halt(a *assignment, offset int64, err error) {
	e.quiet(a, halted)
	a.trouble(haltProblem, "halted at offset "+itoa(offset)+": "+err.Error())
	a.failed(err.Error())
	a.paused = true
	e.pauseChange = append(e.pauseChange, a.part)
	e.log.Error("partition halted; it takes nothing new until a restart or until another member takes it", "event", "partition_halted",
		"topic", a.topic, "partition", a.partition, "offset", offset, "err", err)
	if f := e.cfg.Observer.Halted; f != nil {
		info := HaltedInfo{Topic: a.topic, Partition: a.partition, Offset: offset, Err: err}
		e.tell(func() { f(info) })
	}
	e.commitSoon()
	e.kick()
}

// Problems that are about no record.
const (
	fetchProblem int64 = -1 - iota
	claimProblem
	haltProblem
)

// trouble turns health red until the record at offset is finished.
func (a *assignment) trouble(offset int64, problem string) { a.problems[offset] = problem }
