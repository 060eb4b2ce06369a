package engine_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

// engineConfig is one route over a cluster; tests change what they need.
func engineConfig(t *testing.T, c *bubble.Cluster, handle func(*kgo.Record) engine.Outcome) engine.Config {
	t.Helper()
	return engine.Config{
		Options:       c.Options(c.Dial),
		Group:         "g",
		CommitTimeout: 10 * time.Second, DrainTimeout: 20 * time.Second,
		Fetch: engine.FetchSizes{Most: 50 << 20, MostOfPartition: 1 << 20}, MaxBytes: 1 << 20, StallAfter: time.Minute,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
		Routes: []*engine.Route{{
			Topics: []string{"orders"}, Workers: 8, CommitInterval: time.Second, MaxBackoff: time.Second,
			Backoff: func(int) time.Duration { return 100 * time.Millisecond },
			Handle:  func(_ context.Context, _ *engine.Work, r *kgo.Record, _ int) engine.Outcome { return handle(r) },
		}},
	}
}

// run runs an engine until the test ends or stop is called; stop returns what Run returned.
func run(t *testing.T, cfg engine.Config) (e *engine.Engine, stop func() error) {
	t.Helper()
	e, err := engine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(e *engine.Engine) { done <- e.Run(ctx); close(done) }(e)
	stop = func() error { cancel(); return <-done }
	t.Cleanup(func() { _ = stop() })
	return e, stop
}

// Records that the poll goroutine holds in its hand while their partition is lost and comes back must not meet the new
// assignment: they would be taken at an offset that the group has given out anew.
func TestInvariant3RecordsInThePollersHandMeetNoNewEpoch(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var holding, hold atomic.Bool
		var assigned, lost, epoch atomic.Int64
		cut := make(chan struct{})
		release := make(chan struct{})
		var first atomic.Int64 // the first record that the second epoch handled
		first.Store(-1)
		var tookBefore atomic.Int64
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if epoch.Load() >= 2 {
				first.CompareAndSwap(-1, r.Offset)
			} else {
				tookBefore.Add(1)
			}
			return engine.Outcome{}
		})
		hold.Store(true)
		cfg.AfterPoll = func() {
			if hold.CompareAndSwap(true, false) {
				holding.Store(true)
				select {
				case <-release:
				case <-cut:
				}
			}
		}
		cfg.Observer.Assigned = func(i engine.AssignedInfo) { assigned.Add(1); epoch.Store(int64(i.Epoch)) }
		cfg.Observer.Released = func(i engine.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
			}
		}
		// hold only a poll that has records: the first one may be empty
		afterPoll := cfg.AfterPoll
		var armed atomic.Bool
		cfg.AfterPoll = func() {
			if armed.Load() {
				afterPoll()
			}
		}
		_, stop := run(t, cfg)
		c.Until("the first records", func() bool { return tookBefore.Load() == 10 && c.Committed("g", "orders", 0) == 10 })
		armed.Store(true)
		c.Produce("orders", 0, 10, 10, 0)
		c.Until("the poller holds records", holding.Load)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Until("the loss", func() bool { return lost.Load() == 1 })
		time.Sleep(20 * time.Second) // the partition would be back by now
		if n := assigned.Load(); n != 1 {
			t.Fatalf("invariant 3: a new epoch was opened while the poller held records of the old one (%d assignments)", n)
		}
		if first.Load() != -1 || tookBefore.Load() != 10 {
			t.Fatalf("invariant 3: records were handled without an assignment")
		}
		close(release)
		c.Until("the return", func() bool { return assigned.Load() == 2 })
		c.Until("all records", func() bool { return c.Committed("g", "orders", 0) == 20 })
		if f := first.Load(); f != 10 {
			t.Fatalf("invariant 3: the new epoch began with record %d, want 10", f)
		}
		close(cut)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInvariant10ASlowObserverDoesNotSpoilACleanDrain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
		cfg.Observer.Run = func(engine.RunInfo) { time.Sleep(500 * time.Millisecond) }
		e, stop := run(t, cfg)
		c.Until("work", func() bool { return e.Stats().Finished == 10 })
		if err := stop(); err != nil {
			t.Errorf("invariant 10: Run: %v, though all is handled and committed", err)
		}
		time.Sleep(time.Second) // for the events
	})
}
