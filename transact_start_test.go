package sluice_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Where a partition begins that is read from its end is found once. While that cannot be committed, nothing of it is handled; and it is
// committed before the partition is given up: the next look would find another place.
func TestInvariant12AStartIsCommittedBeforeItIsGivenUp(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		for _, how := range []string{"a stop", "a rebalance"} {
			t.Run(how, func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
					const old, fresh = 10, 20
					latest := func() sluice.Config {
						cfg := set(configFor(t, c, nil))
						cfg.Start = sluice.Latest()
						return cfg
					}
					for p := range int32(2) {
						c.Produce("orders", p, 1000, old, 0)
					}
					refused := c.Fault(kfake.Fault{
						Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1,
						When: func(r kmsg.Request) bool { // of both, and so by the loop
							topics := r.(*kmsg.OffsetCommitRequest).Topics
							return how == "a stop" || len(topics[0].Partitions) > 1
						},
					})
					first := join(t, latest(), forward(sluice.Policy{}, func(context.Context, sluice.Message[string]) error {
						return errors.New("not here")
					}))
					c.Until("starts are refused", func() bool { return refused.Hits() > 0 })
					for p := range int32(2) {
						c.Produce("orders", p, fresh/2*int(p), fresh/2, 0)
					}
					time.Sleep(2 * time.Second)
					if n := first.app.Stats().Polled; n > 0 {
						t.Errorf("invariant 12: %d records were polled of partitions whose start is not committed", n)
					}
					leave := func() {
						first.stop()
						for range first.done { // its handlers fail, if it came as far as that
						}
					}
					var second *member
					if how == "a stop" {
						refused.Remove()
						leave()
						second = join(t, latest(), forward(sluice.Policy{}, nil))
					} else {
						second = join(t, latest(), forward(sluice.Policy{}, nil))
						c.Until("one of them moves", func() bool { return len(second.app.Snapshot().Partitions) == 1 })
						leave()
					}
					c.Until("invariant 12: all is committed", func() bool {
						return c.Committed("g", "orders", 0) == old+fresh/2 && c.Committed("g", "orders", 1) == old+fresh/2
					})
					second.leave(t)
					once(t, c, fresh)
				})
			})
		}
	})
}
