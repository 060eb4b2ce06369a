package sluice_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Records that retention took before they were answered halt their partition, whatever Config.OnDataLoss says: when it begins there, and
// when it rests between two transactions. Other partitions go on.
func TestInvariant12LostDataHalts(t *testing.T) {
	for name, running := range map[string]bool{"at the start": false, "while it rests": true} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				const before, each, gone = 5, 60, 40
				var lost atomic.Pointer[sluice.DataLostInfo]
				cfg := configFor(t, c, nil)
				cfg.OnDataLoss = sluice.GoOn
				cfg.Events.DataLost = func(i sluice.DataLostInfo) { lost.Store(&i) }
				add := forward(sluice.Policy{}, func(_ context.Context, m sluice.Message[string]) error {
					if m.Partition() == 0 && m.Offset() == before && running {
						return sluice.Poison(context.Canceled) // without OnFailure it waits, and its partition rests
					}
					return nil
				})
				m := join(t, cfg, add)
				c.Produce("orders", 0, 0, before, 0)
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == before })
				if !running {
					m.leave(t)
				}
				c.Produce("orders", 0, 1000, each, 0)
				time.Sleep(10 * time.Second)
				var offsets kadm.Offsets
				offsets.Add(kadm.Offset{Topic: "orders", Partition: 0, At: before + gone, LeaderEpoch: -1})
				if _, err := c.Admin().DeleteRecords(t.Context(), offsets); err != nil {
					t.Fatal(err)
				}
				if !running {
					m = join(t, cfg, add)
				}
				c.Until("the loss is told", func() bool { return lost.Load() != nil })
				c.Produce("orders", 1, before, each, 0)
				c.Until("invariant 12: the other partition", func() bool { return c.Committed("g", "orders", 1) == each })
				time.Sleep(2 * time.Minute)
				if i := lost.Load(); i.Position != before || i.LogStart != before+gone {
					t.Errorf("told %+v", *i)
				}
				if h := strings.Join(m.app.Health().Problems, "; "); !strings.Contains(h, "lost to retention") {
					t.Errorf("health does not tell: %q", h)
				}
				if at := c.Committed("g", "orders", 0); at != before {
					t.Errorf("invariant 12: committed %d past records that are lost", at)
				}
				m.leave(t)
				once(t, c, before+each) // and nothing of what is behind the loss
			})
		})
	}
}

// Pauses, records that are skipped, and a seek, which is refused: each record is answered once, or skipped.
func TestInvariant12PausesAndSkipsAnswerOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const rounds, each = 40, 10
		var left []int
		skip := func(_ context.Context, m sluice.Message[string]) error {
			time.Sleep(3 * time.Millisecond)
			if m.Offset()%each == 3 {
				return sluice.Skip("not ours")
			}
			return nil
		}
		m := join(t, configFor(t, c, nil), forward(sluice.Policy{Ordering: sluice.ByKey}, skip))
		c.Until("it has the partitions", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
		for i := range rounds {
			left = append(left, i*each+3)
			c.Produce("orders", int32(i%2), i*each, each, 0)
			time.Sleep(20 * time.Millisecond)
			do := m.app.Pause
			if i%8 > 3 {
				do = m.app.Resume
			}
			if err := do("orders", int32(i%2)); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.app.Seek(t.Context(), "orders", 0, 0); err == nil {
			t.Error("invariant 12: a seek in the middle of transactions")
		}
		c.Until("invariant 12: all is committed", func() bool {
			return c.Committed("g", "orders", 0) == rounds*each/2 && c.Committed("g", "orders", 1) == rounds*each/2
		})
		m.leave(t)
		if s := m.app.Stats(); s.Skipped != rounds || s.CommitsFailed > 0 {
			t.Errorf("invariant 12: %d were skipped, and %d transactions aborted", s.Skipped, s.CommitsFailed)
		}
		once(t, c, rounds*each, left...)
	})
}
