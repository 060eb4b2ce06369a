package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice"
)

var (
	errGone = errors.New("this process does not exist any more")
	errSim  = errors.New("as the scenario says")
	errOut  = errors.New("nothing works now")
)

// handle is the handler of a Route.
func (p *process) handle(ctx context.Context, m sluice.Message[*record]) (err error) {
	p.w.jobs.Add(1) // a handler may outlive its engine
	defer p.w.jobs.Done()
	c := &call{p: p, ctx: ctx, messages: []sluice.Message[*record]{m}}
	if err := c.enter(); err != nil {
		return err
	}
	defer func() { c.leave(err) }()
	err = p.work(ctx, m)
	c.returned = true
	return err
}

// handleBatch is the handler of a BatchRoute.
func (p *process) handleBatch(ctx context.Context, b sluice.Batch[*record]) (err error) {
	p.w.jobs.Add(1)
	defer p.w.jobs.Done()
	c := &call{p: p, ctx: ctx, messages: b.Messages}
	if err := c.enter(); err != nil {
		return err
	}
	defer func() { c.leave(err) }()
	failed := make(map[int]error)
	for i, m := range b.Messages {
		switch err := p.work(ctx, m); {
		case ctx.Err() != nil:
			c.returned = true
			return cmp.Or(err, ctx.Err()) // there are records that it did not come to
		case errors.Is(err, errOut), m.Value.kind == hangs && err != nil:
			c.returned = true
			return err // of the whole batch
		case err != nil:
			failed[i] = err
		}
	}
	c.returned = true
	if len(failed) > 0 {
		return &sluice.BatchError{Failed: failed, RolledBack: p.w.scenario.rollBack}
	}
	return nil
}

// work does what the record's plan says.
func (p *process) work(ctx context.Context, m sluice.Message[*record]) error {
	r := m.Value
	began := time.Now()
	p.w.mu.Lock()
	first, again := r.calls == 1, r.failures < r.times
	p.w.mu.Unlock()
	switch {
	case r.kind == hangs && first:
		return hang(ctx, r.takes)
	case r.kind == hangs, r.kind == stubborn && !first:
	case r.kind != stubborn && p.w.scenario.timeout > 0: // it heeds its deadline, and overruns it once at most
		if first && !nap(ctx, r.takes) {
			return ctx.Err()
		}
	default:
		if r.takes > 0 {
			time.Sleep(r.takes)
		}
	}
	if p.w.out(began) {
		if p.w.scenario.plain {
			return errOut
		}
		return sluice.Outage(errOut)
	}
	switch r.kind {
	case fails:
		if again {
			return errSim
		}
	case failsLater:
		if again {
			return sluice.RetryAfter(errSim, time.Duration(r.times)*700*time.Millisecond)
		}
	case failsAlways:
		return errSim
	case poison:
		return sluice.Poison(errSim)
	case panics:
		panic(errSim)
	case skips:
		return sluice.Skip("as the scenario says")
	case succeeds, hangs, stubborn, undecodable, refused:
	}
	return nil
}

func hang(ctx context.Context, most time.Duration) error {
	if !nap(ctx, most) {
		return ctx.Err()
	}
	return fmt.Errorf("gave up after %v: %w", most, errSim)
}

// nap sleeps, and reports false when its context ends before.
func nap(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// out tells whether no call that began then succeeds.
func (w *world) out(began time.Time) bool {
	from, to := began.Sub(w.trace.began), time.Since(w.trace.began)
	for _, o := range w.scenario.outages {
		if to >= o.from && from < o.to {
			return true
		}
	}
	return false
}
