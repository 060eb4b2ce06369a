package sluice_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A batch failed for one bad record of it, some of the others succeeded by themselves, and then the database went away: what failed
// with the batch is no record that had failed before.
func TestInvariant11WhatFailedWithItsBatchIsNotGivenUpInAnOutage(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		var away atomic.Bool
		c.Produce("orders", 0, 0, 10, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10,
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 4}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					switch first := b.Messages[0].Value; {
					case away.Load():
						return errors.New("the database is away")
					case len(b.Messages) > 1, first == "0":
						return errors.New("a bad record")
					case first == "4":
						away.Store(true) // from the next one on
					}
					return nil
				},
			})
		})
		c.Until("the outage", away.Load)
		time.Sleep(time.Hour)
		if n := m.app.Stats().DeadLettered; n > 1 {
			t.Errorf("invariant 11: %d dead letters after an hour of outage, want one at most", n)
		}
		away.Store(false)
		c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		if dead := c.Read("dlq"); len(dead) != 1 || string(dead[0].Value) != "0" {
			t.Errorf("invariant 11: %d dead letters, want that of 0 alone: %v", len(dead), dead)
		}
	})
}

// What is said of a batch that was rolled back is said of the records that it names: the others tell nothing, as they are never left in.
// Where all there is stands in one lane, an outage ends only when they are tried without the bad one.
func TestAnOutageEndsBesideARecordThatRollsItsBatchBack(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		var away atomic.Bool
		away.Store(true)
		c.Produce("orders", 0, 0, 10, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 5,
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 4, Breaker: 5}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					if away.Load() {
						return sluice.Outage(errors.New("the database is away"))
					}
					failed := make(map[int]error)
					for i, m := range b.Messages {
						if m.Value == "2" || m.Value == "3" {
							failed[i] = errors.New("a bad record")
						}
					}
					if len(failed) == 0 {
						return nil
					}
					return &sluice.BatchError{Failed: failed, RolledBack: true}
				},
			})
		})
		c.Until("the outage", func() bool { return m.app.Stats().Outages > 0 })
		away.Store(false)
		c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		if n := len(c.Read("dlq")); n != 2 {
			t.Errorf("%d dead letters, want those of 2 and 3", n)
		}
	})
}

// A batch whose records are all named as failed, one by one, is tried one by one in an outage, and not after it.
func TestAfterAnOutageBatchesAreWholeAgain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 50
		var away, first atomic.Bool
		var calls atomic.Int64
		away.Store(true)
		c.Produce("orders", 0, 0, n, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: n,
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 1000}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					if !away.Load() {
						calls.Add(1)
						return nil
					}
					if first.CompareAndSwap(false, true) {
						return sluice.Outage(errors.New("the database is away"))
					}
					failed := make(map[int]error)
					for i := range b.Messages {
						failed[i] = errors.New("the database is away")
					}
					return &sluice.BatchError{Failed: failed}
				},
			})
		})
		c.Until("the outage", func() bool { return m.app.Stats().Outages > 0 })
		time.Sleep(time.Hour)
		away.Store(false)
		c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		if got := calls.Load(); got > 10 {
			t.Errorf("%d calls for %d records after the outage, want few", got, n)
		}
		if dead := len(c.Read("dlq")); dead > 0 {
			t.Errorf("invariant 11: %d dead letters of an outage", dead)
		}
	})
}
