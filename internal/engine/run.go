package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// leaveGrace is what leaving the group, and then what ignores its context, may take beyond the drain and the last commit.
const leaveGrace = time.Second

// Run works until ctx ends, then stops in two steps. First it drains and commits while it still is a member, since a client
// that leaves sends no heartbeat; then it leaves. Abort, or the deadline, cancels the client's own context, because closing
// it may otherwise wait for a rebalance. nil means a clean drain.
func (e *Engine) Run(ctx context.Context) error {
	e.labels = context.WithoutCancel(ctx)
	looking, stopLooking := context.WithCancel(ctx)
	unwatch := context.AfterFunc(e.clientCtx, stopLooking) // Abort
	err := e.lookBefore(looking)
	unwatch()
	stopLooking()
	switch {
	case ctx.Err() != nil:
		return nil // stopped before it joined: there is nothing to drain
	case e.clientCtx.Err() != nil:
		return ErrAborted
	case err != nil:
		return err
	}
	if err := e.connect(); err != nil {
		return err
	}
	var loops sync.WaitGroup
	commits, stopCommits := context.WithCancel(e.base)
	if e.transacts() {
		loops.Go(func() { defer close(e.transacted); e.transactLoop() })
	} else {
		loops.Go(e.pollLoop)
		loops.Go(func() { e.commitLoop(commits) })
	}
	loops.Go(func() { e.topicsLoop(commits) })

	select {
	case <-ctx.Done():
	case <-e.aborted:
	case <-e.renewed:
	}
	hard, cancel := context.WithTimeout(e.base, e.cfg.DrainTimeout+e.cfg.CommitTimeout)
	defer cancel()
	stop := context.AfterFunc(e.clientCtx, cancel) // Abort
	defer stop()

	stopped := make(chan error, 1)
	go func() {
		err := e.stop(hard)
		stopCommits()
		e.leave(hard)
		loops.Wait()
		stopped <- errors.Join(err, e.waitWorkers(hard))
	}()
	select {
	case err := <-stopped:
		return err
	case <-hard.Done():
	}
	e.cancelClient()
	select {
	case err := <-stopped:
		return err
	case <-time.After(2 * leaveGrace):
		return fmt.Errorf("%w: the client does not close", ErrDrainTimeout)
	}
}

// Abort is the second step of stopping: it waits for nothing any more.
func (e *Engine) Abort() {
	e.abortOnce.Do(func() {
		close(e.aborted)
		e.cancelClient()
		e.mu.Lock()
		e.cond.Broadcast() // to Settle
		e.unlock()
	})
}

// stop takes nothing new, drains, and commits.
func (e *Engine) stop(ctx context.Context) error {
	e.mu.Lock()
	e.stopping = true
	all := e.assignments(func(*assignment) bool { return true }) // what is lost from here on was to be drained, and is told
	e.endRunning()
	e.kick()
	e.cond.Broadcast()
	e.unlock()
	if e.transacts() {
		err := errors.Join(e.stopTransacting(ctx), e.outlivedBy())
		select {
		case <-e.aborted:
			return ErrAborted
		default:
			return err
		}
	}
	err := e.drain(ctx, func() []*assignment {
		return append(all, e.assignments(func(a *assignment) bool { return !slices.Contains(all, a) })...) // and what came since
	}, e.cfg.DrainTimeout, ErrStopped)
	select {
	case <-e.aborted:
		return ErrAborted
	default:
		return err
	}
}

// leave leaves the group and closes the client, by the deadline. What was handled is committed by now: a leave that fails
// only means that the group waits for the session to end.
func (e *Engine) leave(hard context.Context) {
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		if hard.Err() == nil {
			err = e.client.LeaveGroupContext(hard)
		}
		e.cancelClient()
		e.client.Close()
	}()
	select {
	case <-done:
	case <-hard.Done():
		e.cancelClient()
		<-done
	}
	if err != nil {
		e.log.Warn("did not leave the group; it waits until the session ends before it gives our partitions away", "event", "leave_failed",
			"err", err)
	}
}

// waitWorkers waits for goroutines whose context is cancelled by now; one that ignores that is left behind.
func (e *Engine) waitWorkers(hard context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(hard), leaveGrace)
	defer cancel()
	select {
	case <-e.aborted:
		cancel()
	default:
	}
	e.mu.Lock()
	defer e.unlock()
	if !e.waitUntil(ctx, func() bool { return e.live == 0 }) {
		return fmt.Errorf("%w: %d goroutines did not end when their context was cancelled", ErrDrainTimeout, e.live)
	}
	return nil
}
