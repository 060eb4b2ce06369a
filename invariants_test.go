package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Each test here attacks one invariant of docs/guarantees.md, and fails with the invariant's number. internal/mutants breaks
// each on purpose and demands that failure.

// commits notes the highest acknowledged commit of each partition, and the commits in order.
type commits struct {
	mu  sync.Mutex
	max map[string]int64
	all []string
}

func (c *commits) note(i sluice.CommittedInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.max == nil {
		c.max = make(map[string]int64)
	}
	for t, ps := range i.Offsets {
		for p, o := range ps {
			at := fmt.Sprintf("%s[%d]", t, p)
			c.max[at] = max(c.max[at], o)
			c.all = append(c.all, fmt.Sprintf("%s=%d", at, o))
		}
	}
}

func (c *commits) highest(at string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.max[at]
}

func TestInvariant1NothingIsCommittedPastAnUnfinishedRecord(t *testing.T) {
	paths := map[string]struct {
		commit sluice.Commit
		end    func(t *testing.T, c *bubble.Cluster, m *member, add func(*sluice.App) error)
	}{
		"interval": {sluice.Every(time.Second), nil},
		"count":    {sluice.EveryN(3), nil},
		"both":     {sluice.EveryOrN(time.Second, 3), nil},
		"each":     {sluice.EachRecord(), nil},
		"revoke": {sluice.Every(time.Hour), func(t *testing.T, c *bubble.Cluster, _ *member, add func(*sluice.App) error) {
			other := join(t, configFor(t, c, nil), add)
			time.Sleep(time.Minute)
			other.stop()
			if err := <-other.done; err == nil {
				t.Error("a drain whose handler is stuck was clean")
			}
		}},
		"stop": {sluice.Every(time.Hour), func(_ *testing.T, _ *bubble.Cluster, m *member, _ func(*sluice.App) error) {
			m.stop()
			if err := <-m.done; !errors.Is(err, sluice.ErrDrainTimeout) {
				panic(fmt.Sprintf("Run: %v, want ErrDrainTimeout", err))
			}
		}},
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 50, 10)
				c.Produce("orders", 1, 0, 50, 10)
				release := make(chan struct{})
				defer close(release)
				var made commits
				var done atomic.Int64
				cfg := configFor(t, c, nil)
				cfg.Events.Committed = made.note
				add := func(app *sluice.App) error {
					return sluice.Add(app, sluice.Route[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, m sluice.Message[string]) error {
							if m.Offset() == 20 {
								<-release // never ends while the test looks
							}
							done.Add(1)
							return nil
						},
						Policy: sluice.Policy{Ordering: sluice.ByKey, Workers: 40, Commit: path.commit},
					})
				}
				m := join(t, cfg, add)
				c.Until("all but the stuck keys", func() bool { return done.Load() >= 2*47 })
				time.Sleep(10 * time.Second)
				if path.end != nil {
					path.end(t, c, m, add)
				}
				for p := range int32(2) {
					got := c.Committed("g", "orders", p)
					if got > 20 || made.highest(fmt.Sprintf("orders[%d]", p)) > 20 {
						t.Fatalf("invariant 1: committed %d in partition %d (acknowledged: %v), while 20 is unfinished", got, p, made.all)
					}
					if got == -1 && name == "revoke" {
						continue // it stayed, and commits once an hour
					}
					if got != 20 {
						t.Fatalf("committed %d in partition %d, want the frontier, 20", got, p)
					}
				}
			})
		})
	}
}

func TestInvariant2ADeadLetterThatWasNotWrittenLeavesItsRecordUnfinished(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "orders.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		fault := c.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders.dlq", Err: kerr.MessageTooLarge, Count: -1,
		})
		cfg := configFor(t, c, nil)
		var made commits
		cfg.Events.Committed = made.note
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Value == "7" {
						return sluice.Poison(errors.New("bad"))
					}
					return nil
				},
				Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.dlq"}},
			})
		})
		c.Until("some writes were refused", func() bool { return fault.Hits() >= 3 })
		time.Sleep(5 * time.Second)
		if got := c.Committed("g", "orders", 0); got != 7 {
			t.Fatalf("invariant 2: committed %d, though the dead letter of 7 was never written", got)
		}
		if problems := strings.Join(m.app.Health().Problems, "; "); !strings.Contains(problems, "dead letter") {
			t.Fatalf("health does not tell: %q", problems)
		}
		fault.Remove()
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
		if n := len(c.Read("orders.dlq")); n != 1 {
			t.Fatalf("%d dead letters, want 1", n)
		}
	})
}

// A record whose every attempt fails stays, on a route that has no OnFailure, however it fails.
func TestInvariant2ARecordThatNeverSucceedsIsNeverFinished(t *testing.T) {
	bad := func(value string) bool { return value == "7" }
	undecodable := func(r *kgo.Record) (string, error) {
		if bad(string(r.Value)) {
			return "", errors.New("no such thing")
		}
		return string(r.Value), nil
	}
	one := func(decode sluice.Decoder[string], fail func() error) func(*sluice.App) error {
		return func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: decode,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if bad(m.Value) {
						return fail()
					}
					return nil
				},
			})
		}
	}
	batch := func(decode sluice.Decoder[string], fail func(i int) error) func(*sluice.App) error {
		return func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: decode, MaxSize: 20,
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					for i, m := range b.Messages {
						if bad(m.Value) {
							return fail(i)
						}
					}
					return nil
				},
			})
		}
	}
	for name, add := range map[string]func(*sluice.App) error{
		"error":         one(sluice.Text, func() error { return errors.New("no") }),
		"poison":        one(sluice.Text, func() error { return sluice.Poison(errors.New("no")) }),
		"outage":        one(sluice.Text, func() error { return sluice.Outage(errors.New("no")) }),
		"panic":         one(sluice.Text, func() error { panic("no") }),
		"decode":        one(undecodable, nil),
		"batch error":   batch(sluice.Text, func(int) error { return errors.New("no") }),
		"batch poison":  batch(sluice.Text, func(int) error { return sluice.Poison(errors.New("no")) }),
		"batch panic":   batch(sluice.Text, func(int) error { panic("no") }),
		"batch decode":  batch(undecodable, nil),
		"batch indexed": batch(sluice.Text, func(i int) error { return &sluice.BatchError{Failed: map[int]error{i: errors.New("no")}} }),
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 0)
				m := join(t, configFor(t, c, nil), add)
				time.Sleep(5*time.Minute + 10*time.Second) // between two attempts
				m.leave(t)
				if got := c.Committed("g", "orders", 0); got != 7 {
					t.Fatalf("invariant 2: committed %d, want 7, which never succeeds", got)
				}
			})
		})
	}
}

// Of a batch that was rolled back nothing was applied: the records that its error does not name are handed over again.
func TestInvariant2ARolledBackBatchFinishesNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var applied ledger
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 20,
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					for i, m := range b.Messages {
						if m.Value == "7" && m.Attempt < 3 {
							return &sluice.BatchError{Failed: map[int]error{i: errors.New("no")}, RolledBack: true}
						}
					}
					for _, m := range b.Messages {
						applied.note(m)
					}
					return nil
				},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
		if n := applied.count(); n != 20 {
			t.Fatalf("invariant 2: all 20 records are committed, and %d were applied", n)
		}
	})
}

func TestInvariant3WorkOfAnEarlierEpochChangesNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var calls atomic.Int64
		first := make(chan struct{})
		second := make(chan struct{})
		var lost, assigned atomic.Int64
		var committedAtLoss atomic.Int64
		cfg := configFor(t, c, nil)
		var made commits
		cfg.Events.Committed = made.note
		cfg.Events.Assigned = func(sluice.AssignedInfo) { assigned.Add(1) }
		cfg.Events.Released = func(i sluice.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
				committedAtLoss.Store(made.highest("orders[0]"))
			}
		}
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 4 {
						switch calls.Add(1) {
						case 1:
							<-first
						case 2:
							<-second
						}
					}
					return nil
				},
				Policy: sluice.Policy{Commit: sluice.Every(100 * time.Millisecond)},
			})
		})
		c.Until("record 4 runs", func() bool { return calls.Load() == 1 })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Until("the loss and the return", func() bool { return lost.Load() == 1 && assigned.Load() == 2 })
		time.Sleep(5 * time.Second)
		if n := calls.Load(); n != 1 {
			t.Fatalf("invariant 5: record 4 runs %d times at once, as its old handler still runs", n)
		}
		close(first) // the old epoch's handler returns nil
		c.Until("record 4 runs again", func() bool { return calls.Load() == 2 })
		time.Sleep(5 * time.Second)
		if got := c.Committed("g", "orders", 0); got > 4 {
			t.Fatalf("invariant 3: committed %d; the handler of the lost epoch finished record 4 of the new one", got)
		}
		close(second)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
	})
}

func TestInvariant3LostPartitionsAreNeverCommitted(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var lost atomic.Bool
		var handled atomic.Int64
		cfg := configFor(t, c, nil)
		cfg.Events.Released = func(i sluice.ReleasedInfo) {
			if i.Lost {
				lost.Store(true)
			}
		}
		join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(context.Context, sluice.Message[string]) error { handled.Add(1); return nil },
				Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
			})
		})
		c.Until("all are handled", func() bool { return handled.Load() == 10 })
		var sent atomic.Int64
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Observe: true, Count: -1, When: func(kmsg.Request) bool {
			sent.Add(1)
			return false
		}})
		// From now on the member is unknown whenever it asks, so it cannot come back.
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: -1})
		c.Until("the loss", lost.Load)
		if n := sent.Load(); n != 0 {
			t.Fatalf("invariant 3: %d commits were sent for a partition that was lost", n)
		}
	})
}

// gaps notes the longest time between two handled records of a partition.
type gaps struct {
	mu      sync.Mutex
	last    map[int32]time.Time
	longest map[int32]time.Duration
}

func (g *gaps) note(p int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if last, ok := g.last[p]; ok {
		g.longest[p] = max(g.longest[p], now.Sub(last))
	}
	g.last[p] = now
}

func (g *gaps) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.longest = map[int32]time.Time{}, map[int32]time.Duration{}
}

func TestInvariant4ADrainStopsOnlyThePartitionsThatLeave(t *testing.T) {
	const partitions = 4
	bubble.Run(t, map[string]int32{"orders": partitions}, func(t *testing.T, c *bubble.Cluster) {
		stop := make(chan struct{})
		var feeding sync.WaitGroup
		feeding.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				for p := range int32(partitions) {
					c.Produce("orders", p, i, 1, 0)
				}
			}
		})
		defer feeding.Wait()
		defer close(stop)
		var g gaps
		g.reset()
		var slow atomic.Bool
		var drained, moved sync.Map
		cfg := configFor(t, c, nil)
		cfg.Events.Released = func(i sluice.ReleasedInfo) { moved.Store(i.Partition, true) }
		route := func(handle func(context.Context, sluice.Message[string]) error) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Handle: handle})
			}
		}
		var stayed sync.Map
		a := join(t, cfg, route(func(ctx context.Context, m sluice.Message[string]) error {
			g.note(m.Partition())
			if slow.Load() {
				// Every partition's next record would take 3 s if the partition left; those that stay go on.
				if _, first := drained.LoadOrStore(m.Partition(), true); !first && m.Partition() >= 2 {
					time.Sleep(3 * time.Second)
				}
			}
			stayed.Store(m.Partition(), time.Now())
			return nil
		}))
		c.Until("work", func() bool { _, ok := stayed.Load(int32(3)); return ok })
		time.Sleep(time.Second)
		slow.Store(true)
		time.Sleep(100 * time.Millisecond) // 2 and 3 are in their 3 s now
		g.reset()
		b := join(t, configFor(t, c, nil), route(func(context.Context, sluice.Message[string]) error { return nil }))
		c.Until("partitions moved", func() bool {
			n := 0
			moved.Range(func(any, any) bool { n++; return true })
			return n >= 2
		})
		g.mu.Lock()
		longest := maps.Clone(g.longest)
		g.mu.Unlock()
		for p := range int32(2) {
			if _, left := moved.Load(p); left {
				continue
			}
			if longest[p] > 50*time.Millisecond {
				t.Fatalf("invariant 4: partition %d stays and had a gap of %v while others drained", p, longest[p])
			}
		}
		slow.Store(false)
		b.leave(t)
		a.leave(t)
	})
}

func TestInvariant4ARevokeDrainsAndCommitsBeforeItReleases(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(4) {
			c.Produce("orders", p, 0, 200, 0)
		}
		var l ledger
		add := func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					l.note(m)
					time.Sleep(100 * time.Millisecond)
					return nil
				},
				Policy: sluice.Policy{Commit: sluice.Every(time.Hour)}, // only a revoke commits
			})
		}
		a := join(t, configFor(t, c, nil), add)
		c.Until("work", func() bool { return l.count() > 40 })
		b := join(t, configFor(t, c, nil), add)
		c.Until("all records", func() bool { return l.count() == 800 })
		b.leave(t)
		a.leave(t)
		for at, n := range l.seen {
			if n != 1 {
				t.Fatalf("invariant 4: %s was handled %d times: the revoke did not drain and commit", at, n)
			}
		}
	})
}

func TestInvariant5OneRecordOfALaneAtATimeInOrder(t *testing.T) {
	for _, ordering := range []sluice.Ordering{sluice.ByPartition, sluice.ByKey} {
		t.Run(ordering.String(), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(2) {
					c.Produce("orders", p, 0, 200, 5)
				}
				lane := func(m sluice.Message[string]) string {
					if ordering == sluice.ByKey {
						return fmt.Sprintf("%d/%s", m.Partition(), m.Key())
					}
					return fmt.Sprint(m.Partition())
				}
				var mu sync.Mutex
				running := map[string]int64{}
				next := map[string]int64{}
				failed := map[string]bool{}
				var broken atomic.Pointer[string]
				fail := func(format string, args ...any) { s := fmt.Sprintf(format, args...); broken.Store(&s) }
				var done atomic.Int64
				m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
					return sluice.Add(app, sluice.Route[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, m sluice.Message[string]) error {
							mu.Lock()
							if at, busy := running[lane(m)]; busy {
								fail("%d runs beside %d in lane %s", m.Offset(), at, lane(m))
							}
							running[lane(m)] = m.Offset()
							if m.Offset() < next[lane(m)] {
								fail("%d after %d in lane %s", m.Offset(), next[lane(m)], lane(m))
							}
							id := m.ID()
							retry := m.Offset()%7 == 3 && !failed[id]
							failed[id] = true
							mu.Unlock()
							time.Sleep(time.Millisecond)
							mu.Lock()
							defer mu.Unlock()
							delete(running, lane(m))
							if retry {
								next[lane(m)] = m.Offset()
								return errors.New("not yet")
							}
							next[lane(m)] = m.Offset() + 1
							done.Add(1)
							return nil
						},
						Policy: sluice.Policy{Ordering: ordering, Workers: 32},
					})
				})
				c.Until("all records", func() bool { return done.Load() == 400 || broken.Load() != nil })
				if s := broken.Load(); s != nil {
					t.Fatalf("invariant 5: %s", *s)
				}
				m.leave(t)
			})
		})
	}
}

func TestInvariant5AParkedLaneHoldsUpNoOther(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1000, 10)
		var done atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if string(m.Key()) == "k3" {
						return sluice.RetryAfter(errors.New("not now"), time.Hour)
					}
					done.Add(1)
					return nil
				},
				Policy: sluice.Policy{Ordering: sluice.ByKey, Workers: 1},
			})
		})
		time.Sleep(time.Minute)
		if n := done.Load(); n != 900 {
			t.Fatalf("invariant 5: %d of 900 records of other keys were handled while one key waits", n)
		}
		m.leave(t)
	})
}

// fillBuffer writes a record that fills the smallest buffer, with one of another partition.
func fillBuffer(t *testing.T, c *bubble.Cluster, partition int32) {
	t.Helper()
	r := &kgo.Record{Topic: "orders", Partition: partition, Value: make([]byte, 64<<10)}
	if err := c.Client().ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestInvariant6HeartbeatsAndRebalancesNeverWaitForHandlersOrAFullQueue(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			fillBuffer(t, c, p)
			c.Produce("orders", p, 0, 500, 0)
		}
		release := make(chan struct{})
		var lost, assignedToB atomic.Int64
		cfg := configFor(t, c, nil)
		cfg.SessionTimeout = 10 * time.Second
		cfg.MaxBufferedBytes = 64 << 10
		cfg.Events.Released = func(i sluice.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
			}
		}
		add := func(handle func(context.Context, sluice.Message[string]) error) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Handle: handle})
			}
		}
		a := join(t, cfg, add(func(context.Context, sluice.Message[string]) error { <-release; return nil }))
		c.Until("the queue is full", func() bool { return a.app.Stats().BufferedBytes >= cfg.MaxBufferedBytes })
		time.Sleep(5 * time.Minute)
		if lost.Load() != 0 || len(a.app.Snapshot().Partitions) != 2 {
			t.Fatalf("invariant 6: expelled while handlers ran and the queue was full")
		}
		cfgB := configFor(t, c, nil)
		cfgB.Events.Assigned = func(sluice.AssignedInfo) { assignedToB.Add(1) }
		began := time.Now()
		b := join(t, cfgB, add(func(context.Context, sluice.Message[string]) error { return nil }))
		c.Until("the other member's share", func() bool { return assignedToB.Load() >= 1 })
		if took := time.Since(began); took > 40*time.Second { // the drain's 20 s, and two rounds of the group
			t.Fatalf("invariant 6: a rebalance took %v", took)
		}
		close(release)
		b.leave(t)
		a.leave(t)
	})
}

func TestInvariant10AStopDrainsAndCommitsWhileStillAMember(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			c.Produce("orders", p, 0, 10, 0)
		}
		var l ledger
		var running atomic.Int64
		add := func(take time.Duration) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{"orders"}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) error {
						l.note(m)
						running.Add(1)
						time.Sleep(take)
						return nil
					},
					Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
				})
			}
		}
		cfg := configFor(t, c, nil)
		cfg.SessionTimeout = 6 * time.Second
		a := join(t, cfg, add(15*time.Second)) // longer than the session
		c.Until("both run", func() bool { return running.Load() == 2 })
		a.stop()
		time.Sleep(time.Second)
		b := join(t, configFor(t, c, nil), add(0))
		if err := <-a.done; err != nil {
			t.Fatalf("invariant 10: Run: %v", err)
		}
		c.Until("all records", func() bool { return l.count() == 20 })
		b.leave(t)
		for at, n := range l.seen {
			if n != 1 {
				t.Fatalf("invariant 10: %s was handled %d times: the last commit was lost", at, n)
			}
		}
	})
}

// What was finished since the last commit runs again elsewhere when the partition is lost in the middle of the drain.
func TestInvariant10AStopThatLosesItsPartitionsIsNotClean(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var running, lost atomic.Bool
		cfg := configFor(t, c, nil)
		cfg.Events.Released = func(i sluice.ReleasedInfo) { lost.Store(i.Lost) }
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(ctx context.Context, m sluice.Message[string]) error {
					if m.Offset() == 5 {
						running.Store(true)
						<-ctx.Done()
					}
					return nil
				},
				Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
			})
		})
		c.Until("it runs", running.Load)
		m.stop()
		time.Sleep(time.Second)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		err := <-m.done
		if !lost.Load() {
			t.Fatal("the partition was not lost")
		}
		if at := c.Committed("g", "orders", 0); !errors.Is(err, sluice.ErrLost) {
			t.Fatalf("invariant 10: Run: %v, want ErrLost, as the partition was lost while it drained (committed: %d of 6)", err, at)
		}
	})
}

func TestInvariant10RunReturnsByTheDeadlineWhateverTheBrokerDoes(t *testing.T) {
	for name, freeze := range map[string]func(*bubble.Link){"silent": (*bubble.Link).Freeze, "gone": (*bubble.Link).Cut} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				link := c.NewLink()
				cfg := configFor(t, c, link)
				var handled atomic.Int64
				m := join(t, cfg, func(app *sluice.App) error {
					return sluice.Add(app, sluice.Route[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(context.Context, sluice.Message[string]) error { handled.Add(1); return nil },
						Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
					})
				})
				c.Until("work", func() bool { return handled.Load() == 10 })
				freeze(link)
				began := time.Now()
				m.stop()
				var err error
				select {
				case err = <-m.done:
				case <-time.After(5 * time.Minute):
					link.Cut()
					t.Fatalf("invariant 10: Run does not return")
				}
				link.Cut()
				if took, most := time.Since(began), 33*time.Second; took > most {
					t.Fatalf("invariant 10: Run returned after %v, the deadline is %v", took, most)
				}
				if err == nil {
					t.Fatalf("invariant 10: nil, though the last commit cannot have been acknowledged")
				}
			})
		})
	}
}

func TestInvariant10AbortWaitsForNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var running atomic.Bool
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(ctx context.Context, _ sluice.Message[string]) error {
					running.Store(true)
					<-ctx.Done()
					return ctx.Err()
				},
			})
		})
		c.Until("it runs", running.Load)
		m.stop()
		time.Sleep(time.Second)
		began := time.Now()
		m.app.Abort()
		if err := <-m.done; !errors.Is(err, sluice.ErrAborted) {
			t.Fatalf("invariant 10: Run: %v, want ErrAborted", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("invariant 10: Abort took %v", took)
		}
	})
}
