package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// slowRoute handles each record of "orders" but the first 10 for 100 ms of virtual time, and notes it when it begins.
func slowRoute(l *ledger, p sluice.Policy) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p,
			Handle: func(_ context.Context, m sluice.Message[string]) error {
				l.note(m)
				if m.Offset() >= 10 { // the first are fast, so that a worker takes many at once
					time.Sleep(100 * time.Millisecond) // virtual
				}
				return nil
			},
		})
	}
}

func slowBatchRoute(l *ledger, p sluice.Policy) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.AddBatch(app, sluice.BatchRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p, MaxSize: 5,
			Handle: func(_ context.Context, b sluice.Batch[string]) error {
				for _, m := range b.Messages {
					l.note(m)
				}
				time.Sleep(500 * time.Millisecond) // virtual
				return nil
			},
		})
	}
}

// of counts the records of a partition.
func (l *ledger) of(partition int32, n int) (handled int) {
	for o := range n {
		if l.times(fmt.Sprintf("orders[%d]@%d", partition, o)) > 0 {
			handled++
		}
	}
	return handled
}

func pausedBy(m *member, partition int32) string {
	for _, p := range m.app.Snapshot().Partitions {
		if p.Partition == partition {
			return p.Paused
		}
	}
	return "not assigned"
}

// A paused partition starts nothing new, ends and commits what runs, and holds across rebalances; the others go on.
func TestAPausedPartitionWaitsUntilItIsResumed(t *testing.T) {
	for name, route := range map[string]func(*ledger) func(*sluice.App) error{
		"by partition": func(l *ledger) func(*sluice.App) error { return slowRoute(l, sluice.Policy{}) },
		"by key": func(l *ledger) func(*sluice.App) error {
			return slowRoute(l, sluice.Policy{Ordering: sluice.ByKey, Workers: 4})
		},
		"unordered": func(l *ledger) func(*sluice.App) error {
			return slowRoute(l, sluice.Policy{Ordering: sluice.Unordered, Workers: 4})
		},
		"before": func(l *ledger) func(*sluice.App) error {
			return slowRoute(l, sluice.Policy{Commit: sluice.BeforeHandle()})
		},
		"each record": func(l *ledger) func(*sluice.App) error {
			return slowRoute(l, sluice.Policy{Commit: sluice.EachRecord()})
		},
		"batches": func(l *ledger) func(*sluice.App) error { return slowBatchRoute(l, sluice.Policy{}) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(2) {
					c.Produce("orders", p, 0, 200, 7)
				}
				var mine, theirs ledger
				m := join(t, configFor(t, c, nil), route(&mine))
				c.Until("some records", func() bool { return mine.of(0, 200) > 20 && mine.of(1, 200) > 5 })
				if err := m.app.Pause("orders", 0); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				at := mine.of(0, 200)
				c.Until("all of the other", func() bool { return mine.of(1, 200) == 200 })
				c.Produce("orders", 0, 200, 50, 7)
				time.Sleep(10 * time.Minute) // virtual: longer than a stall takes to be found
				if n := mine.of(0, 250); n != at {
					t.Errorf("%d records were begun after the pause", n-at)
				}
				if at := m.app.Snapshot().Partitions[0].Position; at > 200 {
					t.Errorf("fetched up to %d in spite of the pause", at)
				}
				if h := m.app.Health(); !h.Ready || pausedBy(m, 0) != "user" || pausedBy(m, 1) != "" {
					t.Errorf("%+v, %+v", h, m.app.Snapshot().Partitions)
				}
				if name != "before" && c.Committed("g", "orders", 0) != int64(at) && mine.of(0, at) == at {
					t.Errorf("committed %d, handled %d", c.Committed("g", "orders", 0), at)
				}

				other := join(t, configFor(t, c, nil), route(&theirs)) // takes one of the two, and gives it back
				c.Until("one each", func() bool {
					return len(m.app.Snapshot().Partitions) == 1 && len(other.app.Snapshot().Partitions) == 1
				})
				time.Sleep(time.Second)
				other.leave(t)
				c.Until("both again", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
				time.Sleep(10 * time.Second)
				if n := mine.of(0, 250); n != at || pausedBy(m, 0) != "user" {
					t.Errorf("%d records were begun after the pause, %s", n-at, pausedBy(m, 0))
				}

				if err := m.app.Resume("orders"); err != nil {
					t.Fatal(err)
				}
				c.Until("every commit", func() bool { return c.Committed("g", "orders", 0) == 250 })
				if pausedBy(m, 0) != "" {
					t.Errorf("still paused: %s", pausedBy(m, 0))
				}
				m.leave(t)
				for o := range 250 {
					at := fmt.Sprintf("orders[0]@%d", o)
					if n := mine.times(at) + theirs.times(at); n != 1 {
						t.Errorf("%s was handled %d times", at, n)
					}
				}
			})
		})
	}
}

// What was committed first is handled in a drain even while paused: nobody else will.
func TestAPauseLosesNothingThatWasCommittedFirst(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1000, 0)
		var l ledger
		m := join(t, configFor(t, c, nil), slowRoute(&l, sluice.Policy{Commit: sluice.BeforeHandle()}))
		c.Until("some records", func() bool { return l.count() > 20 })
		if err := m.app.Pause("orders"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if int(c.Committed("g", "orders", 0)) <= l.count() {
			t.Fatal("nothing was committed ahead: this test shows nothing")
		}
		m.leave(t)
		if at := c.Committed("g", "orders", 0); int(at) != l.count() {
			t.Errorf("committed %d, handled %d", at, l.count())
		}
	})
}

func TestAPauseOfATopicHoldsForPartitionsThatComeLater(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		var l ledger
		blocker := join(t, configFor(t, c, nil), slowRoute(new(ledger), sluice.Policy{}))
		m := join(t, configFor(t, c, nil), slowRoute(&l, sluice.Policy{}))
		c.Until("one each", func() bool {
			return len(m.app.Snapshot().Partitions) == 1 && len(blocker.app.Snapshot().Partitions) == 1
		})
		if err := errors.Join(m.app.Pause("orders"), m.app.Resume("orders", 0)); err != nil {
			t.Fatal(err)
		}
		blocker.leave(t)
		c.Until("both", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
		for p := range int32(2) {
			c.Produce("orders", p, 0, 10, 0)
		}
		c.Until("all of one", func() bool { return l.of(0, 10) == 10 })
		time.Sleep(10 * time.Second)
		if l.of(1, 10) > 0 || pausedBy(m, 1) != "user" || pausedBy(m, 0) != "" {
			t.Errorf("%d of the other, %+v", l.of(1, 10), m.app.Snapshot().Partitions)
		}
		m.leave(t)
	})
}

func TestWhatCannotBePausedIsAnError(t *testing.T) {
	app, err := sluice.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	if app.Pause("orders") == nil || app.Resume("orders") == nil {
		t.Error("paused before it runs")
	}
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		m := join(t, configFor(t, c, nil), slowRoute(new(ledger), sluice.Policy{}))
		c.Until("the partition", func() bool { return len(m.app.Snapshot().Partitions) == 1 })
		if err := m.app.Pause("order"); !errors.Is(err, sluice.ErrConfig) {
			t.Error(err)
		}
		m.leave(t)
	})
}

// A transaction that cannot be aborted costs the client: the engine of the next one keeps to what was paused, and to what was resumed.
func TestAPauseOutlivesItsClient(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var l ledger
		m := join(t, configFor(t, c, nil), forward(sluice.Policy{}, func(_ context.Context, m sluice.Message[string]) error {
			l.note(m)
			return nil
		}))
		c.Produce("orders", 0, 0, 10, 0)
		c.Until("the first", func() bool { return c.Committed("g", "orders", 0) == 10 })
		for _, err := range []error{m.app.Pause("orders"), m.app.Resume("orders", 0)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError})
		before := m.app.Snapshot().MemberID
		c.Produce("orders", 0, 10, 10, 0)
		c.Produce("orders", 1, 20, 10, 0)
		c.Until("the rest of what is not paused", func() bool { return c.Committed("g", "orders", 0) == 20 })
		if m.app.Snapshot().MemberID == before {
			t.Error("the client is the same")
		}
		time.Sleep(10 * time.Second)
		if n := l.of(1, 10); n != 0 {
			t.Errorf("%d records of a paused partition were handled", n)
		}
		if err := m.app.Resume("orders"); err != nil {
			t.Fatal(err)
		}
		c.Until("what was paused", func() bool { return c.Committed("g", "orders", 1) == 10 })
		m.leave(t)
		once(t, c, 30)
	})
}
