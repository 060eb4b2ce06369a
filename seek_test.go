package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A seek is committed when it returns: neither a crash nor a restart undoes it.
func TestASeekIsCommittedWhenItReturns(t *testing.T) {
	for name, policy := range map[string]sluice.Policy{
		"every hour": {Commit: sluice.Every(time.Hour)}, "each record": {Commit: sluice.EachRecord()},
		"before": {Commit: sluice.BeforeHandle()}, "manual": {Commit: sluice.Manual()},
		"by key": {Ordering: sluice.ByKey, Commit: sluice.EveryN(1000)},
	} {
		for direction, to := range map[string]int64{"back": 10, "to where it is": 100, "forward": 150} {
			t.Run(name+"/"+direction, func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					c.Produce("orders", 0, 0, 100, 3)
					link := c.NewLink()
					var l, after ledger
					m := join(t, configFor(t, c, link), func(app *sluice.App) error {
						return sluice.Add(app, sluice.Route[string]{
							Topics: []string{"orders"}, Decode: sluice.Text, Policy: policy,
							Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); m.Done(); return nil },
						})
					})
					c.Until("all", func() bool { return l.count() == 100 })
					if err := m.app.Pause("orders"); err != nil { // so that the commit is the seek's
						t.Fatal(err)
					}
					c.Produce("orders", 0, 100, 100, 3)
					if err := m.app.Seek(t.Context(), "orders", 0, to); err != nil {
						t.Fatal(err)
					}
					if at := c.Committed("g", "orders", 0); at != to {
						t.Errorf("committed %d, want %d", at, to)
					}
					if p := m.app.Snapshot().Partitions[0]; p.State != "open" || p.Paused != "user" || p.Frontier != to {
						t.Errorf("%+v", p)
					}
					link.Cut()
					m.app.Abort()
					next := join(t, configFor(t, c, nil), ledgerRoute(&after, sluice.Policy{}))
					c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 200 })
					if n := after.count(); n != int(200-to) || after.of(0, int(to)) > 0 {
						t.Errorf("%d records after a seek to %d", n, to)
					}
					next.leave(t)
				})
			})
		}
	}
}

// The handler that runs ends before the new position's first record begins, and what waits is forgotten.
func TestASeekWaitsForTheHandlersThatRun(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var l ledger
		var running atomic.Int32
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(ctx context.Context, m sluice.Message[string]) error {
					if running.Add(1) > 1 {
						t.Errorf("two handlers in a lane, at %d", m.Offset())
					}
					defer running.Add(-1)
					l.note(m)
					time.Sleep(3 * time.Second) // virtual
					if ctx.Err() != nil {
						t.Errorf("offset %d: %v", m.Offset(), context.Cause(ctx))
					}
					return nil
				},
			})
		})
		c.Until("the first", func() bool { return l.count() == 1 })
		began := time.Now()
		if err := m.app.Seek(t.Context(), "orders", 0, 90); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 2*time.Second || d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		if l.count() != 11 || l.of(0, 90) != 1 {
			t.Errorf("%v", l.list)
		}
		m.leave(t)
	})
}

// A handler that ignores everything holds a seek for DrainTimeout; its lane still waits for it.
func TestASeekPastAHandlerThatHangs(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var l ledger
		cause := make(chan error, 1)
		free := make(chan struct{})
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(ctx context.Context, m sluice.Message[string]) error {
					l.note(m)
					if m.Offset() == 0 {
						<-ctx.Done()
						cause <- context.Cause(ctx)
						<-free
					}
					return nil
				},
			})
		})
		c.Until("the first", func() bool { return l.count() == 1 })
		began := time.Now()
		if err := m.app.Seek(t.Context(), "orders", 0, 90); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 19*time.Second || d > 25*time.Second || !errors.Is(<-cause, sluice.ErrMoved) {
			t.Errorf("it took %v", d)
		}
		time.Sleep(10 * time.Second)
		if l.count() != 1 {
			t.Error("the lane did not wait")
		}
		close(free)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
	})
}

func TestASeekGetsAHaltedPartitionGoing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: sluice.Policy{OnFailure: sluice.Halt{}},
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 40 {
						return sluice.Poison(errors.New("bad"))
					}
					return nil
				},
			})
		})
		c.Until("the halt", func() bool { return c.Committed("g", "orders", 0) == 40 && !m.app.Health().Ready })
		if err := m.app.Seek(t.Context(), "orders", 0, 41); err != nil {
			t.Fatal(err)
		}
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		if h := m.app.Health(); !h.Ready {
			t.Errorf("%+v", h)
		}
		m.leave(t)
	})
}

func TestASeekToATime(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 50, 0)
		time.Sleep(time.Hour)
		since := time.Now()
		c.Produce("orders", 0, 50, 50, 0)
		var l ledger
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 100 })
		for at, want := range map[time.Time]int64{since: 50, since.Add(-24 * time.Hour): 0, since.Add(time.Hour): 100} {
			if err := errors.Join(m.app.Pause("orders"), m.app.SeekTime(t.Context(), "orders", 0, at)); err != nil {
				t.Fatal(err)
			}
			if got := c.Committed("g", "orders", 0); got != want {
				t.Errorf("%v: %d, want %d", at, got, want)
			}
		}
		m.leave(t)
	})
}

// The client looks up a commit's leader epoch before it begins a partition, and forgets what it is told meanwhile.
func TestASeekWhileTheClientLooksUpTheStart(t *testing.T) {
	for name, to := range map[string]int{"back": 10, "forward": 45} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 30, 0)
				var l ledger
				m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 30 })
				m.leave(t)
				c.Produce("orders", 0, 30, 30, 0)
				looksUp := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetForLeaderEpoch}, Err: kerr.NotLeaderForPartition, Count: -1})
				var lost told
				cfg := configFor(t, c, nil)
				cfg.Events = lost.events()
				m = join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
				c.Until("the partition", func() bool { return len(m.app.Snapshot().Partitions) == 1 && looksUp.Hits() > 0 })
				if err := m.app.Seek(t.Context(), "orders", 0, int64(to)); err != nil {
					t.Fatal(err)
				}
				looksUp.Remove()
				c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 60 })
				for o := range 60 {
					want := 0
					if o < 30 {
						want++
					}
					if o >= to {
						want++
					}
					if n := l.times(fmt.Sprintf("orders[0]@%d", o)); n != want {
						t.Errorf("offset %d was handled %d times, want %d", o, n, want)
					}
				}
				if n := len(of[sluice.DataLostInfo](&lost, "DataLost")); n > 0 {
					t.Errorf("%d losses, and nothing is lost", n)
				}
				m.leave(t)
			})
		})
	}
}

func TestASeekThatCannotBeSaysWhy(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "sink": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		c.Produce("orders", 1, 0, 100, 0)
		deleteBefore(t, c, 10)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(slowRoute(new(ledger), sluice.Policy{})(app), sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"sink"}, Decode: sluice.Text, Offsets: newMemorySink(),
				Handle: func(context.Context, sluice.Batch[string]) error { return nil },
			}))
		})
		c.Until("all", func() bool { return len(m.app.Snapshot().Partitions) == 3 && c.Committed("g", "orders", 0) >= 10 })
		for _, test := range []struct {
			topic     string
			partition int32
			offset    int64
			err       error
			says      string
		}{
			{"orders", 0, 9, sluice.ErrOutsideLog, "seek orders[0] to 9: the offset lies outside the log; give 10 to 100"},
			{"orders", 0, 101, sluice.ErrOutsideLog, "give 10 to 100"},
			{"orders", 0, -1, sluice.ErrOutsideLog, "give 10 to 100"},
			{"orders", 2, 0, sluice.ErrNotAssigned, "App.Snapshot lists those that are"},
			{"sink", 0, 0, sluice.ErrSinkDecides, "where the sink keeps it"},
		} {
			err := m.app.Seek(t.Context(), test.topic, test.partition, test.offset)
			e, ok := errors.AsType[*sluice.SeekError](err)
			if !ok || !errors.Is(err, test.err) || e.Topic != test.topic || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v: %v", test, err)
			}
		}
		if err := m.app.Seek(t.Context(), "nothing", 0, 0); !errors.Is(err, sluice.ErrConfig) {
			t.Error(err)
		}
		if err := m.app.SeekTime(t.Context(), "sink", 0, time.Now()); !errors.Is(err, sluice.ErrSinkDecides) {
			t.Error(err)
		}
		m.leave(t)
	})
}
