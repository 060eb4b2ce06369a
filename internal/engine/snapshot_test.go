package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A snapshot and health walk partitions, and no records: what they take does not grow with what is held.
func TestASnapshotWalksNoRecords(t *testing.T) {
	const partitions, records = 1000, 500
	route := &Route{Topics: []string{"t"}, Ordering: Unordered, Workers: 1, Handle: func(context.Context, *Work, *kgo.Record, int) Outcome { return Outcome{} }}
	e, err := New(Config{
		Group: "g", Routes: []*Route{route}, Logger: slog.New(slog.DiscardHandler), MaxBytes: 1 << 40, StallAfter: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.cancelClient()
	e.mu.Lock()
	route.active = route.Workers // nobody handles anything
	for p := range int32(partitions) {
		a := e.newAssignment(part{"t", p}, route)
		a.start(position{epoch: -1})
		var rs []*kgo.Record
		for o := range int64(records) {
			rs = append(rs, &kgo.Record{Topic: "t", Partition: p, Offset: o})
			a.trouble(o, errors.ErrUnsupported.Error())
		}
		e.takeRecords(a, rs)
	}
	e.unlock()
	began := time.Now()
	s, h := e.Snapshot(), e.Health()
	took := time.Since(began)
	if len(s.Partitions) != partitions || s.Partitions[7].Queued != records || len(h.Problems) != partitions {
		t.Fatalf("%d partitions, %+v, %d problems", len(s.Partitions), s.Partitions[7], len(h.Problems))
	}
	t.Logf("%d records held: %v", e.heldRecords, took)
	if allocs := testing.AllocsPerRun(1, func() { e.Snapshot() }); allocs > 3*partitions {
		t.Errorf("a snapshot of %d partitions makes %v allocations", partitions, allocs)
	}
}

// Ages are right to a part in 32, in little memory, whatever happens above the frontier.
func TestAges(t *testing.T) {
	t.Parallel()
	var g ages
	at := time.Now()
	began := at
	handed := map[int64]time.Time{}
	for i := range int64(200_000) {
		at = at.Add(time.Duration(1+i%7) * time.Millisecond)
		handed[i] = at
		g.add(i+1, 0, at)
	}
	if n := g.q.len(); n > 1000 {
		t.Errorf("%d entries", n)
	}
	for f := int64(0); f < 200_000; f += 997 {
		got, want := g.of(f, at), at.Sub(handed[f])
		if got < want || got-want > at.Sub(began)/ageSteps+time.Millisecond {
			t.Fatalf("record %d is %v old, told %v", f, want, got)
		}
	}
	if got := g.of(200_000, at); got != 0 {
		t.Errorf("nothing is unfinished, and it is %v old", got)
	}
}
