package sluice

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// Ordering says which records of a partition wait for each other. Records that wait for each other form a lane: at most
// one of them is in the handler at a time, in offset order, also across retries.
type Ordering int

const (
	// ByPartition keeps all records of a partition in order. The default.
	ByPartition Ordering = iota
	// ByKey keeps the records of a key in order; records without a key wait for nobody. Parallelism goes beyond the number
	// of partitions.
	ByKey
	// Unordered lets every record go by itself.
	Unordered
)

func (o Ordering) String() string {
	switch o {
	case ByPartition:
		return "partition"
	case ByKey:
		return "key"
	case Unordered:
		return "unordered"
	}
	return fmt.Sprintf("Ordering(%d)", int(o))
}

// Policy is how a route treats its records. The zero value keeps a partition's order, retries for ever and commits once a
// second.
type Policy struct {
	// Commit says when the frontier is committed. Zero: every second. A revoke and a stop commit in any case.
	Commit Commit

	// Middleware wraps the handler, the first one outermost. It sees raw records, before they are decoded.
	Middleware []Middleware

	// OnFailure says what becomes of a record that is poison, or that failed Retry.MaxAttempts times: DeadLetter, Drop or
	// Halt. Nil: there is no such thing; the record stays, is tried again at the longest backoff, and health is red. It is
	// required where Retry.MaxAttempts is positive.
	OnFailure OnFailure

	// Ordering is ByPartition, ByKey or Unordered.
	Ordering Ordering

	// Retry says how often and how fast a failed record is tried again.
	Retry Retry

	// RetryTopics are delays. A record that has used up its attempts goes on to a topic for the first of them, and is handled again when it
	// has lain there for the delay. When it fails twice while others succeed (with Breaker -1: once), it goes on to the next, and only
	// after the last one OnFailure decides. Meanwhile the records behind it are handled: so the order of its lane is lost, which is what
	// this is for. Poison goes to OnFailure at once, and in an outage nothing goes on (see Retry.Breaker). The record is finished when its
	// copy is acknowledged; its handler, and everything that is told of it, sees it as it was in its own topic.
	//
	// The topics are <topic>.<group>.retry.<delay>, as in orders.billing.retry.1m, and have as many partitions as their source. Run creates
	// those that there are not, as safe as their source. The group reads them from their first record, whatever Config.Start says. They are
	// kept as long as the brokers' log.retention says, which has to be longer than the delay. A delay is at least 1 s, and may be late by
	// about Fetch.MaxWait. They need Retry.MaxAttempts, and cannot be had with a Pattern, Offsets, BeforeHandle or Manual. Nil: none.
	RetryTopics []time.Duration

	// Stuck says what becomes of a record that fails for long while others succeed. Zero: nothing.
	Stuck Stuck

	// Timeout is the deadline of one call of the handler, middleware and decoding included, for a record or for a batch. When it
	// passes, the handler's context ends with the cause ErrHandlerTimeout; what the handler then returns is its outcome, so that a
	// context's error is an ordinary failure, which is retried. A handler that ignores its context is never stopped: it turns health
	// red and is named with its record's key and its stack (Events.HandlerOverran). At least 1 ms. Zero: none; a handler that runs
	// for 5 minutes is named then.
	Timeout time.Duration

	// Workers bounds the handlers of this route that run at once in this process, over all its partitions. Zero: 16; with
	// ByPartition no more run than there are partitions.
	Workers int
}

// Retry says how a failed record is tried again. It is retried in place: its lane waits, without holding a worker, and
// every other lane goes on. Attempts are forgotten at a restart and when the partition moves.
type Retry struct {
	// Backoff is the wait after the first failure; it doubles with each further one, less up to a quarter of jitter. Zero:
	// 100 ms.
	Backoff time.Duration

	// Breaker is how many records have to fail in a row before failures count as an outage, whatever the handler calls them. A
	// record that used up its attempts is given to OnFailure only when others succeed: some did since the latest record failed for
	// its first time, or one does that is tried right now. If those fail as well, all of the route waits, one record is tried now and
	// then, and attempts are not counted, until one succeeds. So an outage of any length dead-letters nothing. On a topic whose
	// records all fail, be it a single one, the route stands still, health red. A handler's Poison counts at once, and is no sign of an
	// outage. Breaker also bounds how many records behind a failed one of the same lane are tried, and so how many bad ones in a
	// row a topic with a single lane may hold. Behind a record that stays when it is given up (Halt, StuckPark, StuckHalt) none is
	// tried, as it would be out of order: in a single lane such a record is an outage until it succeeds. Zero: 10. -1: off; each
	// record counts by itself. It needs MaxAttempts, or a Stuck that gives records up, and has no effect on routes with Offsets,
	// whose sinks say Poison and Outage by themselves. With MaxAttempts 1 every failure is checked against another record, for which
	// the route holds its breath.
	Breaker int

	// MaxAttempts is how often the handler is called for a record before it goes on to a retry topic, or OnFailure decides; calls in
	// an outage do not count. Zero: for ever. A positive number demands an OnFailure.
	MaxAttempts int

	// MaxBackoff bounds the wait. Zero: 30 s.
	MaxBackoff time.Duration
}

// delay is the wait after the given number of failures, from 1.
func (r Retry) delay(failures int) time.Duration {
	d := r.Backoff
	for i := 1; i < failures && d < r.MaxBackoff; i++ {
		d *= 2
	}
	d = min(d, r.MaxBackoff)
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}

// Commit says when an app commits. The zero value is Every(time.Second).
type Commit struct {
	interval time.Duration
	records  int
	each     bool
	before   bool
	manual   bool
}

// Every commits d after the first record that was finished since the last commit. d must be at least 10 ms.
func Every(d time.Duration) Commit { return Commit{interval: d} }

// EveryN commits whenever n further records of a partition's route were finished, and on revoke and stop.
func EveryN(n int) Commit { return Commit{records: n} }

// EveryOrN commits when either is due.
func EveryOrN(d time.Duration, n int) Commit { return Commit{interval: d, records: n} }

// EachRecord commits after every record (on a BatchRoute: after every batch) and starts the lane's next one only when the
// broker acknowledged it. It costs one round trip a record, and on classic groups it waits while a rebalance is under way.
func EachRecord() Commit { return Commit{each: true} }

// BeforeHandle commits records before their handler is called: at most once. A crash, or an expulsion from the group, loses
// what was committed and not finished: per partition up to 64 records, or Workers, or MaxSize, whichever is the largest; so
// does a drain that runs out of time, and a partition that halts. Records that are parked count: as many as that hold up
// their partition. It costs one round trip for as many records, and on classic groups it waits while a
// rebalance is under way. Retries stay within this process. It cannot be had on routes with Offsets.
func BeforeHandle() Commit { return Commit{before: true} }

// Manual leaves both to the caller: a record is finished when its Message.Done is called, by any goroutine, also after its
// handler has returned, and App.Commit commits what is finished; a revoke and a stop commit in any case. Until Done a record
// is in work: it counts against MaxBufferedBytes, and a drain waits for it as for a handler. So do not hold Done back to
// form batches; that is what a BatchRoute is for. It cannot be had on routes with Offsets.
func Manual() Commit { return Commit{manual: true} }

// OnFailure is DeadLetter, Drop or Halt.
type OnFailure interface{ onFailure() }

// Drop finishes a failed record without a trace but Events.Dropped, a counter, and a log line, of which floods are folded. Use it only for
// data that may be lost.
type Drop struct{}

// Halt stops the partition of a failed record: it takes nothing new, its frontier stays and is committed, health is red,
// and every other partition goes on. A restart, or a move to another member, tries again.
type Halt struct{}

func (Drop) onFailure()       {}
func (Halt) onFailure()       {}
func (DeadLetter) onFailure() {}

const (
	defaultWorkers    = 16
	defaultBreaker    = 10
	defaultBackoff    = 100 * time.Millisecond
	defaultMaxBackoff = 30 * time.Second
	defaultCommit     = time.Second
	minCommitInterval = 10 * time.Millisecond
	minTimeout        = time.Millisecond
)

// withDefaults fills in what is zero, and notes every mistake.
func (p Policy) withDefaults(bad *mistakes) Policy {
	if p.Ordering < ByPartition || p.Ordering > Unordered {
		bad.add("Policy.Ordering", strconv.Itoa(int(p.Ordering)), "none of ByPartition, ByKey and Unordered")
	}
	if p.Workers < 0 {
		bad.add("Policy.Workers", strconv.Itoa(p.Workers), fmt.Sprintf(
			"negative; give the number of handlers that may run at once, or 0 for %d", defaultWorkers))
	}
	if p.Timeout < 0 || p.Timeout > 0 && p.Timeout < minTimeout {
		bad.add("Policy.Timeout", p.Timeout.String(), fmt.Sprintf(
			"a handler's deadline is at least %v; give a time with its unit, as in 30*time.Second, or 0 for none", minTimeout))
	}
	p.Workers = cmp.Or(p.Workers, defaultWorkers)
	p.Retry = p.Retry.withDefaults(bad)
	if p.Retry.MaxAttempts > 0 && p.OnFailure == nil {
		bad.add("Policy.OnFailure", "", fmt.Sprintf(
			"Retry.MaxAttempts is %d, so say what becomes of a record that failed so often: DeadLetter, Drop or Halt", p.Retry.MaxAttempts))
	}
	if d, ok := p.OnFailure.(DeadLetter); ok {
		p.OnFailure = d.withDefaults(bad)
	}
	p.Commit = p.Commit.withDefaults(bad)
	p.checkRetryTopics(bad)
	if _, ok := p.OnFailure.(Halt); ok && p.Commit.before {
		bad.add("Policy.OnFailure", "Halt", "it keeps a failed record for a person, but with BeforeHandle it is committed already; "+
			"use DeadLetter or Drop")
	}
	p.Stuck.check(p, bad)
	for i, m := range p.Middleware {
		if m == nil {
			bad.add(fmt.Sprintf("Policy.Middleware[%d]", i), "", "nil; leave it out")
		}
	}
	return p
}

func (r Retry) withDefaults(bad *mistakes) Retry {
	if r.Breaker < -1 {
		bad.add("Policy.Retry.Breaker", strconv.Itoa(r.Breaker), fmt.Sprintf(
			"negative; give a number of records, 0 for %d, or -1 to have no failure taken for an outage", defaultBreaker))
	}
	r.Breaker = cmp.Or(r.Breaker, defaultBreaker)
	if r.MaxAttempts < 0 {
		bad.add("Policy.Retry.MaxAttempts", strconv.Itoa(r.MaxAttempts), "negative; give a number of attempts, or 0 to retry for ever")
	}
	if r.Backoff < 0 {
		bad.add("Policy.Retry.Backoff", r.Backoff.String(), fmt.Sprintf("negative; give a wait, or 0 for %v", defaultBackoff))
	}
	if r.MaxBackoff < 0 {
		bad.add("Policy.Retry.MaxBackoff", r.MaxBackoff.String(), fmt.Sprintf("negative; give a wait, or 0 for %v", defaultMaxBackoff))
	}
	r.Backoff = cmp.Or(r.Backoff, defaultBackoff)
	r.MaxBackoff = cmp.Or(r.MaxBackoff, max(defaultMaxBackoff, r.Backoff))
	if r.MaxBackoff < r.Backoff {
		bad.add("Policy.Retry.MaxBackoff", r.MaxBackoff.String(), fmt.Sprintf("below Backoff, %v; raise it, or lower Backoff", r.Backoff),
			"Policy.Retry.Backoff")
	}
	return r
}

func (c Commit) withDefaults(bad *mistakes) Commit {
	if c == (Commit{}) {
		return Every(defaultCommit)
	}
	if c.interval < 0 || c.interval > 0 && c.interval < minCommitInterval {
		bad.add("Policy.Commit", c.interval.String(), fmt.Sprintf(
			"an interval is at least %v; for less, EachRecord commits after every record", minCommitInterval))
	}
	if c.records < 0 {
		bad.add("Policy.Commit", strconv.Itoa(c.records), "a count is at least 1")
	}
	return c
}
