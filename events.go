package sluice

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// Events is told what happens in an app. Fields may be nil. The funcs are called from the engine's goroutines, possibly
// several at once and in no order across partitions; one that blocks holds up the work that it was told of.
type Events struct {
	Assigned       func(AssignedInfo)
	Committed      func(CommittedInfo)
	CommitFailed   func(CommitFailedInfo)
	DataLost       func(DataLostInfo)
	DeadLettered   func(FailedInfo)
	DrainOverran   func(DrainOverranInfo)
	Dropped        func(FailedInfo)
	Failed         func(FailedInfo) // an attempt failed; the record is tried again or handed to OnFailure
	Halted         func(HaltedInfo)
	HandlerOverran func(HandlerOverranInfo)
	Outage         func(OutageInfo) // a route stands still, and again when it goes on
	Polled         func(PolledInfo) // told before the records are handed over: what it takes, all of the app waits for, rebalances too
	Reclaimed      func(ReclaimedInfo)
	Released       func(ReleasedInfo)
	Run            func(RunInfo) // told once a run of up to 64 records, or once a batch
	Skipped        func(SkippedInfo)
	Stalled        func(StalledInfo)
	Stuck          func(StuckInfo)
}

// AssignedInfo tells that a partition was taken up. Epoch grows with every assignment in this process.
type AssignedInfo struct {
	Topic     string
	Partition int32
	Epoch     uint64
}

// ReleasedInfo tells that a partition was given up, cleanly (a revoke or a stop) or not.
type ReleasedInfo struct {
	Topic     string
	Partition int32
	Epoch     uint64
	Frontier  int64 // the lowest unfinished offset
	Lost      bool  // lost without a revoke: nothing was committed for it
}

// CommittedInfo tells of one acknowledged commit.
type CommittedInfo struct {
	Offsets map[string]map[int32]int64
	Took    time.Duration
}

// CommitFailedInfo tells of a commit that failed as a whole or in some partitions. It is tried again.
type CommitFailedInfo struct {
	Err  error
	Took time.Duration
}

// PolledInfo tells of a poll that brought records. They must not be changed, nor looked at after the func has returned: then handlers
// have them. Some may be nobody's by then, and be polled again elsewhere.
type PolledInfo struct {
	Fetches kgo.Fetches
	Took    time.Duration // with the wait for records
}

// DataLostInfo tells that a partition's position was no longer in its log. Resume is where it goes on; -1 when it halted.
type DataLostInfo struct {
	Topic     string
	Partition int32
	Position  int64
	Resume    int64
	LogStart  int64
	LogEnd    int64
}

// FailedInfo tells of a record whose handler failed.
type FailedInfo struct {
	Record   *kgo.Record
	Attempts int
	Err      error
	RetryIn  time.Duration // for Failed: the wait before the next attempt, in a retry topic too; 0 when OnFailure decides
}

// HaltedInfo tells that a partition takes nothing new until a restart or a move.
type HaltedInfo struct {
	Topic     string
	Partition int32
	Offset    int64 // where it stopped
	Err       error
}

// HandlerOverranInfo tells of a handler that runs too long: longer than Policy.Timeout although its context has ended, or, without a
// Timeout, for 5 minutes. It is told once a call. Nothing is done to the handler; health is red until it ends.
type HandlerOverranInfo struct {
	Topic     string
	Partition int32
	Offset    int64  // of the record at hand; of a batch, its first
	Key       []byte // of that record
	Records   int    // of the batch; 1 on a Route
	Age       time.Duration
	Timeout   time.Duration // Policy.Timeout; 0 none
	Stack     string        // of the handler's goroutine, innermost call first, at most 8 KiB; or why it was not found
}

// StalledInfo tells of a partition that stands still: it has records to read or to handle, or a start to find, for a minute (beyond
// twice Fetch.MaxWait) nothing came of it, and nothing else that is told explains it. Health is red until it goes on.
type StalledInfo struct {
	Topic     string
	Partition int32
	Frontier  int64 // the lowest unfinished offset; -1 when its start is not known
	LogEnd    int64 // as last seen; -1 unknown
	For       time.Duration
	Reason    string // what is known, and what to do
}

// StuckInfo tells of a record that is stuck, before Policy.Stuck does anything to it. It is told once in an assignment.
type StuckInfo struct {
	Record   *kgo.Record
	Attempts int
	Since    time.Time // its first failure
	Err      error     // the latest
}

// OutageInfo tells that all of a route stands still, as nothing can succeed now, and that it goes on.
type OutageInfo struct {
	Topics  []string // the route's
	Since   time.Time
	Err     error // the latest
	Breaker bool  // found by Retry.Breaker; else a handler said Outage
	Probes  int   // that failed
	Ended   bool  // false when it begins
}

// ReclaimedInfo tells that a sink with Offsets took a partition again, after somebody else's claim or a change in its
// database.
type ReclaimedInfo struct {
	Topic     string
	Partition int32
	Next      int64
	Err       error // why
}

// RunInfo tells of records that were handled one after the other, or of one batch.
type RunInfo struct {
	Topic     string
	Partition int32
	Records   int // finished ones
	Took      time.Duration
}

// SkippedInfo tells of a record that its handler skipped.
type SkippedInfo struct {
	Record *kgo.Record
	Reason string
}

// DrainOverranInfo tells of handlers that still ran when a drain's time was up. Only a sink with Offsets is safe from what
// they still do.
type DrainOverranInfo struct {
	Topic     string
	Partition int32
	Offsets   []int64 // the first record of each run that still goes on
}

// observer hands the engine the same funcs, for its own infos.
func (e Events) observer() engine.Observer {
	return engine.Observer{
		Assigned:       adapt(e.Assigned, func(i engine.AssignedInfo) AssignedInfo { return AssignedInfo(i) }),
		Committed:      adapt(e.Committed, func(i engine.CommittedInfo) CommittedInfo { return CommittedInfo(i) }),
		CommitFailed:   adapt(e.CommitFailed, func(i engine.CommitFailedInfo) CommitFailedInfo { return CommitFailedInfo(i) }),
		DataLost:       adapt(e.DataLost, func(i engine.DataLostInfo) DataLostInfo { return DataLostInfo(i) }),
		DeadLettered:   adapt(e.DeadLettered, func(i engine.FailedInfo) FailedInfo { return FailedInfo(i) }),
		DrainOverran:   adapt(e.DrainOverran, func(i engine.DrainOverranInfo) DrainOverranInfo { return DrainOverranInfo(i) }),
		Dropped:        adapt(e.Dropped, func(i engine.FailedInfo) FailedInfo { return FailedInfo(i) }),
		Failed:         adapt(e.Failed, func(i engine.FailedInfo) FailedInfo { return FailedInfo(i) }),
		HandlerOverran: adapt(e.HandlerOverran, func(i engine.HandlerOverranInfo) HandlerOverranInfo { return HandlerOverranInfo(i) }),
		Halted:         adapt(e.Halted, func(i engine.HaltedInfo) HaltedInfo { return HaltedInfo(i) }),
		Outage:         adapt(e.Outage, func(i engine.OutageInfo) OutageInfo { return OutageInfo(i) }),
		Polled:         adapt(e.Polled, func(i engine.PolledInfo) PolledInfo { return PolledInfo(i) }),
		Reclaimed:      adapt(e.Reclaimed, func(i engine.ReclaimedInfo) ReclaimedInfo { return ReclaimedInfo(i) }),
		Released:       adapt(e.Released, func(i engine.ReleasedInfo) ReleasedInfo { return ReleasedInfo(i) }),
		Run:            adapt(e.Run, func(i engine.RunInfo) RunInfo { return RunInfo(i) }),
		Skipped:        adapt(e.Skipped, func(i engine.SkippedInfo) SkippedInfo { return SkippedInfo(i) }),
		Stalled:        adapt(e.Stalled, func(i engine.StalledInfo) StalledInfo { return StalledInfo(i) }),
		Stuck:          adapt(e.Stuck, func(i engine.StuckInfo) StuckInfo { return StuckInfo(i) }),
	}
}

func adapt[E, I any](f func(I), convert func(E) I) func(E) {
	if f == nil {
		return nil
	}
	return func(i E) { f(convert(i)) }
}
