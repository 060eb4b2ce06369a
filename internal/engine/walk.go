package engine

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// takeWalk takes up to n records of the next lane, also those that would be in a batch of their own.
func (e *Engine) takeWalk(a *assignment, r *run, n int) {
	l := a.popReady()
	batches := a.route.HandleBatch != nil
	if batches {
		a.readyRecords -= l.queue.len()
	}
	taken := 0
	for _, it := range l.queue.peek() {
		waits := it.due().After(r.started) && (!batches || it.alone()) // what only failed with its batch need not
		if taken == n || (taken > 0 && (waits || !a.mayHandle(it))) {
			break
		}
		r.items = append(r.items, it)
		taken++
	}
	l.queue.drop(taken)
	r.lanes, r.counts = append(r.lanes, l), append(r.counts, taken)
	if batches {
		e.batchTaken(a)
	} else if a.ready.len() > 0 {
		e.list(a)
	}
}

// runWalk tries the records of a lane, one after the other, until one succeeds: see outage.
// It fills r with the next run; false when nothing is ready.
func (e *Engine) runWalk(rt *Route, r *run) (more bool) {
	var outs []Outcome // of those that it came to, less what it let go of
	alive := false
	defer func() {
		took := time.Since(r.started)
		for range r.items[len(outs):] {
			outs = append(outs, Outcome{Kind: HandedBack})
		}
		owned := make([]*kgo.Record, len(r.items))
		for i, o := range outs {
			if owned[i] = r.items[i].record; o.Kind == Failed || o.Kind == Outage || o.Kind == Poison {
				owned[i] = e.own(owned[i])
			}
		}
		e.mu.Lock()
		defer e.unlock()
		e.walkDone(r, took, outs, owned)
		more = alive && e.next(rt, r)
	}()
	e.walk(rt, r, &outs)
	alive = true
	return more
}

// walk calls the handler for the records of a walk.
func (e *Engine) walk(rt *Route, r *run, outs *[]Outcome) {
	for i := 0; i < len(r.items) && !r.a.stop.Load(); i = len(*outs) {
		it := r.items[i]
		r.walked.Store(int32(i))
		if i < r.known || it.condemned() {
			*outs = append(*outs, Outcome{Kind: condemned, Err: it.trouble.err})
			if !it.condemned() && (it.trouble.slow || !it.exhausted(r.a, 0, r.overdue)) || it.staysExhausted(r.a, 0) {
				return
			}
			continue
		}
		*outs = append(*outs, goexit)
		out := e.handleAlone(rt, r, it)
		(*outs)[i] = out
		if !r.mayPass(it, out) {
			return
		}
		if out.Kind != Failed && i < len(r.items)-1 && e.letGo(r, i, out) {
			if *outs = (*outs)[:i]; rt.CommitEach {
				return // its commit comes first
			}
		}
	}
}

// letGo takes a record out of a walk that is through with it, whatever becomes of the others: the next one's call may take long. False
// when nothing of the walk counts any more.
func (e *Engine) letGo(r *run, i int, out Outcome) bool {
	it, l := r.items[i], r.lanes[0]
	if out.Kind == Poison {
		it.record = e.own(it.record)
	}
	e.mu.Lock()
	defer e.unlock()
	if !r.a.works() {
		return false
	}
	e.judge(r, l, &it, out, false)
	r.items = slices.Delete(r.items, i, i+1)
	r.counts[0]--
	r.letGo = true
	r.look = look{} // the next one is at the same place
	e.account(r.a, time.Since(r.started))
	return true
}

// mayPass tells whether a walk goes on behind a record that did not succeed: it is finished, or it will be if another one succeeds.
func (r *run) mayPass(it item, out Outcome) bool {
	switch out.Kind {
	case Skipped:
		return true
	case Poison:
		return !r.a.stays(out.class())
	case Failed:
		return it.exhausted(r.a, 1, r.overdue) && !it.staysExhausted(r.a, 1) && time.Since(r.started) <= inNoTime
	case Done, Outage, Reclaim, HandedBack, condemned:
	}
	return false
}

// handleAlone calls the route's handler for one record.
func (e *Engine) handleAlone(rt *Route, r *run, it item) Outcome {
	if rt.HandleBatch == nil {
		return e.call(rt, r, it)
	}
	if rt.CommitManually {
		it.record = e.own(it.record)
	}
	r.calls++
	r.hands(it)
	out := rt.handleBatch(r.a.ctx, &Batch{
		Work: r.work, Next: it.record.Offset + 1, NextEpoch: it.record.LeaderEpoch,
		Records: []*kgo.Record{it.record}, Attempts: []int{it.attempts() + 1},
	})
	if out.Each != nil {
		return out.Each[0]
	}
	return out.All
}

func (e *Engine) walkDone(r *run, took time.Duration, outs []Outcome, owned []*kgo.Record) {
	if !e.ended(r, took) {
		return
	}
	a, l := r.a, r.lanes[0]
	good := slices.IndexFunc(outs, func(o Outcome) bool { return o.Kind == Done })
	finishes := a.finishes
	v := neither
	var kept []item
	for i, it := range r.items {
		out := outs[i]
		it.record = owned[i]
		switch {
		case out.Kind == Done:
			e.handled(r, it)
			continue
		case out.Kind == condemned && i > good && !it.condemned():
			out.Kind = HandedBack // nobody succeeded behind it
		case out.Kind == Failed && i < good:
			it.trouble.condemned = true
		}
		v = max(v, a.route.verdictOf(out.Kind))
		if e.judge(r, l, &it, out, false) {
			kept = append(kept, it)
		}
	}
	switch {
	case good >= 0:
		v = succeeded
	case !r.letGo && !slices.ContainsFunc(outs, func(o Outcome) bool { return o.Kind != condemned && o.Kind != HandedBack }):
		v = nobodyElse
	}
	e.giveBack(a, l, kept)
	e.account(a, took)
	e.probed(r, v)
	e.resumeLane(l, r.letGo || a.finishes > finishes)
	r.over()
}
