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
