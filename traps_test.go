package sluice_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// The traps of the usual guide to Kafka in Go, a test each: what goes wrong there cannot go wrong here. Those of settings
// are in settings_traps_test.go, those of producers in producer_test.go.

// The guide closes a channel in Setup to say that the consumer is ready; the second rebalance closes it again and panics.
// Here Health says so, and rebalances are not the handler's business.
func TestTrapReadyChannelClosedAtTheSecondRebalance(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		var l ledger
		add := ledgerRoute(&l, sluice.Policy{})
		m := join(t, configFor(t, c, nil), add)
		ready := func() bool { return m.app.Health().Ready }
		c.Until("it is ready", ready)
		for i := range 3 {
			other := join(t, configFor(t, c, nil), add)
			c.Until("the other has its share", func() bool { return len(other.app.Snapshot().Partitions) == 2 })
			for p := range int32(4) {
				c.Produce("orders", p, i*10, 10, 0)
			}
			c.Until("all were handled", func() bool { return l.count() == 40*(i+1) })
			other.leave(t)
			c.Until("all partitions are back", func() bool { return len(m.app.Snapshot().Partitions) == 4 && ready() })
		}
		if n := m.app.Stats().Rebalances; n < 6 {
			t.Fatalf("%d rebalances, want at least 6", n)
		}
		m.leave(t)
	})
}

// The guide's loop does not look at its context while it waits for records.
func TestTrapConsumerThatNeverExits(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil)
		cfg.Fetch.MinBytes, cfg.Fetch.MaxWait = 1<<20, 25*time.Second // a long poll, in vain
		var l ledger
		m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
		c.Until("it is ready", func() bool { return m.app.Health().Ready })
		time.Sleep(3 * time.Second) // virtual: in the middle of a poll
		began := time.Now()
		m.leave(t)
		if took := time.Since(began); took > time.Second {
			t.Fatalf("Run returned %v after its context ended", took)
		}
	})
}

// The guide measures its commits with times of two clocks, or the wrong way around.
func TestTrapCommitCostThatComesOutNegative(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		const roundTrip = 250 * time.Millisecond
		c.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			c.SleepControl(func() { time.Sleep(roundTrip) }) // virtual
			return nil, nil, false                           //nolint:nilnil // not handled
		})
		c.Produce("orders", 0, 0, 10, 0)
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, failing(sluice.Policy{Commit: sluice.EveryN(1)}, func(sluice.Message[string]) error {
			time.Sleep(time.Second) // virtual
			return nil
		}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		var sum time.Duration
		made := of[sluice.CommittedInfo](&l, "Committed")
		for _, i := range made {
			if i.Took < roundTrip || i.Took > 2*roundTrip {
				t.Errorf("a commit took %v, and its round trip is %v", i.Took, roundTrip)
			}
			sum += i.Took
		}
		if s := m.app.Stats(); s.Commits != int64(len(made)) || s.Commits < 10 || s.CommitTime != sum {
			t.Errorf("%d commits took %v; told were %d, which took %v", s.Commits, s.CommitTime, len(made), sum)
		}
	})
}

// The guide counts records in one variable for all partitions, whose goroutines share it without a lock.
func TestTrapCountSharedByPartitions(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 6}, func(t *testing.T, c *bubble.Cluster) {
		const n = 20 // a partition
		for p := range int32(6) {
			c.Produce("orders", p, 0, n, 0)
		}
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, failing(sluice.Policy{Commit: sluice.EveryN(3)}, func(m sluice.Message[string]) error {
			// One record a second ends, in turns: 0, 1, 2, …, 5, 0, …
			at := time.Duration(m.Offset()*6+int64(m.Partition())) * time.Second
			time.Sleep(time.Until(m.Timestamp().Truncate(time.Hour).Add(time.Minute + at))) // virtual
			return nil
		}))
		c.Until("all are committed", func() bool {
			for p := range int32(6) {
				if c.Committed("g", "orders", p) != n {
					return false
				}
			}
			return true
		})
		m.leave(t)
		commits, total := 0, int64(0)
		last := map[int32]int64{}
		for _, i := range of[sluice.CommittedInfo](&l, "Committed") {
			before := total
			for p, o := range i.Offsets["orders"] {
				total += o - last[p]
				last[p] = o
			}
			if total == before {
				continue // the start
			}
			commits++
			if total-before != 3 {
				t.Errorf("a commit covers %d further records, want 3", total-before)
			}
		}
		if commits != 6*n/3 {
			t.Errorf("%d commits of 3 records, want %d", commits, 6*n/3)
		}
	})
}

// Auto-commit commits what was polled; a process that dies inside its handler has lost the record.
func TestTrapAutoCommitLosesTheRecordInTheHandler(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var mu sync.Mutex
		finished := map[int64]bool{}
		var inside atomic.Bool
		handle := func(dies bool) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{"orders"}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.Every(10 * time.Millisecond)},
					Handle: func(ctx context.Context, m sluice.Message[string]) error {
						if dies && m.Offset() == 40 {
							inside.Store(true)
							<-ctx.Done()
							return fmt.Errorf("died: %w", ctx.Err())
						}
						mu.Lock()
						defer mu.Unlock()
						finished[m.Offset()] = true
						return nil
					},
				})
			}
		}
		link := c.NewLink()
		m := join(t, configFor(t, c, link), handle(true))
		c.Until("it is inside, and its commits went on", func() bool { return inside.Load() && c.Committed("g", "orders", 0) == 40 })
		time.Sleep(time.Minute) // virtual: many a commit interval
		link.Cut()
		m.app.Abort()
		for range m.done { // it ends, in whatever way
		}
		m = join(t, configFor(t, c, nil), handle(false))
		c.Until("the end", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		for o := range int64(100) {
			if !finished[o] {
				t.Errorf("record %d is lost", o)
			}
		}
	})
}
