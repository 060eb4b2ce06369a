package sluice_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Where a partition begins, and what became of a place that its log does not have, is asked of all leaders of its topic. One that tells nothing
// holds up no partition of another one.
func TestALeaderThatDoesNotAnswerHoldsUpNoOtherPartition(t *testing.T) {
	for name, test := range map[string]struct{ committed, from int64 }{
		"where it begins": {-1, 0}, "a place that is gone": {5, 80},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				const n, silent = 100, 1
				for p := range int32(2) {
					if err := c.MoveTopicPartition("orders", p, p); err != nil {
						t.Fatal(err)
					}
				}
				c.Produce("orders", 0, 0, n, 0)
				c.Produce("orders", 1, 1000, 1, 0)
				var commits kadm.Offsets
				commits.Add(kadm.Offset{Topic: "orders", Partition: silent, At: 1, LeaderEpoch: -1})
				if test.committed >= 0 {
					commits.Add(kadm.Offset{Topic: "orders", At: test.committed, LeaderEpoch: -1})
					deleteBefore(t, c, test.from)
				}
				if err := c.Admin().CommitAllOffsets(context.Background(), "g", commits); err != nil {
					t.Fatal(err)
				}
				var asked atomic.Int64
				c.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
					c.KeepControl()
					if c.CurrentNode() != silent {
						return nil, nil, false //nolint:nilnil // not handled
					}
					asked.Add(1)
					return nil, errors.New("it tells nothing"), true
				})
				var l ledger
				m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
				c.Until("the partition of the leader that answers", func() bool { return c.Committed("g", "orders", 0) == n })
				if asked.Load() == 0 || int64(l.count()) != n-test.from {
					t.Errorf("handled %d, and the leader that does not answer was asked %d times", l.count(), asked.Load())
				}
				m.leave(t)
			}, kfake.Ports(9092, 9093))
		})
	}
}
