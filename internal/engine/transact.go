package engine

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Transact has the engine work in transactions: what handlers return is written, and the offsets of what they handled are committed,
// all of it or nothing. A transaction carries nothing over: it begins with the first records of a poll, takes what comes until Interval
// has passed, ends when all of it is finished, and only then is polled again. So its frontier is all that was polled.
//
// A rebalance waits where a partition is taken from us, in the callback that says so, until the transaction that is under way has
// ended. Partitions that stay go on, in the middle of a join too.
type Transact struct {
	ID         string        // the transactional id
	InstanceID string        // of a static member; empty: it is none
	Interval   time.Duration // for how long a transaction takes records
	Timeout    time.Duration // after which brokers abort it; half of it is for its handlers and their retries
}

// ErrTransaction is the cause of the context of a handler whose transaction was aborted.
var ErrTransaction = errors.New("the transaction was aborted: its records run again")

func (e *Engine) transacts() bool { return e.cfg.Transact != nil }

// transactOptions are what the client has beside that of other engines.
func (e *Engine) transactOptions() []kgo.Opt {
	t := e.cfg.Transact
	if t == nil {
		return nil
	}
	return []kgo.Opt{kgo.TransactionalID(t.ID), kgo.TransactionTimeout(t.Timeout), kgo.OnPartitionsRevoked(e.onGivenUp)}
}

// onGivenUp lets partitions go once the transaction that is under way has ended, and has it take nothing more. It also comes with no
// partitions, at a join of which nobody knows yet what it takes: then nothing has to wait.
func (e *Engine) onGivenUp(ctx context.Context, _ *kgo.Client, m map[string][]int32) {
	<-e.connected
	if len(m) == 0 {
		return
	}
	e.mu.Lock()
	defer e.unlock()
	e.barrier()
	defer e.unbarrier()
	e.waitUntil(ctx, func() bool { return e.txn == nil })
	for _, a := range e.named(m) {
		e.close(a, ErrRevoked)
	}
}

// limits of the records of a transaction: it starts with few, as nobody knows how long a handler takes.
const (
	firstLimit = 500
	mostLimit  = 100_000
)

// transactLoop polls, handles and commits, one transaction after the other, until the engine stops.
func (e *Engine) transactLoop() {
	limit, failed := firstLimit, 0
	for {
		t, ok := e.gather(limit)
		if !ok {
			return
		}
		if t == nil {
			continue
		}
		e.untilQuiet(t)
		committed, err := e.finishTransaction(t)
		switch {
		case err != nil:
			e.renew(err)
			return
		case committed:
			failed = 0
			if time.Since(t.began) < time.Until(t.deadline) {
				limit = min(2*limit, mostLimit)
			}
			continue
		case !time.Now().Before(t.deadline):
			limit = max(1, min(limit, t.polled)/2)
		}
		failed++
		e.backOff(min(time.Second, 25*time.Millisecond<<min(failed, 6)))
	}
}

// gather polls until there are records, and then for as long as the transaction takes them. No transaction: nothing came. Not ok: the
// engine stops, and there is nothing to end.
func (e *Engine) gather(limit int) (t *transaction, ok bool) {
	e.commitStarts()
	t, ok = e.pollInto(nil, limit, time.Time{})
	if !ok || t == nil {
		return nil, ok
	}
	until := t.began.Add(e.cfg.Transact.Interval)
	for time.Now().Before(until) && t.polled < limit && e.mayGather(t) {
		if _, ok = e.pollInto(t, limit-t.polled, until); !ok {
			break // it stops, or is held: what was taken is finished first
		}
	}
	return t, true
}

func (e *Engine) mayGather(t *transaction) bool {
	e.mu.Lock()
	defer e.unlock()
	return !e.stopping && e.holds == 0 && !e.full() && t.spoiled == nil
}

// pollInto polls once, for a transaction that is under way, or that begins with what comes.
func (e *Engine) pollInto(t *transaction, most int, until time.Time) (*transaction, bool) {
	ctx, pauses, resumes := e.beforePoll()
	if ctx == nil {
		return t, false
	}
	if len(resumes) > 0 {
		e.client.ResumeFetchPartitions(byTopic(resumes))
	}
	if len(pauses) > 0 {
		e.client.PauseFetchPartitions(byTopic(pauses))
	}
	e.followBudget()
	if !until.IsZero() {
		bounded, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		ctx = bounded
	}
	fetches := e.client.PollRecords(ctx, min(most, maxPoll))
	if f := e.cfg.AfterPoll; f != nil {
		f()
	}
	n := fetches.NumRecords()
	var begun error
	if n > 0 && t == nil {
		t = e.newTransaction()
		begun = e.client.BeginTransaction()
	}
	e.mu.Lock()
	defer e.unlock()
	if t != nil {
		e.txn = t
		t.polled += n
		t.fatal = t.fatal || begun != nil
		e.spoil(begun)
	}
	e.handOver(fetches)
	e.sweep()
	e.polling = false
	e.cancelPoll()
	e.cond.Broadcast()
	return t, true
}

// commitStarts commits where partitions begin that have no commit, unless that is at their first record: the next look would find
// another place. Nothing is carried over between transactions, so a frontier is where its partition begins.
func (e *Engine) commitStarts() {
	if s := e.cfg.Start; !s.Latest && s.Time.IsZero() {
		return
	}
	e.mu.Lock()
	as := e.assignments((*assignment).owesStart)
	e.unlock()
	if len(as) > 0 {
		_ = e.commit(e.clientCtx, as, demanded) // told, and tried again before the next poll
	}
}

// backOff waits, unless the engine stops.
func (e *Engine) backOff(d time.Duration) {
	ctx, cancel := context.WithTimeout(e.clientCtx, d)
	defer cancel()
	e.mu.Lock()
	defer e.unlock()
	e.waitUntil(ctx, func() bool { return e.stopping })
}
