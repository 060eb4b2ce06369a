package engine

import (
	"context"
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
