package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrRenew ends Run when the client has to be thrown away: nobody knows how a transaction ended, or the group took us for dead.
var ErrRenew = errors.New("the client has to be made anew")

// renew ends Run with ErrRenew.
func (e *Engine) renew(err error) {
	e.renewOnce.Do(func() {
		e.renewal = err
		close(e.renewed)
	})
}

// outlivedBy is why the client has to be made anew; nil where it has not.
func (e *Engine) outlivedBy() error {
	select {
	case <-e.renewed:
		return e.renewal
	default:
		return nil
	}
}

// stopTransacting lets the transaction that is under way end, for at most DrainTimeout.
func (e *Engine) stopTransacting(ctx context.Context) error {
	drain := time.AfterFunc(e.cfg.DrainTimeout, func() {
		e.mu.Lock()
		defer e.unlock()
		e.drainOver = true
		e.cond.Broadcast()
	})
	defer drain.Stop()
	select {
	case <-e.transacted:
	case <-ctx.Done():
		return ErrDrainTimeout
	}
	e.mu.Lock()
	all := e.assignments(func(*assignment) bool { return true })
	e.unlock()
	var starts error
	if e.outlivedBy() == nil {
		starts = e.commitStarts(ctx, all)
	}
	e.mu.Lock()
	defer e.unlock()
	for _, a := range all {
		e.close(a, ErrStopped)
	}
	if err := e.lastAbort; err != nil {
		return fmt.Errorf("%w: the last transaction was aborted, and its records run again: %w", ErrDrainTimeout, err)
	}
	return starts
}

// Settle waits until nothing of an engine runs any more, when Run has returned: a handler may ignore its context. Meanwhile the app stands
// still, so the watchdog goes on to look for whoever it is.
func (e *Engine) Settle(ctx context.Context) bool {
	e.mu.Lock()
	defer e.unlock()
	e.settling = true
	defer func() { e.settling = false }()
	for a := range e.outlived {
		e.watch(time.Now(), a.route.lookEvery())
	}
	aborted := func() bool {
		select {
		case <-e.aborted:
			return true
		default:
			return false
		}
	}
	e.waitUntil(ctx, func() bool { return e.live == 0 || aborted() })
	return e.live == 0
}
