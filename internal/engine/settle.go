package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// finishTransaction commits a transaction, or aborts it. An error: nobody knows how it ended, or the next one cannot begin.
func (e *Engine) finishTransaction(t *transaction) (committed bool, err error) {
	ctx, cancel := context.WithTimeout(e.clientCtx, e.cfg.Transact.Timeout)
	defer cancel()
	defer t.cancel()
	t.close()
	if e.fate(t) == nil {
		if err := e.client.Flush(ctx); err != nil {
			e.mu.Lock()
			e.spoil(fmt.Errorf("flush: %w", err))
			e.unlock()
		} else {
			t.open.Wait() // the client tells of those that failed before they were buffered a moment later
		}
	}
	spoiled := e.fate(t)
	if f := e.cfg.BeforeCommit; f != nil {
		f()
	}
	began := time.Now()
	if spoiled == nil {
		spoiled = e.commitOffsets(ctx, t)
	}
	if spoiled == nil {
		switch err := e.client.EndTransaction(ctx, kgo.TryCommit); {
		case err == nil:
			e.mu.Lock()
			defer e.unlock()
			e.took(time.Since(began))
			e.over()
			if t.says.Load() {
				e.refusals = 0
			}
			return true, nil
		case errors.Is(err, kerr.OperationNotAttempted):
			spoiled = err
		case errors.Is(err, kerr.TransactionAbortable):
			if spoiled = err; errors.Is(err, kerr.UnknownTopicID) { // a topic that was made again, which the client does not take up
				spoiled = fmt.Errorf("%w: %w", ErrRenew, err)
			}
		default:
			return false, e.undo(fmt.Errorf("%w: nobody knows how a transaction ended: %w", ErrRenew, err))
		}
	}
	e.freeze()
	err = e.client.AbortBufferedRecords(ctx)
	if err == nil {
		err = e.client.EndTransaction(ctx, kgo.TryAbort)
	}
	if err != nil {
		spoiled = fmt.Errorf("%w: a transaction could not be aborted: %w; that was because %w", ErrRenew, err, spoiled)
	}
	return false, e.undo(spoiled)
}

// over ends the transaction that is under way: whoever waits for it goes on. Under mu.
func (e *Engine) over() {
	e.txn = nil
	e.cond.Broadcast()
}

// took takes in a commit. Under mu.
func (e *Engine) took(took time.Duration) {
	acked := make(map[string]map[int32]int64)
	for _, a := range e.parts {
		if a.state != open || a.tracker == nil || a.tracker.Next() == a.settledAt() {
			continue
		}
		a.settle(a.tracker.Next(), acked)
		e.absolve(a)
	}
	e.tellCommitted(acked, took)
}

// settle takes in what an assignment's offset was committed as.
func (a *assignment) settle(offset int64, acked map[string]map[int32]int64) {
	a.committed, a.acked, a.unsure = offset, true, false
	a.settleOutcomes()
	if acked[a.topic] == nil {
		acked[a.topic] = make(map[int32]int64)
	}
	acked[a.topic][a.partition] = offset
}

// tellCommitted tells of a commit. Under mu.
func (e *Engine) tellCommitted(acked map[string]map[int32]int64, took time.Duration) {
	e.totals.Commits.Add(took)
	e.totals.CommitTime += took
	e.totals.LastCommit = time.Now()
	e.commitFails.note(nil)
	if f := e.cfg.Observer.Committed; f != nil {
		e.tell(func() { f(CommittedInfo{Offsets: acked, Took: took}) })
	}
}

// tellAbort tells of an abort. Under mu.
func (e *Engine) tellAbort(why error) {
	if e.stopping {
		e.lastAbort = why
	}
	e.tellCommitFailed(fmt.Errorf("transaction aborted; its records run again: %w", why))
}

// tellCommitFailed tells of a commit that failed. Under mu.
func (e *Engine) tellCommitFailed(err error) {
	e.commitFails.note(err)
	e.commitFailed(err, 0)
}
