package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A log that was cut off above the frontier: what is not finished below the cut is still there, and is not stepped over.
func TestInvariant1ACutAboveTheFrontierStepsOverNothing(t *testing.T) {
	for name, first := range map[string]bool{"after": false, "first": true} {
		t.Run(name, func(t *testing.T) {
			route := &Route{Topics: []string{"t"}, Workers: 1, CommitFirst: first, Handle: func(context.Context, *Work, *kgo.Record, int) Outcome {
				return Outcome{}
			}}
			e, err := New(Config{Group: "g", Routes: []*Route{route}, Logger: slog.New(slog.DiscardHandler), MaxBytes: 1 << 20, StallAfter: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer e.cancelClient()
			e.swap <- struct{}{} // the move that is wanted does not come: there is no client
			e.mu.Lock()
			defer e.unlock()
			a := e.newAssignment(part{"t", 0}, route)
			route.active = route.Workers // nobody handles anything
			a.start(position{next: 0, epoch: -1, committed: 0})
			var records []*kgo.Record
			for o := range int64(100) {
				records = append(records, &kgo.Record{Topic: "t", Offset: o})
			}
			e.takeRecords(a, records)
			e.truncated(a, &kgo.ErrDataLoss{Topic: "t", ConsumedTo: 100, ResetTo: 80})
			if b := e.parts[a.part]; b.snapshot().offset > 0 {
				t.Errorf("invariant 1: records 0 to 79 are in the log and not finished, and the next commit says %d", b.snapshot().offset)
			}
			a.cancel(ErrStopped)
		})
	}
}

// newTransacting is an engine that was never started, and its route.
func newTransacting(t *testing.T) (*Engine, *Route) {
	t.Helper()
	route := &Route{Topics: []string{"t"}, Workers: 1, Handle: func(context.Context, *Work, *kgo.Record, int) Outcome { return Outcome{} }}
	e, err := New(Config{
		Group: "g", Routes: []*Route{route}, Logger: slog.New(slog.DiscardHandler), MaxBytes: 1 << 20, StallAfter: time.Minute,
		Transact: &Transact{ID: "g", Interval: time.Second, Timeout: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.cancelClient)
	return e, route
}

// An abort goes back to the last commit. Where the log was cut off meanwhile, that is another place than the one where the log goes on, and
// the records between them would be stepped over: the partition halts, and a restart begins at the commit.
func TestInvariant12ALogThatIsCutOffInATransactionHalts(t *testing.T) {
	e, route := newTransacting(t)
	e.mu.Lock()
	a := e.newAssignment(part{"t", 0}, route)
	a.start(position{next: 100, epoch: -1, committed: 100})
	for o := range int64(50) {
		a.tracker.Take(100+o, -1)
		a.tracker.Finish(100 + o)
	}
	e.txn = e.newTransaction(false)
	e.truncated(a, &kgo.ErrDataLoss{Topic: "t", ConsumedTo: 150, ResetTo: 130})
	spoiled := e.txn.spoiled
	e.unlock()
	e.freeze()
	e.mu.Lock()
	defer e.unlock()
	back := e.rewind()
	if b := e.parts[a.part]; spoiled == nil || len(back) > 0 || b != a || b.state != halted {
		t.Errorf("invariant 12: spoiled by %v, back to %v, state %v", spoiled, back, b.state)
	}
}

// Between the moment in which the client knows itself by another name and the one in which it tells us, a transaction may end. What it has
// of partitions is the other member's, whom the group took for dead: somebody else may have them.
func TestInvariant12AnotherMemberCommitsNothing(t *testing.T) {
	e, route := newTransacting(t)
	e.mu.Lock()
	e.member = "one"
	a := e.newAssignment(part{"t", 0}, route)
	a.start(position{next: 100, epoch: -1, committed: 100})
	a.tracker.Take(100, -1)
	a.tracker.Finish(100)
	e.txn = e.newTransaction(false)
	e.unlock()
	for member, want := range map[string]error{"one": nil, "two": errRenamed} {
		s := settling{member: member}
		if err := e.addFinished(&s, e.txn); !errors.Is(err, want) || len(s.topics) > 0 != (want == nil) {
			t.Errorf("invariant 12: as member %s: %v, %v", member, s.topics, err)
		}
	}
}

// The client is told once more where a partition was moved to when its first records are of another place. That is told after the unlock,
// behind events that may take long: by then the partition may have gone and come back, to begin elsewhere.
func TestInvariant3TheClientIsToldNothingOfAnEarlierEpoch(t *testing.T) {
	route := &Route{Topics: []string{"t"}, Workers: 1, Handle: func(context.Context, *Work, *kgo.Record, int) Outcome { return Outcome{} }}
	e, err := New(Config{Group: "g", Routes: []*Route{route}, Logger: slog.New(slog.DiscardHandler), MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.cancelClient()
	e.mu.Lock()
	defer e.unlock()
	a := e.newAssignment(part{"t", 0}, route)
	a.start(position{next: 100, epoch: -1, committed: 100})
	a.unproven = true
	e.takeRecords(a, []*kgo.Record{{Topic: "t", Offset: 300}})
	later := e.later
	e.later = nil
	e.close(a, ErrRevoked)
	e.newAssignment(a.part, route).start(position{next: 200, epoch: -1, committed: 200})
	told := func() (told bool) {
		e.mu.Unlock()
		defer e.mu.Lock()
		defer func() { told = recover() != nil }() // there is no client
		for _, f := range later {
			f()
		}
		return told
	}
	if told() {
		t.Error("invariant 3: the client is set to where a partition was moved that is gone, and skips what the next assignment begins with")
	}
}
