package sluice_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A success of long ago is no sign that others succeed now.
func TestAMomentOfLifeMakesNothingStuck(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		var away atomic.Bool
		var good atomic.Int64
		write := func(v string) {
			if err := c.Client().ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Key: []byte(v), Value: []byte(v)}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		away.Store(true)
		write("a")
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{
			Ordering: sluice.ByKey, OnFailure: sluice.DeadLetter{Topic: "dlq"},
			Stuck: sluice.Stuck{After: 10 * time.Minute, Then: sluice.StuckDeadLetter},
		}, func(sluice.Message[string]) error {
			if away.Load() {
				return errors.New("the database is away")
			}
			good.Add(1)
			return nil
		}))
		c.Until("a's failure", func() bool { return m.app.Stats().Failed == 1 })
		away.Store(false)
		write("b")
		c.Until("b's success", func() bool { return good.Load() == 1 })
		away.Store(true)
		time.Sleep(time.Hour)
		if s := m.app.Stats(); s.DeadLettered > 0 || s.Stuck > 0 {
			t.Errorf("in an outage of an hour: %+v", s)
		}
		away.Store(false)
		write("c")
		c.Until("all three", func() bool { return c.Committed("g", "orders", 0) == 3 })
		m.leave(t)
	})
}

// A record that used up its attempts is no record that is stuck, whatever its batch had before.
func TestARecordOfABatchThatIsPoisonIsNotStuck(t *testing.T) {
	for name, stuck := range map[string]sluice.Stuck{"none": {}, "halt": {After: time.Hour, Then: sluice.StuckHalt}} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				c.Produce("orders", 1, 100, 3000, 0)
				m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
					return sluice.AddBatch(app, sluice.BatchRoute[string]{
						Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10,
						Policy: sluice.Policy{
							Ordering: sluice.Unordered, Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.DeadLetter{Topic: "dlq"}, Stuck: stuck,
						},
						Handle: func(_ context.Context, b sluice.Batch[string]) error {
							switch {
							case b.Partition == 1:
								time.Sleep(time.Millisecond)
								return nil
							case len(b.Messages) > 1:
								return sluice.Poison(errors.New("a bad batch"))
							case b.Messages[0].Value == "3":
								return errors.New("bad")
							}
							return nil
						},
					})
				})
				c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == 10 && c.Committed("g", "orders", 1) == 3000 })
				m.leave(t)
				dead := c.Read("dlq")
				if len(dead) != 1 || string(dead[0].Value) != "3" || header(dead[0], sluice.HeaderErrorClass) != "attempts" {
					t.Errorf("%d dead letters: %v", len(dead), dead)
				}
				if s := m.app.Stats(); s.Stuck > 0 || s.Outages > 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A record that an outage failed has not failed by itself: its clock begins at its first failure after it, not at the outage's end.
func TestInvariant11TheFirstFailureAfterAnOutageMakesNothingStuck(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		var calls atomic.Int64
		c.Produce("orders", 0, 0, 1, 0)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{
			OnFailure: sluice.DeadLetter{Topic: "dlq"}, Retry: sluice.Retry{Breaker: -1},
			Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckDeadLetter},
		}, func(m sluice.Message[string]) error {
			if m.Partition() == 1 {
				return nil
			}
			switch calls.Add(1) {
			case 1:
				return sluice.Outage(errors.New("the database is away"))
			case 2:
				return errors.New("and here is something else")
			}
			return nil
		}))
		c.Until("the outage", func() bool { return m.app.Stats().Outages == 1 })
		if err := m.app.Pause("orders", 0); err != nil {
			t.Fatal(err)
		}
		c.Produce("orders", 1, 0, 1, 0)
		c.Until("its end", func() bool { return c.Committed("g", "orders", 1) == 1 })
		time.Sleep(time.Hour) // in which the record is not called
		if err := m.app.Resume("orders", 0); err != nil {
			t.Fatal(err)
		}
		c.Until("the record", func() bool { return c.Committed("g", "orders", 0) == 1 })
		m.leave(t)
		if s := m.app.Stats(); s.DeadLettered > 0 || s.Stuck > 0 {
			t.Errorf("invariant 11: stuck by its first failure: %+v", s)
		}
	})
}
