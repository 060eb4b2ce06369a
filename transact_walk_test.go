package sluice_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A bad record at the head of its lane has those behind it tried, to tell it from an outage: what their handlers return is written, too.
func TestInvariant12WhatAProbeReturnsIsWritten(t *testing.T) {
	for name, ordering := range map[string]sluice.Ordering{"by partition": sluice.ByPartition, "by key": sluice.ByKey} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "orders.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				const n = 40
				policy := sluice.Policy{
					Ordering: ordering, Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
				}
				m := join(t, configFor(t, c, nil), forward(policy, func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() < 3 {
						return errors.New("bad")
					}
					return nil
				}))
				c.Produce("orders", 0, 0, n, 5)
				c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
				m.leave(t)
				once(t, c, n, 0, 1, 2)
				if got := len(c.Read("orders.dlq")); got != 3 {
					t.Errorf("invariant 12: %d dead letters, want 3", got)
				}
			})
		})
	}
}
