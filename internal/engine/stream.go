package engine

import (
	"context"
	"runtime/pprof"
)

// Streamer is the handler of one assignment of a route that streams. The route's Handle hands it the records, one by one.
type Streamer interface {
	// Run is called once, on a goroutine of its own, when the assignment is open. A drain waits for it.
	Run(ctx context.Context)

	// End says that there are no more records: Run returns soon. It may be called more than once, under Engine.mu.
	End()
}

// openStream starts the handler of an assignment of a route that streams.
func (e *Engine) openStream(a *assignment) {
	s := a.route.Stream(&a.work)
	a.work.Stream = s
	a.streaming = true
	b := e.takeBadge(a.route)
	a.streamer = b.id
	e.spawn(func() {
		defer func() { // also when the handler ends its goroutine
			e.mu.Lock()
			defer e.unlock()
			a.streaming = false
			a.route.badges = append(a.route.badges, b)
			e.cond.Broadcast()
		}()
		pprof.SetGoroutineLabels(b.Context)
		s.Run(a.ctx)
	})
}
