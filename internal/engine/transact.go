package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Transact has the engine work in transactions: what handlers return is written, and the offsets of what they handled are committed,
// all of it or nothing. A transaction carries nothing over: it begins with the first records of a poll, takes what comes until Interval
// has passed, ends when all of it is finished, and only then is polled again. So what it commits is all that was polled, which is
// what the client's session commits, and goes back to, by itself.
type Transact struct {
	ID       string        // the transactional id
	Interval time.Duration // for how long a transaction takes records
	Timeout  time.Duration // after which brokers abort it; half of it is for its handlers and their retries
}

// ErrRenew ends Run when the client has to be thrown away: nobody knows how a transaction ended, or the group took us for dead.
var ErrRenew = errors.New("the client has to be made anew")

// ErrTransaction is the cause of the context of a handler whose transaction was aborted.
var ErrTransaction = errors.New("the transaction was aborted: its records run again")

// transaction is one of them, from its first record to its end.
type transaction struct {
	ctx      context.Context // of its writes: ends with its deadline, or when it is spoiled
	cancel   context.CancelFunc
	began    time.Time
	deadline time.Time

	spoiled error // why it cannot be committed; nil: nothing speaks against it. Guarded by Engine.mu
	fatal   bool  // it could not even begin
	dropped int   // transactions in a row, with this one, that ended with errDropped
	polled  int   // records

	gate  sync.RWMutex // held while writing: whoever closes the transaction waits for it
	ended bool         // nothing is written any more
}

func (e *Engine) transacts() bool { return e.cfg.Transact != nil }

// blocks tells whether a rebalance waits for the transaction. With the protocol of KIP-848 the session's end would wait for ever then
// (kgo 1.22.2): there a rebalance aborts.
func (e *Engine) blocks() bool { return e.transacts() && !e.cfg.Consumer }

// transactOptions are what the client has beside that of other engines.
func (e *Engine) transactOptions() []kgo.Opt {
	t := e.cfg.Transact
	if t == nil {
		return nil
	}
	opts := []kgo.Opt{kgo.TransactionalID(t.ID), kgo.TransactionTimeout(t.Timeout), kgo.OnPartitionsRevoked(e.onGivenUp)}
	if e.blocks() {
		opts = append(opts, kgo.BlockRebalanceOnPoll())
	}
	return opts
}

// onGivenUp ends the assignments at once: nothing is under way, or the session aborts its transaction.
func (e *Engine) onGivenUp(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.named(m) {
		e.close(a, ErrRevoked)
	}
}

// mostDropped is how many transactions in a row may bring records that nobody takes: the session swallows some revokes, and a rebalance
// that is under way explains one.
const mostDropped = 3

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
			e.client.AllowRebalance()
			continue
		}
		e.untilQuiet(t)
		committed, err := e.finishTransaction(t)
		e.client.AllowRebalance()
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
			break // it stops: what was taken is finished first
		}
	}
	return t, true
}

func (e *Engine) mayGather(t *transaction) bool {
	e.mu.Lock()
	defer e.unlock()
	return !e.stopping && !e.full() && t.spoiled == nil
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
		begun = e.session.Begin()
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

func (e *Engine) newTransaction() *transaction {
	t := &transaction{began: time.Now()}
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
	errUnfinished = errors.New("a partition's frontier is not where the client's commit would be")
	errDropped    = errors.New("records came for a partition that takes none")
	errRebalanced = errors.New("the group rebalanced meanwhile, or the brokers would not commit it")
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
		}
	}
	if f := e.cfg.BeforeCommit; f != nil {
		f()
	}
	spoiled := e.fate(t)
	if spoiled != nil {
		e.freeze()
	}
	began := time.Now()
	ctx = kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error { return e.mayCommit(t, req) })
	committed, err = e.session.End(ctx, kgo.TransactionEndTry(spoiled == nil))
	switch {
	case err != nil:
		spoiled = fmt.Errorf("%w: nobody knows how a transaction ended: %w", ErrRenew, err)
	case t.fatal:
		spoiled = fmt.Errorf("%w: no transaction can begin: %w", ErrRenew, spoiled)
		err = spoiled
	case committed:
		e.mu.Lock()
		defer e.unlock()
		e.txn, e.dropped = nil, 0
		e.took(time.Since(began))
		return true, nil
	case spoiled == nil:
		spoiled = errRebalanced
	case errors.Is(spoiled, errDropped):
		if t.dropped = e.dropped + 1; t.dropped == mostDropped {
			spoiled = fmt.Errorf("%w: the client has a partition that the engine has not: %w", ErrRenew, spoiled)
			err = spoiled
		}
	}
	e.dropped = t.dropped
	e.freeze()
	positions := e.client.CommittedOffsets()
	e.mu.Lock()
	defer e.unlock()
	e.txn = nil
	e.tellAbort(spoiled)
	if err != nil {
		return false, spoiled
	}
	return false, e.rewind(positions)
}

// fate is why a transaction has to be aborted; nil when it may be committed.
func (e *Engine) fate(t *transaction) error {
	e.mu.Lock()
	defer e.unlock()
	return t.spoiled
}

// mayCommit refuses a commit of anything but what was finished, by the member that was given it.
func (e *Engine) mayCommit(t *transaction, req *kmsg.TxnOffsetCommitRequest) error {
	e.mu.Lock()
	defer e.unlock()
	if t.spoiled != nil {
		return t.spoiled
	}
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			a := e.parts[part{topic.Topic, p.Partition}]
			if a == nil || a.tracker == nil || !a.works() || a.member != req.MemberID {
				return fmt.Errorf("%s[%d]: %w", topic.Topic, p.Partition, errDropped)
			}
			if f, _ := a.frontier(); f != p.Offset {
				return fmt.Errorf("%v: %w: %d, not %d", a.part, errUnfinished, f, p.Offset)
			}
		}
	}
	return nil
}

// close lets nothing more be written in a transaction, and waits for what writes just now.
func (t *transaction) close() {
	t.gate.Lock()
	defer t.gate.Unlock()
	t.ended = true
}

// write writes records in a transaction; false when it has ended, so that they belong to none. done may be nil.
func (e *Engine) write(t *transaction, records []*kgo.Record, done func(error)) bool {
	t.gate.RLock()
	defer t.gate.RUnlock()
	if t.ended {
		return false
	}
	for _, r := range records {
		e.client.Produce(t.ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				err = fmt.Errorf("write to %s: %w", r.Topic, e.explain(err, r.Topic))
				e.mu.Lock()
				if e.txn == t {
					e.spoil(err)
				}
				e.unlock()
			}
			if done != nil {
				done(err)
			}
		})
	}
	return true
}

// writeOut writes what a handler returned for a record; false where the record's transaction has ended.
func (e *Engine) writeOut(r *run, records []*kgo.Record) bool {
	if e.still {
		for _, rec := range records {
			e.cfg.Write(rec)
		}
		return true
	}
	return r.txn != nil && e.write(r.txn, records, nil)
}

// writeCopyIn writes a dead letter in a transaction.
func (e *Engine) writeCopyIn(t *transaction, r *kgo.Record, done func(error)) {
	if t == nil || !e.write(t, []*kgo.Record{r}, done) {
		done(ErrTransaction)
	}
}

// took takes in a commit. Under mu.
func (e *Engine) took(took time.Duration) {
	acked := make(map[string]map[int32]int64)
	for _, a := range e.parts {
		if a.state != open || a.tracker == nil || a.tracker.Next() == a.settledAt() {
			continue
		}
		a.committed, a.acked, a.unsure = a.tracker.Next(), true, false
		delete(e.remembered, a.part)
		if acked[a.topic] == nil {
			acked[a.topic] = make(map[int32]int64)
		}
		acked[a.topic][a.partition] = a.committed
	}
	e.stats.Commits++
	e.stats.CommitTime += took
	e.commitFails.note(nil)
	if f := e.cfg.Observer.Committed; f != nil {
		e.tell(func() { f(CommittedInfo{Offsets: acked, Took: took}) })
	}
}

// tellAbort tells of an abort. Under mu.
func (e *Engine) tellAbort(why error) {
	err := fmt.Errorf("transaction aborted; its records run again: %w", why)
	e.stats.CommitsFailed++
	e.commitFails.note(err)
	if e.stopping {
		e.lastAbort = why
	}
	e.log.Warn("transaction aborted; its records run again", "err", why)
	if f := e.cfg.Observer.CommitFailed; f != nil {
		e.tell(func() { f(CommitFailedInfo{Err: err}) })
	}
}

// freeze starts nothing more of a transaction that is to be aborted: what runs ends in vain, its context cancelled.
func (e *Engine) freeze() {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.parts {
		if a.state != open || a.tracker.Next() == a.settledAt() {
			continue // nothing of it was in the transaction
		}
		e.remember(a)
		a.restsUntil = a.nextDue()
		e.quiet(a, moving)
		a.cancel(ErrTransaction)
	}
}

// rewind opens a new epoch for every partition of an aborted transaction, at its last commit: that is where the client has gone back
// to. Under mu.
func (e *Engine) rewind(positions map[string]map[int32]kgo.EpochOffset) error {
	now := time.Now()
	for _, a := range e.assignments(func(a *assignment) bool { return a.state == moving }) {
		at := a.settledAt()
		if o, ok := positions[a.topic][a.partition]; ok && o.Offset != at {
			return fmt.Errorf("%w: the client went back to %d in %v, and not to %d", ErrRenew, o.Offset, a.part, at)
		}
		e.close(a, ErrTransaction)
		n := e.newAssignment(a.part, a.route)
		n.start(position{next: at, epoch: -1, committed: a.committed, topicID: a.work.TopicID})
		n.acked = a.acked
		maps.Copy(n.problems, a.problems)
		if a.restsUntil.After(now) || e.haunted(n.part) {
			e.rests(n, a.restsUntil)
		}
	}
	return nil
}

// settledAt is what every record below is committed of: where the assignment began, or its last commit.
func (a *assignment) settledAt() int64 { return max(a.begin, a.committed) }

// remember keeps the history of records that failed, for when they are polled again: attempts count across transactions.
func (e *Engine) remember(a *assignment) {
	for l := range a.parked {
		it := l.queue.peek()[0]
		if e.remembered[a.part] == nil {
			e.remembered[a.part] = make(map[int64]*trouble)
		}
		e.remembered[a.part][it.record.Offset] = it.trouble
	}
}

// haunted tells whether a handler of an earlier epoch still runs for a partition.
func (e *Engine) haunted(p part) bool {
	for ref := range maps.Keys(e.ghosts) {
		if ref.part == p {
			return true
		}
	}
	return false
}

// rests keeps a partition out of the transactions until a record of it is due, and until its old handlers have ended.
func (e *Engine) rests(a *assignment, due time.Time) {
	a.paused = true
	e.resting[a.part] = due
	e.pauseChange = append(e.pauseChange, a.part)
	time.AfterFunc(time.Until(due), func() {
		e.mu.Lock()
		defer e.unlock()
		e.wakeRested()
	})
}

// wakeRested lets partitions into the next transaction that have rested for long enough. Under mu.
func (e *Engine) wakeRested() {
	for p, due := range e.resting {
		if time.Now().Before(due) || e.haunted(p) {
			continue
		}
		delete(e.resting, p)
		if a := e.parts[p]; a != nil {
			e.resume(a)
		}
	}
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
	defer e.unlock()
	for _, a := range e.assignments(func(*assignment) bool { return true }) {
		e.close(a, ErrStopped)
	}
	if err := e.lastAbort; err != nil {
		return fmt.Errorf("%w: the last transaction was aborted, and its records run again: %w", ErrDrainTimeout, err)
	}
	return nil
}

// Settle waits until nothing of an engine runs any more, when Run has returned: a handler may ignore its context.
func (e *Engine) Settle(ctx context.Context) bool {
	e.mu.Lock()
	defer e.unlock()
	return e.waitUntil(ctx, func() bool { return e.live == 0 })
}
