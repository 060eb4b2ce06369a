package engine

import (
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
	started time.Time

	done      atomic.Int32 // records that the handler is through with: published by the worker after each
	published int          // of them, those that the tracker knows; guarded by Engine.mu
	end       func()       // what the outcome does to the whole assignment, once the run's records are accounted for
}

// workLoop runs what is ready until nothing is.
func (e *Engine) workLoop(rt *Route) {
	r := new(run)
	e.mu.Lock()
	for e.next(rt, r) {
		e.unlock()
		if rt.HandleBatch != nil {
			e.runBatch(rt, r)
		} else {
			e.runRecords(rt, r)
		}
		e.mu.Lock()
	}
	rt.active--
	e.unlock()
}

// next fills r with the next run of a route; false when nothing is ready.
func (e *Engine) next(rt *Route, r *run) bool {
	for rt.ready.len() > 0 {
		a := rt.ready.pop()
		a.listed = false
		if !a.starts() || a.ready.len() == 0 {
			continue
		}
		r.a, r.started = a, time.Now()
		r.lanes, r.counts, r.items = r.lanes[:0], r.counts[:0], r.items[:0]
		r.published = 0
		r.done.Store(0)
		if rt.HandleBatch != nil {
			e.takeBatch(a, r)
		} else {
			n := 1
			if a.perRecord > 0 && a.perRecord < fast && !rt.CommitEach {
				n = maxRun
			}
			r.take(a.popReady(), n)
			if a.ready.len() > 0 {
				e.list(a)
			}
			if len(r.items) > 1 { // what it finishes may be committed before it ends
				e.commitDue(rt, 0)
			}
		}
		a.runs[r] = struct{}{}
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
		if len(r.items) > 0 && a.ready.peek()[0].queue.peek()[0].alone() {
			break
		}
		l := a.popReady()
		a.readyRecords -= l.queue.len()
		r.take(l, rt.MaxSize-len(r.items))
		if r.items[0].alone() {
			break
		}
	}
	if a.ready.len() == 0 {
		a.flush = false
		if a.batchTimer != nil {
			a.batchTimer.Stop()
			a.batchTimer = nil
		}
		return
	}
	e.list(a)
}

// take moves up to n records of a lane into the run, as far as they are due and may share it.
func (r *run) take(l *lane, n int) {
	taken := 0
	for _, it := range l.queue.peek() {
		if taken == n || (taken > 0 && (it.alone() || it.due().After(r.started))) {
			break
		}
		r.items = append(r.items, it)
		taken++
		if it.alone() && !it.settled() {
			break
		}
	}
	l.queue.drop(taken)
	r.lanes = append(r.lanes, l)
	r.counts = append(r.counts, taken)
}

// runRecords hands the run's records to the handler, one after the other, until one does not succeed.
func (e *Engine) runRecords(rt *Route, r *run) {
	a := r.a
	n, skipped, out := 0, 0, Outcome{}
	for _, it := range r.items {
		if a.stop.Load() {
			out = Outcome{Kind: HandedBack}
			break
		}
		out = rt.Handle(a.ctx, &a.work, it.record, it.attempts()+1)
		if out.Kind == Skipped {
			e.tellSkipped(it.record, out.Err)
			skipped++
			out = Outcome{}
		}
		if out.Kind != Done {
			break
		}
		n++
		r.done.Store(int32(n))
	}
	took := time.Since(r.started)

	e.mu.Lock()
	defer e.unlock()
	if !e.ended(r) {
		return
	}
	if n > 0 {
		a.perRecord = max(1, took/time.Duration(n))
	}
	l := r.lanes[0]
	e.publish(r)
	e.stats.Skipped += int64(skipped)
	if n < len(r.items) {
		var kept []item
		if it := r.items[n]; e.judge(r, l, &it, out, false) {
			kept = append(kept, it)
		}
		e.giveBack(a, l, append(kept, r.items[n+1:]...))
	}
	e.finished(a, n, took)
	e.resumeLane(l, n > 0)
	r.over()
}

// runBatch hands the run's records to the batch handler.
func (e *Engine) runBatch(rt *Route, r *run) {
	a := r.a
	last := r.items[len(r.items)-1].record
	b := &Batch{Work: &a.work, Next: last.Offset + 1, NextEpoch: last.LeaderEpoch}
	for _, it := range r.items {
		if !it.settled() {
			b.Records = append(b.Records, it.record)
			b.Attempts = append(b.Attempts, it.attempts()+1)
		}
	}
	out := rt.HandleBatch(a.ctx, b)
	took := time.Since(r.started)

	e.mu.Lock()
	defer e.unlock()
	if !e.ended(r) {
		return
	}
	together := out.Each == nil && len(b.Records) > 1
	done, i, k := 0, 0, 0
	for li, l := range r.lanes {
		var kept []item
		finished := 0
		for range r.counts[li] {
			it := r.items[i]
			i++
			o := out.All
			if !it.settled() {
				if out.Each != nil {
					o = out.Each[k]
				}
				k++
			} else if out.Each != nil { // a batch that did not go through as a whole: step over it later
				o = Outcome{Kind: HandedBack}
			}
			switch {
			case o.Kind == Done:
				e.finish(a, it.record)
				finished++
			case e.judge(r, l, &it, o, together):
				kept = append(kept, it)
			case !a.route.fenced() && o.Kind == Skipped:
				finished++
			}
		}
		e.giveBack(a, l, kept)
		done += finished
		if finished > 0 {
			a.finishes++ // before the lane may wait for the commit that covers it
		}
		e.resumeLane(l, finished > 0)
	}
	e.finished(a, done, took)
	r.over()
}

func (r *run) over() {
	if end := r.end; end != nil {
		r.end = nil
		end()
	}
}

// ended takes a run off its assignment; false when the assignment was closed meanwhile, so that nothing of it counts.
func (e *Engine) ended(r *run) bool {
	a := r.a
	delete(a.runs, r)
	e.cond.Broadcast()
	if a.works() {
		return true
	}
	for _, l := range r.lanes {
		ref := l.ref()
		if g := e.ghosts[ref]; g != nil {
			delete(e.ghosts, ref)
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
	for _, it := range r.items[r.published:n] {
		e.finish(r.a, it.record)
	}
	r.published = n
}

// finish marks a record as finished and lets go of it.
func (e *Engine) finish(a *assignment, r *kgo.Record) {
	a.tracker.Finish(r.Offset)
	e.stats.Finished++
	e.hold(a, -size(r), -1)
}

// finished accounts for a run's finished records.
func (e *Engine) finished(a *assignment, n int, took time.Duration) {
	if n == 0 {
		return
	}
	a.finishes++
	if a.problem != "" && a.state != halted {
		if f, _ := a.frontier(); f > a.problemAt {
			a.problem = ""
		}
	}
	if f := e.cfg.Observer.Run; f != nil {
		info := RunInfo{Topic: a.topic, Partition: a.partition, Records: n, Took: took}
		e.tell(func() { f(info) })
	}
	e.commitDue(a.route, n)
}

// giveBack puts records back to the front of their lane; an assignment that starts nothing more forgets them.
func (e *Engine) giveBack(a *assignment, l *lane, kept []item) {
	if a.starts() {
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
