package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Retry topics hold what tends to fail. A night in which nothing else comes makes no outage of that, and holds nobody up.
func TestCopiesThatFailOnAQuietSourceAreNoOutage(t *testing.T) {
	for _, n := range []int32{1, 12} {
		bubble.Run(t, map[string]int32{"orders": 12, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
			var good atomic.Int64
			m := join(t, configFor(t, c, nil), failing(sluice.Policy{
				Ordering: sluice.Unordered, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"},
				RetryTopics: []time.Duration{time.Minute, 10 * time.Minute, time.Hour},
			}, func(m sluice.Message[string]) error {
				if m.Value == "1000" {
					return errors.New("bad")
				}
				good.Add(1)
				return nil
			}))
			for p := range n {
				c.Produce("orders", p, 1000, 1, 0)
			}
			for range 10 { // until all attempts in place are used up
				c.Produce("orders", 5, 0, 1, 0)
				time.Sleep(time.Second)
			}
			c.Until("the copies", func() bool { return m.app.Stats().Delayed == int64(n) })
			outages := m.app.Stats().Outages
			time.Sleep(30 * time.Minute)
			if h := m.app.Health(); !h.Ready || m.app.Stats().Outages > outages || m.app.Stats().DeadLettered > 0 {
				t.Errorf("%d copies: %v, %+v", n, h.Problems, m.app.Stats())
			}
			if notes := m.app.Health().Notes; len(notes) != int(n) || !strings.Contains(notes[0], "orders.g.retry.1m") {
				t.Errorf("%d copies wait for another record that succeeds, and health notes: %q", n, notes)
			}
			before, at := good.Load(), time.Now()
			c.Produce("orders", 7, 0, 1, 0)
			c.Until("the good one", func() bool { return good.Load() > before })
			if took := time.Since(at); took > time.Second {
				t.Errorf("%d copies: a good record waited for %v", n, took)
			}
			for range 75 { // others succeed: now it is their own fault
				time.Sleep(time.Minute)
				c.Produce("orders", 7, 0, 1, 0)
			}
			c.Until("the dead letters", func() bool { return m.app.Stats().DeadLettered == int64(n) })
			if notes := m.app.Health().Notes; len(notes) > 0 {
				t.Errorf("%d copies are dead letters, and health notes: %q", n, notes)
			}
			m.leave(t)
		})
	}
}

// A batch of copies that fails as a whole, and then each of them by itself, has failed twice: once by itself. What succeeded before tells
// nothing of that.
func TestInvariant11CopiesThatFailTogetherInAnOutageStayWhereTheyAre(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.1m": 1, "orders.g.retry.10m": 1}, func(t *testing.T, c *bubble.Cluster) {
		const copies = 5
		for range copies {
			forge(t, c, "orders.g.retry.1m", 0, "orders", time.Now(), "bad")
		}
		c.Produce("orders", 0, 0, 1, 0)
		var out atomic.Bool
		var handled atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10, MaxWait: time.Second, Policy: sluice.Policy{
					Ordering: sluice.Unordered, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"},
					RetryTopics: []time.Duration{time.Minute, 10 * time.Minute},
				},
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					if out.Load() {
						return errors.New("the database is away")
					}
					handled.Add(int64(len(b.Messages)))
					return nil
				},
			})
		})
		c.Until("the good one", func() bool { return handled.Load() == 1 })
		out.Store(true) // before the delay is over
		time.Sleep(40 * time.Minute)
		if st := m.app.Stats(); st.Delayed != 0 || st.DeadLettered != 0 {
			t.Fatalf("invariant 11: an outage sent %d copies on, and %d to the dead letters", st.Delayed, st.DeadLettered)
		}
		out.Store(false)
		c.Until("what was retried", func() bool { return handled.Load() == 1+copies })
		m.leave(t)
	})
}

// Copies that fail take their share of the workers, and no more.
func TestCopiesThatFailHoldUpNoSource(t *testing.T) {
	const copies, workers, takes = 1200, 16, 50 * time.Millisecond
	topics := map[string]int32{"orders": 6, "dlq": 1, "orders.g.retry.1m": 6, "orders.g.retry.10m": 6}
	bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
		due := time.Now().Add(time.Minute)
		for i := range int32(copies) {
			forge(t, c, "orders.g.retry.1m", i%6, "orders", time.Now(), "bad", "partition", fmt.Sprint(i%6))
		}
		for p := range int32(6) {
			c.Produce("orders", p, 0, 6000, 0)
		}
		var good atomic.Int64
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{
			Ordering: sluice.Unordered, Workers: workers, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"},
			RetryTopics: []time.Duration{time.Minute, 10 * time.Minute},
		}, func(m sluice.Message[string]) error {
			time.Sleep(takes)
			if m.Value == "bad" {
				return errors.New("bad")
			}
			good.Add(1)
			return nil
		}))
		time.Sleep(time.Until(due))
		before, at := good.Load(), time.Now()
		c.Until("all copies to be sent on", func() bool { return m.app.Stats().Delayed == copies })
		took := time.Since(at)
		handled := time.Duration(good.Load()-before+2*copies) * takes / workers // each copy twice
		if took > handled*3/2 {
			t.Errorf("%v for work of %v: workers stood still", took, handled)
		}
		if took > 40*time.Second || m.app.Stats().Outages > 0 {
			t.Errorf("%v, %+v", took, m.app.Stats())
		}
		m.end(t)
	})
}
