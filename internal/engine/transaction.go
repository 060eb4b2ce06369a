package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction is one of them, from its first record to its end.
type transaction struct {
	ctx      context.Context // of its writes: ends with its deadline, or when it is spoiled
	cancel   context.CancelFunc
	began    time.Time
	deadline time.Time

	sole bool      // it takes a single record, so whatever brokers refuse in it is that one's fault
	room batchRoom // as it was known when it began

	spoiled  error  // why it cannot be committed; nil: nothing speaks against it. Guarded by Engine.mu, as are blamed and tooLarge
	blamed   bool   // it is known whose fault that is
	tooLarge string // the topic that a batch of it was too large for; empty: none was
	polled   int    // records

	gate  sync.RWMutex   // held while writing: whoever closes the transaction waits for it
	sent  map[string]int // bytes that may be in one batch by now, by the topics that have a bound. Guarded by gate, held alone, as is extra
	extra map[string]int // what the client's hooks have added to a record, in bytes, at the most, by the same; the engine's
	ended bool           // nothing is written any more
	wrote atomic.Bool    // something was, or was tried
	says  atomic.Bool    // an answer is among it
	open  sync.WaitGroup // writes of which nobody knows yet how they ended
	added bool           // brokers know that it is about the group's offsets, too
}

// newTransaction begins one, with the first records that were polled. Under mu.
func (e *Engine) newTransaction(sole bool) *transaction {
	if e.extra == nil {
		e.extra = make(map[string]int)
	}
	t := &transaction{began: time.Now(), sole: sole, room: e.batches, extra: e.extra, sent: make(map[string]int)}
	t.deadline = t.began.Add(e.cfg.Transact.Timeout / 2)
	t.ctx, t.cancel = context.WithDeadline(e.clientCtx, t.deadline)
	return t
}

// spoil has the transaction that is under way aborted. Under mu.
func (e *Engine) spoil(err error) {
	if t := e.txn; t != nil && err != nil && t.spoiled == nil {
		t.spoiled = err
		t.cancel()
		e.cond.Broadcast()
	}
}

var (
	errDeadline   = errors.New("its records were not finished within half of the transaction's timeout")
	errHopeless   = errors.New("a record of it waits for longer than the transaction may take")
	errStopping   = errors.New("the app stops, and the drain ran out of time")
	errUnfinished = errors.New("not all that was polled is finished")
	errRenamed    = errors.New("the group had taken this member for dead")
	errGone       = errors.New("a partition of it is gone, or takes nothing more")
)

// untilQuiet waits until every record of a transaction is finished, or cannot be in time.
func (e *Engine) untilQuiet(t *transaction) {
	e.mu.Lock()
	defer e.unlock()
	var verdict error
	if !e.waitUntil(t.ctx, func() bool {
		var over bool
		over, verdict = e.quietIn(t)
		return over || t.spoiled != nil || e.drainOver
	}) {
		verdict = errDeadline
	}
	if verdict == nil && e.drainOver {
		if over, _ := e.quietIn(t); !over {
			verdict = errStopping
		}
	}
	e.spoil(verdict)
}

// quietIn tells whether nothing of a transaction is under way any more, and why it is hopeless then, if it is.
func (e *Engine) quietIn(t *transaction) (over bool, err error) {
	over = true
	for _, a := range e.parts {
		if a.tracker == nil || a.state != open {
			continue
		}
		if f, _ := a.frontier(); f == a.tracker.Next() && len(a.runs) == 0 && a.writing == 0 {
			continue
		}
		over = false
		if due := a.nextDue(); due.After(t.deadline) {
			return true, errHopeless
		}
	}
	return over, nil
}

// nextDue is when the last of the lanes that wait for a retry goes on; zero when something else is under way.
func (a *assignment) nextDue() (last time.Time) {
	for l := range a.parked {
		if due := l.queue.peek()[0].due(); due.After(last) {
			last = due
		}
	}
	return last
}

// fate is why a transaction has to be aborted; nil when it may be committed.
func (e *Engine) fate(t *transaction) error {
	e.mu.Lock()
	defer e.unlock()
	return t.spoiled
}

// close lets nothing more be written in a transaction, and waits for what writes just now.
func (t *transaction) close() {
	t.gate.Lock()
	defer t.gate.Unlock()
	t.ended = true
}

// write writes what belongs to a record, in a transaction; false when that has ended. done is nil, or the record's dead letter is written,
// and done is told how that ended. What brokers may refuse for this very record goes by itself: one after the other, and with nothing else
// in its batch, as brokers refuse all of one.
func (e *Engine) write(t *transaction, a *assignment, it item, records []*kgo.Record, done func(error)) bool {
	alone := t.sole || it.refused()
	if alone || t.room.bounds(records) {
		t.gate.Lock()
		defer t.gate.Unlock()
	} else {
		t.gate.RLock()
		defer t.gate.RUnlock()
	}
	if t.ended {
		return false
	}
	for _, r := range records {
		apart, alone := t.placed(r, alone)
		if apart {
			_ = e.client.Flush(t.ctx) // fails with the transaction alone
		}
		t.wrote.Store(true)
		if done == nil {
			t.says.Store(true)
		}
		t.open.Add(1)
		bare := encoded(r)
		e.client.Produce(t.ctx, r, func(r *kgo.Record, err error) {
			defer t.open.Done()
			if err == nil {
				e.outputs.wrote(r.Topic, r.Partition)
			} else {
				err = fmt.Errorf("write to %s: %w", r.Topic, e.explainWrite(err, r.Topic))
			}
			if done != nil {
				done(err)
			}
			if err != nil {
				e.notWritten(t, a, it, r.Topic, err, done != nil, alone)
			}
		})
		t.given(r, bare)
		if alone {
			_ = e.client.Flush(t.ctx)
		}
	}
	return true
}

// notWritten has a transaction aborted in which something of a record could not be written; alone: nothing else was in its batch.
func (e *Engine) notWritten(t *transaction, a *assignment, it item, topic string, err error, dead, alone bool) {
	e.mu.Lock()
	defer e.unlock()
	if e.txn != t {
		return
	}
	if isRefusal(err) && alone && !t.blamed && a.starts() {
		t.blamed = true
		e.blame(a, it, err, dead)
	}
	if t.spoiled == nil && errors.Is(err, kerr.MessageTooLarge) {
		t.tooLarge = topic
	}
	e.spoil(err)
}

// writeOut writes what a handler returned for a record; false where the record's transaction has ended.
func (e *Engine) writeOut(r *run, it item, records []*kgo.Record) bool {
	if e.still {
		for _, rec := range records {
			e.cfg.Write(rec)
		}
		return true
	}
	return r.txn != nil && e.write(r.txn, r.a, it, records, nil)
}

// writeCopyIn writes a record's dead letter in a transaction.
func (e *Engine) writeCopyIn(t *transaction, a *assignment, it item, r *kgo.Record, done func(error)) {
	if t == nil || !e.write(t, a, it, []*kgo.Record{r}, done) {
		done(ErrTransaction)
	}
}
