package engine

import (
	"cmp"
	"slices"
	"time"
)

// Snapshot is what package sluice makes its Snapshot of.
type Snapshot struct {
	Time       time.Time
	MemberID   string
	Protocol   string
	Generation int32
	Full       bool
	Routes     []RouteSnapshot
	Partitions []PartitionSnapshot
	Overruns   []HandlerOverranInfo
}

// RouteSnapshot is sluice.RouteSnapshot.
type RouteSnapshot struct {
	Topics   []string
	Pattern  string
	Ordering string
	Running  int
	Workers  int
	State    string
	Outage   string
}

// PartitionSnapshot is sluice.PartitionSnapshot.
type PartitionSnapshot struct {
	Topic       string
	Partition   int32
	Epoch       uint64
	State       string
	Frontier    int64
	Committed   int64
	Position    int64
	LogEnd      int64
	Ahead       int
	Queued      int
	Running     int
	Parked      int
	Paused      string
	Bytes       int64
	OldestAge   time.Duration
	TimeLag     time.Duration
	Stalled     string
	LastError   string
	LastErrorAt time.Time
}

// Snapshot tells what the engine holds and does. It walks partitions and runs, and no records.
func (e *Engine) Snapshot() Snapshot {
	s := Snapshot{Time: time.Now(), Protocol: e.protocolInUse(), Generation: -1}
	select {
	case <-e.connected:
		s.MemberID, s.Generation = e.client.GroupMetadata()
	default:
	}
	e.lookAtAll(&s)
	slices.SortFunc(s.Partitions, func(a, b PartitionSnapshot) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return s
}

func (e *Engine) lookAtAll(s *Snapshot) {
	e.mu.Lock()
	defer e.unlock()
	s.Full = e.full()
	for _, r := range e.cfg.Routes {
		pattern := ""
		if r.Pattern != nil {
			pattern = r.Pattern.String()
		}
		s.Routes = append(s.Routes, RouteSnapshot{
			Topics: r.Topics, Pattern: pattern, Ordering: r.Ordering.String(), Running: r.active, Workers: r.Workers, State: r.state(),
			Outage: r.outageProblem(),
		})
	}
	s.Partitions = make([]PartitionSnapshot, 0, len(e.parts))
	for _, a := range e.parts {
		s.Partitions = append(s.Partitions, e.lookAt(a, s.Time))
	}
	for a := range e.working() {
		for _, r := range a.runs {
			if r.overruns() {
				s.Overruns = append(s.Overruns, e.overrun(r, s.Time))
			}
		}
	}
}

func (e *Engine) lookAt(a *assignment, now time.Time) PartitionSnapshot {
	p := PartitionSnapshot{
		Topic: a.topic, Partition: a.partition, Epoch: a.epoch, State: a.state.String(),
		Committed: a.committed, Position: -1, LogEnd: a.logEnd,
		Running: len(a.handed), Parked: len(a.parked) + a.delayed.len(), Paused: e.pausedFor(a),
		Bytes: a.heldBytes, TimeLag: a.timeLag(now), Stalled: a.stalled(),
		LastError: a.lastError, LastErrorAt: a.lastErrorAt,
	}
	p.Frontier, _ = a.frontier()
	if a.tracker != nil {
		p.Position = a.tracker.Next()
		p.Ahead = a.tracker.FinishedAhead()
		p.OldestAge = a.ages.of(p.Frontier, now)
	}
	for _, r := range a.runs {
		p.Running += len(r.items) - r.published
	}
	p.Queued = max(0, a.heldRecords-p.Running)
	return p
}

// pausedFor says why we do not have a partition fetched; "" when we do.
func (e *Engine) pausedFor(a *assignment) string {
	switch {
	case a.state == halted:
		return "halted"
	case a.held:
		return "user"
	case a.paused && a.problems[fetchProblem] != "":
		return "fetch error"
	case a.paused:
		return "share"
	case e.full():
		return "buffer"
	}
	return ""
}

// state says what a route's workers do.
func (r *Route) state() string {
	switch {
	case r.active == 0:
		return "idle"
	case r.active == r.Workers && r.ready.len() > 0:
		return "saturated"
	}
	return "working"
}

func (o Ordering) String() string { return [...]string{"partition", "key", "unordered"}[o] }

// failed notes the last thing that went wrong with a partition.
func (a *assignment) failed(text string) { a.lastError, a.lastErrorAt = text, time.Now() }
