package engine

import (
	"context"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Ordering says what a lane is.
type Ordering int

// The orderings: one lane a partition, one a key of a partition, one a record.
const (
	ByPartition Ordering = iota
	ByKey
	Unordered
)

// Route is what the engine knows of a route. Exactly one of Handle and HandleBatch is set.
type Route struct {
	Topics   []string
	Pattern  *regexp.Regexp // of whole names of topics; nil: none
	Ordering Ordering
	Workers  int // handlers that may run at once

	// Handle handles one record.
	Handle func(ctx context.Context, w *Work, r *kgo.Record, attempt int) Outcome

	// HandleBatch handles up to MaxSize records of one partition. They wait for more for MaxWait.
	HandleBatch func(ctx context.Context, b *Batch) BatchOutcome
	MaxSize     int
	MaxWait     time.Duration

	// Stream makes the handler of an assignment that is open, for Handle to hand the records to; nil on routes without. The ordering
	// is ByPartition then.
	Stream func(w *Work) Streamer

	CommitEach     bool
	CommitFirst    bool          // a record is handled after its commit: at most once
	CommitManually bool          // Work.Finish finishes a record, and Engine.Commit commits
	CommitInterval time.Duration // 0: none
	CommitRecords  int           // 0: none

	Timeout time.Duration // of one call of a handler; 0: none

	// Breaker is how many records have to fail, without one success, before it is an outage; 0: failures never are.
	Breaker     int
	MaxAttempts int // 0: no bound
	Backoff     func(failures int) time.Duration
	MaxBackoff  time.Duration

	// StuckAfter is how long a record has to fail to be stuck, and Stuck what becomes of it then; 0: none is.
	StuckAfter time.Duration
	Stuck      Stuck

	// OnFailure is what becomes of a record that is poison or out of attempts.
	OnFailure OnFailure

	// DeadLetter writes a failed record's copy. done is called once, from any goroutine, with nil when the copy was
	// acknowledged.
	DeadLetter func(f Failure, done func(error))

	// Copy is a failed record's copy, with Config.Transact: it is written in the transaction, instead of by DeadLetter.
	Copy func(f Failure) *kgo.Record

	// Delays are those of the route's retry topics, in the order in which a record passes through them; none: what has used up its
	// attempts goes to OnFailure. RetryTopics are the topics by name, with the number of delays that their records have seen when
	// they are handled there, from 1. Retry writes a failed record's copy to the next one, as DeadLetter does.
	Delays      []time.Duration
	RetryTopics map[string]int
	Retry       func(f Failure, done func(error))

	// Claim is set on routes whose sink keeps the offsets. The ordering is ByPartition then.
	Claim func(ctx context.Context, r ClaimRequest) (Claim, error)

	ready  fifo[*assignment] // that have lanes to run
	active int               // workers
	badges []badge           // that no worker wears
	outage *outage           // nil: none
	held   atomic.Bool       // as long as there is one: read by workers between records, without the lock

	recovered time.Time // the end of the last outage

	begun   uint64 // runs
	worked  uint64 // the latest run in which a record succeeded
	failing uint64 // the latest run that had begun when a record failed for the first time
	since   int    // records finished since the last commit was asked for
}

// OnFailure is what becomes of a record that cannot be handled.
type OnFailure int

// Park keeps the record and its lane, and tries again at the longest backoff.
const (
	Park OnFailure = iota
	DeadLetter
	Drop
	Halt
)

// fenced routes keep settled records in their batch until the sink has stepped over them.
func (r *Route) fenced() bool { return r.Claim != nil }

// Work is what a handler may know of the assignment it works for.
type Work struct {
	Topic     string
	Partition int32
	TopicID   [16]byte
	Begin     int64    // where the assignment began
	Token     any      // of the claim
	Stream    Streamer // of a route that streams; nil on others
	Delays    int      // that its records have seen: see Route.RetryTopics

	// Finish finishes a record of a route that commits manually; nil on others.
	Finish func(*kgo.Record)

	// Ahead is HandleBatch's own, where the ordering is ByPartition: what it made of records that wait.
	Ahead any
}

// Batch is what HandleBatch gets.
type Batch struct {
	*Work
	Records   []*kgo.Record
	Attempts  []int // one a record, from 1
	Next      int64
	NextEpoch int32

	// Works are what is to be known of each record, where that is not Work: HandleBatch's own.
	Works []*Work

	// Waiting are the records that come next, up to MaxSize, where the ordering is ByPartition.
	Waiting []*kgo.Record
}

// Kind is what became of one call for one record.
type Kind int

// The kinds of outcomes. The zero value is success.
const (
	Done Kind = iota
	Skipped
	Failed     // tried again, up to MaxAttempts
	Outage     // tried again for ever
	Poison     // never again
	Reclaim    // the claim is not ours any more
	HandedBack // not applied, through no fault of its own
	condemned  // the engine's: failed as often as it may, and not called again
)

// Outcome is what became of one record.
type Outcome struct {
	Kind Kind
	Err  error
	More *More // nil: nothing more
}

// More is what few outcomes have. It is apart, as one outcome is returned for each record: the compiler passes structs of up to four words
// in registers, which takes 2 ns instead of 15.
type More struct {
	Records []*kgo.Record // for Done, with Config.Transact: to be written
	After   time.Duration // for Failed: the wait, where it is not the route's backoff; -1 none was given
	Class   string        // for dead letters: poison, panic, decode, attempts, stuck
}

func (o Outcome) records() []*kgo.Record {
	if o.More == nil {
		return nil
	}
	return o.More.Records
}

func (o Outcome) after() time.Duration {
	if o.More == nil {
		return 0
	}
	return o.More.After
}

func (o Outcome) class() string {
	if o.More == nil {
		return ""
	}
	return o.More.Class
}

// BatchOutcome is what became of a batch: All counts where Each is nil, and it befell the records together.
type BatchOutcome struct {
	All  Outcome
	Each []Outcome // one a record
}

// Failure is a record on its way to OnFailure.
type Failure struct {
	Record      *kgo.Record
	TopicID     [16]byte
	Attempts    int
	Delays      int // that it has seen: see Route.RetryTopics
	First, Last time.Time
	Err         error
	Class       string
}

// ClaimRequest and Claim are package sluice's.
type ClaimRequest struct {
	Topic          string
	Partition      int32
	TopicID        [16]byte
	Committed      int64
	CommittedEpoch int32
	Start          func(context.Context) (int64, error)
}

// Claim is the answer to a ClaimRequest.
type Claim struct {
	Next      int64
	NextEpoch int32
	Token     any
	Refused   error // a person has to mend something
}

// fifo is a queue; the zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// unshift puts vs back to the front, in their order.
func (q *fifo[T]) unshift(vs ...T) {
	if len(vs) == 0 {
		return
	}
	if q.head >= len(vs) {
		q.head -= len(vs)
		copy(q.items[q.head:], vs)
		return
	}
	items := make([]T, 0, len(vs)+q.len()+8)
	items = append(append(items, vs...), q.items[q.head:]...)
	q.items, q.head = items, 0
}

func (q *fifo[T]) pop() T {
	v := q.items[q.head]
	q.drop(1)
	return v
}

// peek is the queue's content, valid until the next call.
func (q *fifo[T]) peek() []T { return q.items[q.head:] }

// drop forgets the first n.
func (q *fifo[T]) drop(n int) {
	clear(q.items[q.head : q.head+n])
	q.head += n
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}
