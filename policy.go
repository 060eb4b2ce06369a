package sluice

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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

	// MaxAttempts is how often the handler is called for a record before OnFailure decides. Zero: for ever. A positive
	// number demands an OnFailure.
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
// does a drain that runs out of time. It costs one round trip for as many records, and on classic groups it waits while a
// rebalance is under way. Retries stay within this process. It cannot be had on routes with Offsets.
func BeforeHandle() Commit { return Commit{before: true} }

// Manual leaves both to the caller: a record is finished when its Message.Done is called, by any goroutine, also after its
// handler has returned, and App.Commit commits what is finished; a revoke and a stop commit in any case. Until Done a record
// is in work: it counts against MaxBufferedBytes, and a drain waits for it as for a handler. So do not hold Done back to
// form batches; that is what a BatchRoute is for. It cannot be had on routes with Offsets.
func Manual() Commit { return Commit{manual: true} }

// OnFailure is DeadLetter, Drop or Halt.
type OnFailure interface{ onFailure() }

// Drop finishes a failed record without a trace but Events.Dropped, a log line and a counter. Use it only for data that
// may be lost.
type Drop struct{}

// Halt stops the partition of a failed record: it takes nothing new, its frontier stays and is committed, health is red,
// and every other partition goes on. A restart, or a move to another member, tries again.
type Halt struct{}

func (Drop) onFailure()       {}
func (Halt) onFailure()       {}
func (DeadLetter) onFailure() {}

const (
	defaultWorkers    = 16
	defaultBackoff    = 100 * time.Millisecond
	defaultMaxBackoff = 30 * time.Second
	defaultCommit     = time.Second
	minCommitInterval = 10 * time.Millisecond
)

// withDefaults fills in what is zero and returns every mistake at once.
func (p Policy) withDefaults() (Policy, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p.Ordering < ByPartition || p.Ordering > Unordered {
		bad("Policy.Ordering: %d is none of ByPartition, ByKey and Unordered", int(p.Ordering))
	}
	switch {
	case p.Workers < 0:
		bad("Policy.Workers: %d is negative; give the number of handlers that may run at once, or 0 for %d", p.Workers, defaultWorkers)
	case p.Workers == 0:
		p.Workers = defaultWorkers
	}
	if p.Retry.MaxAttempts < 0 {
		bad("Policy.Retry.MaxAttempts: %d is negative; 0 retries for ever", p.Retry.MaxAttempts)
	}
	if p.Retry.Backoff < 0 || p.Retry.MaxBackoff < 0 {
		bad("Policy.Retry: a negative backoff")
	}
	if p.Retry.Backoff == 0 {
		p.Retry.Backoff = defaultBackoff
	}
	if p.Retry.MaxBackoff == 0 {
		p.Retry.MaxBackoff = max(defaultMaxBackoff, p.Retry.Backoff)
	}
	if p.Retry.MaxBackoff < p.Retry.Backoff {
		bad("Policy.Retry.MaxBackoff: %v is below Backoff, %v", p.Retry.MaxBackoff, p.Retry.Backoff)
	}
	if p.Retry.MaxAttempts > 0 && p.OnFailure == nil {
		bad("Policy.OnFailure: Retry.MaxAttempts is %d, so say what becomes of a record that failed so often: DeadLetter, Drop or Halt",
			p.Retry.MaxAttempts)
	}
	if d, ok := p.OnFailure.(DeadLetter); ok {
		if d.Topic == "" {
			bad("Policy.OnFailure: DeadLetter.Topic is empty; name the topic that failed records are copied to")
		}
		if d.Headers == "" {
			d.Headers = NativeHeaders
			p.OnFailure = d
		}
		if _, ok := headerSets[d.Headers]; !ok {
			bad("Policy.OnFailure: DeadLetter.Headers: %q is none of %v", d.Headers, slices.Sorted(maps.Keys(headerSets)))
		}
	}
	if p.Commit == (Commit{}) {
		p.Commit = Every(defaultCommit)
	}
	if p.Commit.records < 0 || p.Commit.interval < 0 || (p.Commit.interval > 0 && p.Commit.interval < minCommitInterval) {
		bad("Policy.Commit: an interval is at least %v, a count is at least 1", minCommitInterval)
	}
	if _, ok := p.OnFailure.(Halt); ok && p.Commit.before {
		bad("Policy.OnFailure: Halt keeps a failed record for a person, but with BeforeHandle it is committed already; use DeadLetter or Drop")
	}
	for i, m := range p.Middleware {
		if m == nil {
			bad("Policy.Middleware[%d]: nil", i)
		}
	}
	return p, errors.Join(errs...)
}
