package engine

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Observer is told what happens, never under a lock. Its fields may be nil. Package sluice has the same as Events.
type Observer struct {
	Assigned       func(AssignedInfo)
	Committed      func(CommittedInfo)
	CommitFailed   func(CommitFailedInfo)
	DataLost       func(DataLostInfo)
	DeadLettered   func(FailedInfo)
	DrainOverran   func(DrainOverranInfo)
	Dropped        func(FailedInfo)
	Failed         func(FailedInfo)
	Halted         func(HaltedInfo)
	HandlerOverran func(HandlerOverranInfo)
	Outage         func(OutageInfo)
	Polled         func(PolledInfo)
	Reclaimed      func(ReclaimedInfo)
	Released       func(ReleasedInfo)
	Run            func(RunInfo)
	Skipped        func(SkippedInfo)
	Stalled        func(StalledInfo)
	Stuck          func(StuckInfo)
}

// The infos are package sluice's, field by field, so that they convert.
type (
	// AssignedInfo is sluice.AssignedInfo.
	AssignedInfo struct {
		Topic     string
		Partition int32
		Epoch     uint64
	}
	// ReleasedInfo is sluice.ReleasedInfo.
	ReleasedInfo struct {
		Topic     string
		Partition int32
		Epoch     uint64
		Frontier  int64
		Lost      bool
	}
	// CommittedInfo is sluice.CommittedInfo.
	CommittedInfo struct {
		Offsets map[string]map[int32]int64
		Took    time.Duration
	}
	// CommitFailedInfo is sluice.CommitFailedInfo.
	CommitFailedInfo struct {
		Err  error
		Took time.Duration
	}
	// PolledInfo is sluice.PolledInfo.
	PolledInfo struct {
		Fetches kgo.Fetches
		Took    time.Duration
	}
	// DataLostInfo is sluice.DataLostInfo.
	DataLostInfo struct {
		Topic     string
		Partition int32
		Position  int64
		Resume    int64
		LogStart  int64
		LogEnd    int64
	}
	// FailedInfo is sluice.FailedInfo.
	FailedInfo struct {
		Record   *kgo.Record
		Attempts int
		Err      error
		RetryIn  time.Duration
	}
	// HaltedInfo is sluice.HaltedInfo.
	HaltedInfo struct {
		Topic     string
		Partition int32
		Offset    int64
		Err       error
	}
	// OutageInfo is sluice.OutageInfo.
	OutageInfo struct {
		Topics  []string
		Since   time.Time
		Err     error
		Breaker bool
		Probes  int
		Ended   bool
	}
	// ReclaimedInfo is sluice.ReclaimedInfo.
	ReclaimedInfo struct {
		Topic     string
		Partition int32
		Next      int64
		Err       error
	}
	// RunInfo is sluice.RunInfo.
	RunInfo struct {
		Topic     string
		Partition int32
		Records   int
		Took      time.Duration
	}
	// SkippedInfo is sluice.SkippedInfo.
	SkippedInfo struct {
		Record *kgo.Record
		Reason string
	}
	// HandlerOverranInfo is sluice.HandlerOverranInfo.
	HandlerOverranInfo struct {
		Topic     string
		Partition int32
		Offset    int64
		Key       []byte
		Records   int
		Age       time.Duration
		Timeout   time.Duration
		Stack     string
	}
	// StalledInfo is sluice.StalledInfo.
	StalledInfo struct {
		Topic     string
		Partition int32
		Frontier  int64
		LogEnd    int64
		For       time.Duration
		Reason    string
	}
	// StuckInfo is sluice.StuckInfo.
	StuckInfo struct {
		Record   *kgo.Record
		Attempts int
		Since    time.Time
		Err      error
	}
	// DrainOverranInfo is sluice.DrainOverranInfo.
	DrainOverranInfo struct {
		Topic     string
		Partition int32
		Offsets   []int64
	}
)
