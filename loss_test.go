package sluice_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func ledgerRoute(l *ledger, p sluice.Policy) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p,
			Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
		})
	}
}

func deleteBefore(t *testing.T, c *bubble.Cluster, offset int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "orders", At: offset, LeaderEpoch: -1})
	if _, err := c.Admin().DeleteRecords(context.Background(), offsets); err != nil {
		t.Fatal(err)
	}
}

func TestACommitBelowTheLogStartIsTold(t *testing.T) {
	for name, halt := range map[string]sluice.DataLoss{"go on": sluice.GoOn, "halt": sluice.HaltPartition} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 5, 0)
				var l ledger
				m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
				m.leave(t)
				c.Produce("orders", 0, 5, 95, 0)
				deleteBefore(t, c, 80)

				var lost atomic.Pointer[sluice.DataLostInfo]
				cfg := configFor(t, c, nil)
				cfg.OnDataLoss = halt
				cfg.Events.DataLost = func(i sluice.DataLostInfo) { lost.Store(&i) }
				m = join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
				c.Until("the loss is told", func() bool { return lost.Load() != nil })
				if halt == sluice.HaltPartition {
					time.Sleep(10 * time.Second)
					if l.count() != 5 || c.Committed("g", "orders", 0) != 5 {
						t.Fatalf("handled %d, committed %d after a halt", l.count(), c.Committed("g", "orders", 0))
					}
				} else {
					c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
					if l.count() != 25 {
						t.Fatalf("handled %d, want 25", l.count())
					}
				}
				if i := lost.Load(); i.Position != 5 || i.LogStart != 80 || (halt == sluice.GoOn && i.Resume != 80) {
					t.Fatalf("told %+v", *i)
				}
				if got := totalsOf(t, m.app, "orders"); got.DataLosses != 1 || got.Lost != 75 {
					t.Errorf("%d losses, of %d records", got.DataLosses, got.Lost)
				}
				if problems := strings.Join(m.app.Health().Problems, "; "); !strings.Contains(problems, "lost to retention") {
					t.Fatalf("health does not tell: %q", problems)
				}
				m.leave(t)
			})
		})
	}
}

// The client asks for what the log does not have again and again, and waits for nothing. While we look up where the log begins, which
// may take a while, it must not.
func TestAPositionOutsideOfTheLogIsNotFetchedAgainAtOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		var l ledger
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
		m.leave(t)
		c.Produce("orders", 0, 5, 95, 0)
		deleteBefore(t, c, 80)

		link := c.NewLink()
		var fetches atomic.Int64
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Observe: true, Count: -1, When: func(kmsg.Request) bool {
			if fetches.Add(1) == 1000 {
				go link.Cut() // else no virtual time would ever pass
			}
			return false
		}})
		refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Err: kerr.UnknownServerError, Count: -1})
		began := time.Now()
		m = join(t, configFor(t, c, link), ledgerRoute(&l, sluice.Policy{}))
		c.Until("a fetch", func() bool { return fetches.Load() > 0 })
		time.Sleep(10 * time.Second)
		if n := fetches.Load(); n > 30 {
			t.Errorf("%d fetches within %v while nobody knew where the log begins", n, time.Since(began))
		}
		refused.Remove()
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		if l.count() != 25 {
			t.Errorf("handled %d, want 25", l.count())
		}
		m.leave(t)
	})
}

func TestATopicThatWasMadeAgainIsReadFromItsStart(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var l ledger
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		commit := c.Committed("g", "orders", 0)
		if _, err := c.Admin().DeleteTopic(context.Background(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Admin().CreateTopic(context.Background(), 1, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
		// The broker may have dropped the group's commit with the topic; an older tool put it back.
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: "orders", At: commit, LeaderEpoch: -1})
		c.Reconnect()
		c.Until("the new topic is known", func() bool {
			return c.Admin().CommitAllOffsets(context.Background(), "g", offsets) == nil
		})
		c.Produce("orders", 0, 1000, 10, 0)
		var losses atomic.Int64
		cfg := configFor(t, c, nil)
		cfg.Events.DataLost = func(sluice.DataLostInfo) { losses.Add(1) }
		var again ledger
		m = join(t, cfg, ledgerRoute(&again, sluice.Policy{}))
		c.Until("all of the new topic", func() bool { return again.count() == 10 })
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		if losses.Load() == 0 {
			t.Fatal("the loss was not told")
		}
		m.leave(t)
	})
}

func TestHaltStopsOnePartitionAndTheOthersGoOn(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		c.Produce("orders", 1, 0, 100, 0)
		var halted atomic.Pointer[sluice.HaltedInfo]
		cfg := configFor(t, c, nil)
		cfg.Events.Halted = func(i sluice.HaltedInfo) { halted.Store(&i) }
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Partition() == 1 && m.Offset() == 42 {
						return errors.New("no")
					}
					return nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.Halt{}},
			})
		})
		time.Sleep(5 * time.Second)
		c.Produce("orders", 0, 100, 1, 0) // succeeds after it, which shows that it is the record's fault
		c.Until("the halt", func() bool { return halted.Load() != nil })
		c.Until("the other partition", func() bool { return c.Committed("g", "orders", 0) == 101 })
		c.Until("the frontier of the halted one", func() bool { return c.Committed("g", "orders", 1) == 42 })
		time.Sleep(time.Minute)
		if got := c.Committed("g", "orders", 1); got != 42 {
			t.Fatalf("committed %d after a halt at 42", got)
		}
		if h, s := m.app.Health(), m.app.Snapshot(); h.Ready || s.Partitions[1].State != "halted" {
			t.Fatalf("%+v, %+v", h, s)
		}
		m.leave(t)
	})
}

func TestStartsWhereTheConfigSays(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		time.Sleep(time.Minute)
		at := time.Now()
		c.Produce("orders", 0, 10, 10, 0)
		for name, want := range map[string]struct {
			start sluice.Start
			first int64
		}{"earliest": {sluice.Earliest(), 0}, "latest": {sluice.Latest(), 20}, "time": {sluice.StartAt(at), 10}} {
			cfg := configFor(t, c, nil)
			cfg.Group, cfg.Start = "g-"+name, want.start
			var l ledger
			m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
			c.Until("the commit", func() bool { return c.Committed(cfg.Group, "orders", 0) == 20 })
			m.leave(t)
			if got := int64(20 - l.count()); got != want.first {
				t.Fatalf("%s began at %d, want %d", name, got, want.first)
			}
		}
	})
}
