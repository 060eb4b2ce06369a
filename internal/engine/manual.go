package engine

import "github.com/twmb/franz-go/pkg/kgo"

// handing is one run of a route that commits manually. Finish counts for the records that this run handed to the handler, and
// for no other attempt. Guarded by Engine.mu.
type handing struct {
	over  bool
	early map[int64]struct{} // Finish came before the handler's end
}

// handed is a record whose handler succeeded, and that waits for Finish.
type handed struct {
	size int64
	by   *handing
}

// workOf is what a run's handler may know: the assignment's, and on routes that commit manually a Finish of its own.
func (e *Engine) workOf(r *run) *Work {
	a := r.a
	if !a.route.CommitManually {
		return &a.work
	}
	h := &handing{early: make(map[int64]struct{})}
	r.handing = h
	w := a.work
	w.Finish = func(rec *kgo.Record) { e.finishManually(a, h, rec) }
	return &w
}

// finishManually finishes a record whose handler is through with it, or will be.
func (e *Engine) finishManually(a *assignment, h *handing, r *kgo.Record) {
	e.mu.Lock()
	defer e.unlock()
	if !a.works() {
		return // it runs again elsewhere
	}
	e.publishRuns(a)
	if was, ok := a.handed[r.Offset]; ok && was.by == h {
		delete(a.handed, r.Offset)
		e.finish(a, item{record: r})
		e.account(a, 0)
	} else if !h.over {
		h.early[r.Offset] = struct{}{}
	}
}

// handled takes in a handler's success: the record is finished, or, where commits are manual, waits for Finish.
func (e *Engine) handled(r *run, it item) {
	rec := it.record
	if h := r.handing; h != nil {
		if _, ok := h.early[rec.Offset]; !ok {
			r.a.handed[rec.Offset] = handed{size(rec), h}
			return
		}
	}
	if len(e.remembered) > 0 {
		e.forgive(r.a, rec.Offset)
	}
	e.finish(r.a, it)
}
