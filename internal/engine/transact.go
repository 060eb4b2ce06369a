package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
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
	began := time.Now()
	e.mu.Lock()
	defer e.unlock()
	e.barrier()
	defer e.unbarrier()
	e.waitUntil(ctx, func() bool { return e.txn == nil })
	as := e.named(m, AskedFor)
	e.unlock()
	if err := e.commitStarts(ctx, as); err != nil {
		e.log.Warn("partitions were given up before it was committed where they begin; their next owner looks for another place",
			"event", "start_not_committed", "err", err)
	}
	e.mu.Lock()
	for _, a := range as {
		e.close(a, ErrRevoked)
	}
	if len(as) > 0 {
		e.totals.RebalanceTime[AskedFor].Add(time.Since(began))
	}
}

// transactLoop polls, handles and commits, one transaction after the other, until the engine stops.
func (e *Engine) transactLoop() {
	p := pace{limit: firstLimit}
	for {
		t, err := e.gather(p.next(e.tries()))
		if err != nil {
			e.renew(err)
		}
		if t == nil {
			return
		}
		e.untilQuiet(t)
		committed, err := e.finishTransaction(t)
		if err != nil {
			e.renew(err)
			return
		}
		p.after(t, committed, !committed && e.learnRoom(t), e.fate(t))
		if wait := p.wait(); wait > 0 {
			e.backOff(wait)
		}
	}
}

// tries is how many records a transaction needs so that others than those that failed are tried, where the route stands still for them: see
// outage. 0: it does not, or as a handler says so, and then any record will do.
func (e *Engine) tries() int {
	e.mu.Lock()
	defer e.unlock()
	rt := e.cfg.Routes[0]
	if o := rt.outage; o == nil || !o.failures {
		return 0
	}
	return rt.Breaker + 1
}

// gather polls until there are records, and then for as long as the transaction takes them. No transaction: the engine stops, and there
// is nothing to end. An error: the client has to be made anew.
func (e *Engine) gather(limit int) (*transaction, error) {
	if err := e.beginTransaction(); err != nil {
		return nil, err
	}
	var t *transaction
	for t == nil {
		again, err := e.beginStarts()
		if err != nil {
			return nil, err
		}
		var ok bool
		if t, ok = e.pollInto(nil, limit, again); !ok {
			return t, nil
		}
	}
	until := t.began.Add(e.cfg.Transact.Interval)
	for time.Now().Before(until) && t.polled < limit && e.mayGather(t) {
		if _, ok := e.pollInto(t, limit-t.polled, until); !ok {
			break // it stops, or is held: what was taken is finished first
		}
	}
	return t, nil
}

// beginTransaction has the client begin a transaction, before anything is polled for it: that may wait for brokers, which first end what a
// process before this one, with the same transactional id, has left open. So it is done at once when we start, too: what was left
// open holds partitions that we may be given. An error: the client has to be made anew; none when the engine stops meanwhile.
func (e *Engine) beginTransaction() error {
	var before, fatal error
	_ = e.retry(e.running, "begin a transaction", func() error { // until it stops
		err := e.loadProducer()
		if e.running.Err() != nil {
			return err
		}
		e.mu.Lock()
		e.beginFails.note(err)
		e.unlock()
		refused, ok := errors.AsType[*kerr.Error](err)
		if ok && !refused.Retriable && refused != kerr.ConcurrentTransactions || isSame(err, before) {
			fatal = err // the client keeps to it
			return nil
		}
		if err == nil {
			fatal = e.client.BeginTransaction()
		}
		before = err
		return err
	})
	if fatal != nil {
		return fmt.Errorf("%w: no transaction can begin: %w", ErrRenew, fatal)
	}
	return nil
}

// isSame tells whether an error is the very one that came before. The client makes a new one for each request for its producer id that
// fails; one that comes twice it has kept, from a write that failed, and it asks brokers nothing any more.
func isSame(err, before error) bool {
	return err != nil && reflect.ValueOf(err).Comparable() && err == before //nolint:errorlint // the value itself, not what it wraps
}

// loadProducer has the client ask for its id and epoch, unless it has good ones. The client itself would ask for ever.
func (e *Engine) loadProducer() error {
	ctx, cancel := context.WithTimeout(e.running, e.cfg.Transact.Timeout)
	defer cancel()
	_, _, err := e.client.ProducerID(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("brokers did not let the transactional id %s in within %v: an earlier transaction of it may not have ended, or "+
			"their log of transactions (__transaction_state) cannot be written: %w", e.cfg.Transact.ID, e.cfg.Transact.Timeout, err)
	}
	return err
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
	if t == nil && until.IsZero() && len(e.owingStarts()) > 0 { // since we looked, when there was no poll yet to be ended for it
		until = time.Now()
	}
	if !until.IsZero() {
		bounded, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		ctx = bounded
	}
	fetches := e.poll(ctx, min(most, maxPoll))
	if f := e.cfg.AfterPoll; f != nil {
		f()
	}
	n := fetches.NumRecords()
	e.mu.Lock()
	defer e.unlock()
	if n > 0 && t == nil {
		e.askAgain()
		t = e.newTransaction(most == 1)
	}
	if t != nil {
		e.txn = t
		t.polled += n
	}
	e.handOver(fetches)
	e.sweep()
	e.polling = false
	e.cancelPoll()
	e.cond.Broadcast()
	return t, true
}

// backOff waits, unless the engine stops.
func (e *Engine) backOff(d time.Duration) {
	select {
	case <-e.running.Done():
	case <-time.After(d):
	}
}
