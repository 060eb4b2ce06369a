package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Observer is told what happens, never under a lock. Its fields may be nil. Package sluice has the same as Events.
type Observer struct {
	Assigned     func(AssignedInfo)
	Committed    func(CommittedInfo)
	CommitFailed func(CommitFailedInfo)
	DataLost     func(DataLostInfo)
	DeadLettered func(FailedInfo)
	DrainOverran func(DrainOverranInfo)
	Dropped      func(FailedInfo)
	Failed       func(FailedInfo)
	Halted       func(HaltedInfo)
	Reclaimed    func(ReclaimedInfo)
	Released     func(ReleasedInfo)
	Run          func(RunInfo)
	Skipped      func(SkippedInfo)
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
	// DrainOverranInfo is sluice.DrainOverranInfo.
	DrainOverranInfo struct {
		Topic     string
		Partition int32
		Offsets   []int64
	}
)

// Stats is sluice.Stats.
type Stats struct {
	Polled, Finished, Failed, DeadLettered, Dropped, Skipped int64
	Commits, CommitsFailed, Rebalances, DataLosses, Reclaims int64
	CommitTime                                               time.Duration
	BufferedBytes, Buffered                                  int64
}

// Stats returns the counters as they stand.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.unlock()
	s := e.stats
	s.BufferedBytes, s.Buffered = e.heldBytes, int64(e.heldRecords)
	return s
}

// Health is what package sluice makes its Health of.
type Health struct {
	Joined     bool
	Problems   []string
	Partitions []PartitionHealth
}

// PartitionHealth is sluice.PartitionHealth.
type PartitionHealth struct {
	Topic     string
	Partition int32
	Epoch     uint64
	Frontier  int64
	Committed int64
	Position  int64
	LogEnd    int64
	Queued    int
	Running   int
	Parked    int
	State     string
	LastError string
}

// fetchMemory is how long a failed fetch is a problem: a client that goes on failing tells so more often.
const fetchMemory = time.Minute

// Health tells how the engine does.
func (e *Engine) Health() Health {
	h := Health{Joined: e.joined.Load()}
	if s := e.groupError.Load(); s != nil {
		h.Problems = append(h.Problems, "the group: "+*s)
	}
	silent := time.Since(time.Unix(0, e.answered.Load()))
	if h.Joined && e.cfg.SilenceLimit > 0 && silent > e.cfg.SilenceLimit {
		h.Joined = false
		h.Problems = append(h.Problems, fmt.Sprintf("the group: its coordinator has not answered for %v", silent.Round(time.Second)))
	}
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.parts {
		p := PartitionHealth{
			Topic: a.topic, Partition: a.partition, Epoch: a.epoch, Committed: a.committed, LogEnd: a.logEnd,
			Parked: len(a.parked), State: a.state.String(), LastError: a.lastError, Position: -1,
		}
		p.Frontier, _ = a.frontier()
		if a.tracker != nil {
			p.Position = a.tracker.Next()
		}
		for r := range a.runs {
			p.Running += len(r.items) - r.published
		}
		p.Running += len(a.handed)
		p.Queued = a.heldRecords - p.Running
		if time.Since(a.fetchFailed) > fetchMemory { // an idle partition has no good fetch to show that it is over
			delete(a.problems, fetchProblem)
		}
		if p := a.problemText(); p != "" {
			h.Problems = append(h.Problems, a.part.String()+": "+p)
		}
		h.Partitions = append(h.Partitions, p)
	}
	for p, what := range e.lost {
		h.Problems = append(h.Problems, p.String()+": "+what)
	}
	slices.Sort(h.Problems)
	slices.SortFunc(h.Partitions, func(a, b PartitionHealth) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return h
}

// problemText is the oldest problem of an assignment, and how many more it has; "" when all is well.
func (a *assignment) problemText() string {
	if len(a.problems) == 0 {
		return ""
	}
	first := slices.Min(slices.Collect(maps.Keys(a.problems)))
	text := a.problems[first]
	if more := len(a.problems) - 1; more > 0 {
		text += "; and " + itoa(int64(more)) + " more problems"
	}
	return text
}
