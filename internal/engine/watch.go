package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The watchdog looks at what is under way, and only while something is. What it finds is told once, as an event and a log line, and
// stays in health for as long as it holds: health compares what was found with what is, so nothing has to be taken back.

// ErrHandlerTimeout is the cause of a handler's context that ended by the route's Timeout.
var ErrHandlerTimeout = errors.New("the handler's deadline (Policy.Timeout) has passed")

const (
	overrunAfter = 5 * time.Minute        // where a route has no Timeout
	looks        = 10                     // in a deadline
	lookAtLeast  = 100 * time.Millisecond // between two looks
	cancelGrace  = time.Second            // at least, for a handler to end after its context did
	keyShown     = 64                     // bytes of a key in texts
)

// limit is how long a handler may run before it counts as one that overran.
func (r *Route) limit() time.Duration {
	if r.Timeout == 0 {
		return overrunAfter
	}
	return r.Timeout + max(r.Timeout/looks, cancelGrace)
}

// lookEvery is the time between two looks at a route's runs.
func (r *Route) lookEvery() time.Duration {
	if r.Timeout == 0 {
		return overrunAfter / looks
	}
	return max(r.Timeout/looks, lookAtLeast)
}

// deadline is the context of one call of a handler.
func (r *Route) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.Timeout, ErrHandlerTimeout)
}

// inTime hands over one record, with a deadline.
func (r *Route) inTime(ctx context.Context, w *Work, it item) Outcome {
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	return r.late(ctx, r.Handle(ctx, w, it.record, it.attempts()+1))
}

// handleBatch hands over a batch, with a deadline where the route has one.
func (r *Route) handleBatch(ctx context.Context, b *Batch) BatchOutcome {
	if r.Timeout == 0 {
		return r.HandleBatch(ctx, b)
	}
	ctx, cancel := r.deadline(ctx)
	defer cancel()
	out := r.HandleBatch(ctx, b)
	out.All = r.late(ctx, out.All)
	return out
}

// late says of a failure that came of the deadline that it did.
func (r *Route) late(ctx context.Context, out Outcome) Outcome {
	if out.Kind != Failed || !errors.Is(context.Cause(ctx), ErrHandlerTimeout) {
		return out
	}
	switch {
	case errors.Is(out.Err, ErrHandlerTimeout): // it returned the context's cause
		out.More = &More{After: out.after(), Class: timeoutClass}
	case errors.Is(out.Err, context.DeadlineExceeded):
		out.Err = fmt.Errorf("%w after %v: %w", ErrHandlerTimeout, r.Timeout, out.Err)
		out.More = &More{After: out.after(), Class: timeoutClass}
	}
	return out
}

// look is what the watchdog saw of a run. Guarded by Engine.mu.
type look struct {
	began time.Time // the run that it is about: a worker uses its run again
	hand  int32     // the place of the record at hand
	since time.Time // the record at hand has run since then at least
	found bool      // it overran
	told  bool      // and that was told
	stack string
}

// hand is the place of the record at hand; 0 of a batch.
func (r *run) hand() int32 { return r.done.Load() + r.walked.Load() }

// sees brings a run's look up to date.
func (r *run) sees(now time.Time) {
	hand := r.hand()
	if r.look.began.Equal(r.started) && r.look.hand == hand {
		return
	}
	r.look = look{began: r.started, hand: hand, since: now}
	if hand == 0 {
		r.look.since = r.started
	}
}

// runs tells whether a run is under way.
func (r *run) runs() bool { return r.at < len(r.a.runs) && r.a.runs[r.at] == r }

// overruns tells whether what was told of a run still holds.
func (r *run) overruns() bool {
	return r.look.told && r.look.began.Equal(r.started) && r.look.hand == r.hand()
}

// watch has the watchdog look at the latest at a time.
func (e *Engine) watch(now time.Time, in time.Duration) {
	at := now.Add(in)
	if e.still || !e.watchAt.IsZero() && !at.Before(e.watchAt) {
		return
	}
	e.watchAt = at
	if e.watchTimer == nil {
		e.watchTimer = time.AfterFunc(in, e.lookAround)
	} else {
		e.watchTimer.Reset(in)
	}
}

// lookAround is one look at all that is under way. It asks for the next one while there is any.
func (e *Engine) lookAround() {
	if f := e.cfg.Looked; f != nil {
		f()
	}
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	e.watchAt = time.Time{}
	if e.clientCtx.Err() != nil && !e.settling {
		return // it is over
	}
	var over []*run
	for a := range e.working() {
		for _, r := range a.runs {
			e.watch(now, a.route.lookEvery())
			if r.sees(now); !r.look.found && now.Sub(r.look.since) >= a.route.limit() {
				r.look.found = true
				over = append(over, r)
			}
		}
	}
	for _, a := range e.parts {
		e.watchForStall(a, now)
		e.lookForStall(a, now)
	}
	e.lookForStandstill(now)
	if len(over) > 0 {
		e.spawn(func() { e.nameOverruns(over) })
	}
}

// working are the assignments that may have runs: those that are ours, and those that a handler has outlived.
func (e *Engine) working() func(yield func(*assignment) bool) {
	return func(yield func(*assignment) bool) {
		for _, a := range e.parts {
			if !yield(a) {
				return
			}
		}
		for a := range e.outlived {
			if !yield(a) {
				return
			}
		}
	}
}

// nameOverruns finds out where the handlers of some runs are, and tells of those that are still there.
func (e *Engine) nameOverruns(over []*run) {
	stacks := workerStacks()
	e.mu.Lock()
	defer e.unlock()
	for _, r := range over {
		if !r.runs() || !r.look.found || !r.look.began.Equal(r.started) || r.look.hand != r.hand() {
			continue // it has ended meanwhile
		}
		r.look.told = true
		worker := r.worker
		if r.a.streaming {
			worker = r.a.streamer // the worker only waits for it
		}
		r.look.stack = stacks.of(worker)
		o := e.overrun(r, time.Now())
		e.log.Error("a handler runs too long and does not end", "event", "handler_overran",
			"topic", o.Topic, "partition", o.Partition, "offset", o.Offset,
			"key", KeyText(o.Key), "records", o.Records, "age", o.Age.Round(time.Millisecond), "timeout", o.Timeout, "stack", o.Stack)
		if f := e.cfg.Observer.HandlerOverran; f != nil {
			e.tell(func() { f(o) })
		}
	}
}

// overrun describes a run that overran.
func (e *Engine) overrun(r *run, now time.Time) HandlerOverranInfo {
	head, records := r.items[0].record, len(r.items)
	if r.a.route.HandleBatch == nil || r.walk {
		head, records = r.items[r.look.hand].record, 1
	}
	return HandlerOverranInfo{
		Topic: r.a.topic, Partition: r.a.partition, Offset: head.Offset, Key: head.Key, Records: records,
		Age: now.Sub(r.look.since), Timeout: r.a.route.Timeout, Stack: r.look.stack,
	}
}

// overrunText is what health says of a run that overran.
func (e *Engine) overrunText(r *run, now time.Time) string {
	o := e.overrun(r, now)
	text := fmt.Sprintf("%v: the handler of offset %d, key %s, has run for %v",
		r.a.part, o.Offset, KeyText(o.Key), o.Age.Round(time.Second))
	if o.Records > 1 {
		text = fmt.Sprintf("%v: the handler of %d records from offset %d on, key %s, has run for %v",
			r.a.part, o.Records, o.Offset, KeyText(o.Key), o.Age.Round(time.Second))
	}
	switch {
	case !r.a.works():
		text += ", though its partition is gone: what it still does may be done elsewhere at the same time"
	case o.Timeout > 0:
		text += fmt.Sprintf(", though its context ended after %v (Policy.Timeout)", o.Timeout)
	}
	return text + "; its stack is in the log"
}

// ceased takes a run off the watchdog's list when it has ended.
func (e *Engine) ceased(r *run) {
	if r.look.told {
		o := e.overrun(r, time.Now())
		e.log.Warn("a handler that ran too long has ended", "event", "handler_overran_ended",
			"topic", o.Topic, "partition", o.Partition, "offset", o.Offset, "age", o.Age)
	}
	r.look = look{}
	if a := r.a; !a.works() && len(a.runs) == 0 {
		delete(e.outlived, a)
	}
}

// KeyText names a record's key: quoted, and cut. Keys are named so that an operator finds whose record it is; values never are.
func KeyText(key []byte) string {
	switch {
	case key == nil:
		return "none"
	case len(key) > keyShown:
		return strconv.Quote(string(key[:keyShown])) + "…"
	}
	return strconv.Quote(string(key))
}
