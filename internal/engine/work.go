package engine

import (
	"context"
	"errors"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	fast   = 20 * time.Microsecond // a record faster than this shares a run
	maxRun = 64                    // records a run
)

// run is one worker's work for one assignment: some records of one lane, or a batch.
type run struct {
	a       *assignment
	lanes   []*lane
	counts  []int // items a lane
	items   []item
	at      int           // its place among the assignment's runs
	waiting []*kgo.Record // of a batch by partition: what comes behind it
	started time.Time
	worker  string // its badge
	look    look

	work      *Work
	txn       *transaction // whose records these are; nil without
	handing   *handing     // CommitManually
	done      atomic.Int32 // records that the handler is through with: published by the worker after each
	published int          // of them, those that the tracker knows; guarded by Engine.mu
	calls     int          // of the handler; the worker's until it is over, as is retried
	retried   int          // records that had failed before
	walked    atomic.Int32 // of a walk: records before the one at hand; published as done is
	letGo     bool         // of a walk: it is through with some that are not among its items any more
	end       func()       // what the outcome does to the whole assignment, once the run's records are accounted for

	number  uint64 // of the route's runs
	probe   bool   // of an outage
	walk    bool   // of a probe: see outage
	known   int    // of a walk: records at its head that failed just now, and are not called
	proved  bool   // of a batch: others of it succeeded
	witness uint64 // the latest run in which a record had succeeded before this one began

	overdue span // of a probe: see Route.overdue
}

// workLoop runs what is ready until nothing is. A handler that ends its goroutine (runtime.Goexit) ends this loop; its record
// is poison, and another worker goes on.
func (e *Engine) workLoop(rt *Route, b badge) {
	defer func() {
		e.mu.Lock()
		defer e.unlock()
		rt.active--
		rt.badges = append(rt.badges, b)
		if rt.ready.len() > 0 {
			e.hire(rt)
		}
	}()
	r := &run{worker: b.id}
	for more := e.first(rt, r); more; {
		pprof.SetGoroutineLabels(b.Context) // a handler may have changed them
		switch {
		case r.walk:
			more = e.runWalk(rt, r)
		case rt.HandleBatch != nil:
			more = e.runBatch(rt, r)
		default:
			more = e.runRecords(rt, r)
		}
	}
}

func (e *Engine) first(rt *Route, r *run) bool {
	e.mu.Lock()
	defer e.unlock()
	return e.next(rt, r)
}

// next fills r with the next run of a route; false when nothing is ready. Under mu: a worker lets go of it only once between two runs.
func (e *Engine) next(rt *Route, r *run) bool {
	for rt.ready.len() > 0 && rt.mayStart() {
		a := rt.ready.pop()
		a.listed = false
		if !a.starts() || a.waits() || a.ready.len() == 0 {
			continue
		}
		r.a, r.started = a, time.Now()
		r.lanes, r.counts, r.items = r.lanes[:0], r.counts[:0], r.items[:0]
		rt.begun++
		r.number = rt.begun
		r.published, r.proved, r.letGo, r.witness = 0, false, false, rt.worked
		r.calls, r.retried = 0, 0
		r.done.Store(0)
		r.walked.Store(0)
		n := rt.beginProbe(r, a.ready.peek())
		switch {
		case r.walk:
			e.takeWalk(a, r, n)
		case rt.HandleBatch != nil:
			e.takeBatch(a, r)
		default:
			if n == 0 && a.perRecord > 0 && a.perRecord < fast && !rt.CommitEach {
				n = maxRun
			}
			r.take(a.popReady(), max(n, 1))
			if a.ready.len() > 0 {
				e.list(a)
			}
			if len(r.items) > 1 && rt.CommitInterval > 0 { // what it finishes may be committed before it ends
				e.commitIn(rt.CommitInterval)
			}
		}
		if rt.CommitFirst && a.wantsGrant() {
			e.commitSoon()
		}
		r.work, r.txn = e.workOf(r), e.txn
		r.at = len(a.runs)
		a.runs = append(a.runs, r)
		e.watch(r.started, rt.lookEvery())
		return true
	}
	return false
}

func (a *assignment) popReady() *lane {
	l := a.ready.pop()
	l.ready = false
	return l
}

// takeBatch gathers ready lanes up to the batch's size.
func (e *Engine) takeBatch(a *assignment, r *run) {
	rt := a.route
	for a.ready.len() > 0 && len(r.items) < rt.MaxSize {
		if len(r.items) > 0 && a.ready.peek().queue.peek()[0].alone() {
			break
		}
		l := a.popReady()
		a.readyRecords -= l.queue.len()
		r.take(l, rt.MaxSize-len(r.items))
		if r.items[0].alone() {
			break
		}
	}
	r.waiting = r.waiting[:0]
	if rt.Ordering == ByPartition {
		waiting := a.main.queue.peek()
		for _, it := range waiting[:min(len(waiting), rt.MaxSize)] {
			if it.trouble == nil {
				r.waiting = append(r.waiting, it.record)
			}
		}
	}
	e.batchTaken(a)
}

// batchTaken goes on with what is ready after a batch was taken.
func (e *Engine) batchTaken(a *assignment) {
	a.flush = false
	if a.batchTimer != nil {
		a.batchTimer.Stop()
		a.batchTimer = nil
	}
	if a.ready.len() > 0 {
		e.batchDue(a, false)
	}
}

// mayShare tells whether a record may be in the run with those before it.
func (r *run) mayShare(it item) bool {
	return (it.trouble == nil || r.isDue(it)) && r.a.mayHandle(it)
}

func (r *run) isDue(it item) bool { return !it.alone() && !it.due().After(r.started) }

// take moves up to n records of a lane into the run, as far as they are due and may share it.
func (r *run) take(l *lane, n int) {
	waiting := l.queue.peek()
	n = min(n, len(waiting))
	taken := 0
	for taken < n && (taken == 0 || r.mayShare(waiting[taken])) {
		taken++
		if it := waiting[taken-1]; it.alone() && !it.settled() {
			break
		}
	}
	r.items = append(r.items, waiting[:taken]...)
	l.queue.drop(taken)
	r.lanes = append(r.lanes, l)
	r.counts = append(r.counts, taken)
}

// goexit is the outcome of a handler that never returns.
var goexit = Outcome{
	Kind: Poison, Err: errors.New("the handler ended its goroutine (runtime.Goexit, as t.FailNow does)"), More: &More{Class: "panic"},
}

// runRecords hands the run's records to the handler, one after the other, until one does not succeed.
// It fills r with the next run; false when nothing is ready.
func (e *Engine) runRecords(rt *Route, r *run) (more bool) {
	out := goexit
	skipped, alive := 0, false
	defer func() {
		took, failed := time.Since(r.started), e.ownFailed(r, out)
		e.mu.Lock()
		defer e.unlock()
		e.recordsDone(r, took, out, failed, skipped)
		more = alive && e.next(rt, r)
	}()
	out, skipped = e.handleRecords(rt, r)
	alive = true
	return more
}

// handleRecords returns the outcome of the first record that did not succeed. How many did is in r.done.
func (e *Engine) handleRecords(rt *Route, r *run) (out Outcome, skipped int) {
	a := r.a
	for i, it := range r.items {
		if a.stop.Load() || (rt.held.Load() && !r.probe) {
			return Outcome{Kind: HandedBack}, skipped
		}
		if it.condemned() {
			return Outcome{Kind: condemned, Err: it.trouble.err}, skipped
		}
		out = e.call(rt, r, it)
		if out.Kind == Skipped && !rt.CommitManually { // there judge finishes it
			e.tellSkipped(it.record, out.Err)
			skipped++
			out = Outcome{}
		}
		if out.Kind != Done {
			break
		}
		r.done.Store(int32(i) + 1)
	}
	return out, skipped
}

// call calls the handler for one record, and writes what it returned, on a route that works in transactions.
func (e *Engine) call(rt *Route, r *run, it item) (out Outcome) {
	if rt.CommitManually {
		it.record = e.own(it.record)
	}
	r.calls++
	r.hands(it)
	if rt.Timeout == 0 {
		out = rt.Handle(r.a.ctx, r.work, it.record, it.attempts()+1)
	} else {
		out = rt.inTime(r.a.ctx, r.work, it)
	}
	switch {
	case out.Kind != Done && errors.Is(context.Cause(r.a.ctx), ErrTransaction): // whatever it says: that is why
		return Outcome{Kind: HandedBack}
	case out.Kind == Done && len(out.records()) > 0 && !e.writeOut(r, it, out.records()):
		return Outcome{Kind: HandedBack}
	}
	return out
}

// hands notes a record that is handed to the handler.
func (r *run) hands(it item) {
	if t := it.trouble; t != nil && !t.first.IsZero() { // it failed before, in an outage or not
		r.retried++
	}
}

func (e *Engine) recordsDone(r *run, took time.Duration, out Outcome, failed item, skipped int) {
	if !e.ended(r, took) {
		return
	}
	a, l, n := r.a, r.lanes[0], int(r.done.Load())
	if n > 0 {
		a.perRecord = max(1, took/time.Duration(n))
	}
	finishes := a.finishes
	e.publish(r)
	a.outcomes.Skipped += int64(skipped)
	v := neither
	if n > skipped {
		v = succeeded
	} else if n < len(r.items) {
		v = a.route.verdictOf(out.Kind)
	}
	if n < len(r.items) {
		var kept []item
		if e.judge(r, l, &failed, out, false) {
			kept = append(kept, failed)
		}
		e.giveBack(a, l, append(kept, r.items[n+1:]...))
	}
	e.account(a, took)
	e.probed(r, v)
	e.resumeLane(l, a.finishes > finishes)
	r.over()
}

// runBatch hands the run's records to the batch handler.
// It fills r with the next run; false when nothing is ready.
func (e *Engine) runBatch(rt *Route, r *run) (more bool) {
	last := r.items[len(r.items)-1].record
	b := &Batch{Work: r.work, Next: last.Offset + 1, NextEpoch: last.LeaderEpoch, Waiting: r.waiting}
	for _, it := range r.items {
		if !it.settled() {
			rec := it.record
			if rt.CommitManually {
				rec = e.own(rec)
			}
			if !it.condemned() { // nobody is called for that
				r.hands(it)
			}
			b.Records = append(b.Records, rec)
			b.Attempts = append(b.Attempts, it.attempts()+1)
		}
	}
	out := BatchOutcome{All: goexit}
	alive := false
	defer func() {
		took, failed := time.Since(r.started), e.ownFailures(r, out)
		e.mu.Lock()
		defer e.unlock()
		e.batchDone(r, took, len(b.Records), out, failed)
		more = alive && e.next(rt, r)
	}()
	if it := r.items[0]; it.condemned() { // in a batch of its own
		out, alive = BatchOutcome{All: Outcome{Kind: condemned, Err: it.trouble.err}}, true
		return more
	}
	r.calls = min(1, len(b.Records)) // else it only steps over
	out = rt.handleBatch(r.a.ctx, b)
	alive = true
	return more
}

func (e *Engine) batchDone(r *run, took time.Duration, records int, out BatchOutcome, failed []*kgo.Record) {
	if !e.ended(r, took) {
		return
	}
	a := r.a
	together := out.Each == nil && records > 1
	r.proved = slices.ContainsFunc(out.Each, func(o Outcome) bool { return o.Kind == Done })
	v := a.route.verdictOf(out.All.Kind)
	if out.Each != nil {
		v = neither
	} else if out.All.Kind == Outage { // also where all of the batch was settled
		e.said(r, out.All.Err)
	}
	finished := make([]bool, len(r.lanes))
	i, k := 0, 0
	for li, l := range r.lanes {
		var kept []item
		before := a.fresh
		for range r.counts[li] {
			it, o := r.items[i], out.All
			if i < len(failed) && failed[i] != nil {
				it.record = failed[i]
			}
			i++
			switch {
			case it.settled():
				o = stepOver(a.route, &it, out)
			case out.Each != nil:
				o = out.Each[k]
				k++
				v = max(v, a.route.verdictOf(o.Kind))
			}
			if o.Kind == Done {
				e.handled(r, it)
			} else if e.judge(r, l, &it, o, together) {
				kept = append(kept, it)
			}
		}
		finished[li] = a.fresh > before
		e.giveBack(a, l, kept)
	}
	e.account(a, took)
	e.probed(r, v)
	for li, l := range r.lanes {
		e.resumeLane(l, finished[li])
	}
	r.over()
}

// stepOver is the outcome of a settled record: its policy is done with it, so it only shares a success, or a lost claim.
func stepOver(rt *Route, it *item, out BatchOutcome) Outcome {
	if out.Each == nil {
		switch out.All.Kind {
		case Done, Reclaim:
			return out.All
		case Outage: // the route waits
			return Outcome{Kind: HandedBack}
		case Skipped, Failed, Poison, HandedBack, condemned:
		}
		it.trouble.outages++
		it.trouble.due = time.Now().Add(rt.Backoff(it.trouble.outages))
	}
	return Outcome{Kind: HandedBack}
}

func (r *run) over() {
	if end := r.end; end != nil {
		r.end = nil
		end()
	}
}

// ended takes a run off its assignment; false when the assignment was closed meanwhile, so that nothing of it counts.
func (e *Engine) ended(r *run, took time.Duration) bool {
	a := r.a
	a.totals.called(r, took)
	last := len(a.runs) - 1
	a.runs[r.at] = a.runs[last]
	a.runs[r.at].at = r.at
	a.runs[last], a.runs = nil, a.runs[:last]
	e.ceased(r)
	if h := r.handing; h != nil {
		h.over = true
	}
	e.cond.Broadcast()
	if a.works() {
		return true
	}
	for _, l := range r.lanes {
		ref := l.ref()
		if g := e.ghosts[ref]; g != nil {
			delete(e.ghosts, ref)
			e.wakeRested()
			if g.waiting != nil {
				e.makeReady(g.waiting)
			}
		}
	}
	return false
}

// publish takes in what a run that may still go on is through with.
func (e *Engine) publish(r *run) {
	n := int(r.done.Load())
	if n == r.published {
		return
	}
	through := r.items[r.published:n]
	if r.handing == nil && len(e.remembered) == 0 {
		e.finish(r.a, through...)
	} else {
		for _, it := range through {
			e.handled(r, it)
		}
	}
	r.published = n
	e.freed(r.a)
}

// finish marks records as finished and lets go of them. That there is room is told once a run, by publish or account.
func (e *Engine) finish(a *assignment, items ...item) {
	var bytes int64
	n := 0
	for _, it := range items {
		r := it.record
		a.tracker.Finish(r.Offset)
		bytes += size(r)
		if r.Attrs.IsControl() {
			e.commitDue(a.route, 0)
			continue
		}
		n++
		if len(a.problems) > 0 && !(item{trouble: e.remembered[a.part][r.Offset]}).refused() { // else its commit shows that it is over
			delete(a.problems, r.Offset)
		}
	}
	e.count(a, -bytes, -len(items))
	if a.route.CommitFirst {
		a.grant -= n
	}
	a.fresh += n
	a.outcomes.Finished += int64(n)
	e.finished += int64(n)
}

// account tells of what was finished since the last time, and asks for its commit.
func (e *Engine) account(a *assignment, took time.Duration) {
	e.freed(a)
	n := a.fresh
	if n == 0 {
		return
	}
	a.fresh = 0
	a.finishes++
	if a.route.CommitFirst && a.wantsGrant() && a.dirty() {
		e.commitSoon()
	}
	if f := e.cfg.Observer.Run; f != nil {
		info := RunInfo{Topic: a.topic, Partition: a.partition, Records: n, Took: took}
		e.tell(func() { f(info) })
	}
	e.commitDue(a.route, n)
	if f, _ := a.frontier(); a.route.CommitRecords > 0 && f-max(a.committed, a.begin) >= int64(a.route.CommitRecords) {
		e.commitSoon() // a frontier that jumps: most of these were counted for an earlier commit, which they were too late for
	}
}

// giveBack puts records back to the front of their lane; an assignment that starts nothing more forgets them.
func (e *Engine) giveBack(a *assignment, l *lane, kept []item) {
	if a.starts() {
		for i, it := range kept {
			if it.trouble == nil && it.record.Offset < a.owned {
				kept[i].record = e.own(it.record)
			}
		}
		l.queue.unshift(kept...)
		return
	}
	for _, it := range kept {
		e.hold(a, -size(it.record), -1)
	}
}

// resumeLane lets a lane go on after its run, unless it has to wait for a commit or for dead letters.
func (e *Engine) resumeLane(l *lane, finished bool) {
	a := l.a
	switch {
	case !a.starts():
	case l.dying > 0: // settle makes it ready
	case finished && a.route.CommitEach:
		l.after = a.finishes
		a.awaiting = append(a.awaiting, l)
		e.commitSoon()
	default:
		e.makeReady(l)
	}
}

func (e *Engine) tellSkipped(r *kgo.Record, err error) {
	if f := e.cfg.Observer.Skipped; f != nil {
		reason := ""
		if err != nil {
			reason = err.Error()
		}
		f(SkippedInfo{Record: r, Reason: reason})
	}
}
