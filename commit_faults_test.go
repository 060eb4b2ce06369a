package sluice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/sluice-go/sluice/internal/engine"
)

// A drain does not wait for MaxWait, and loses nothing of the batch that gathers.
func TestInvariant1BeforeHandleHandlesAGatheringBatchInADrain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		var handled atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10, MaxWait: time.Minute,
				Handle: func(_ context.Context, b sluice.Batch[string]) error { handled.Add(int64(len(b.Messages))); return nil },
				Policy: sluice.Policy{Commit: sluice.BeforeHandle()},
			})
		})
		c.Until("committed first", func() bool { return c.Committed("g", "orders", 0) == 5 })
		began := time.Now()
		m.stop()
		err := <-m.done
		if handled.Load() != 5 || err != nil {
			t.Fatalf("invariant 1: a stop with idle handlers took %v and lost %d of 5 records: %v", time.Since(began), 5-handled.Load(), err)
		}
	})
}

// A commit whose answer was an error may have arrived: a drain makes it again at the old place, whatever failed in between.
func TestInvariant1BeforeHandleTakesBackACommitInDoubt(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 300, 0)
		var l ledger
		var n atomic.Int64
		release, reached := make(chan struct{}), make(chan struct{})
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.BeforeHandle()}, func(m sluice.Message[string]) error {
			l.note(m)
			time.Sleep(time.Millisecond)
			if n.Add(1) == 31 {
				// the next grant's commit is applied, and its answer says that it was not
				c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.RequestTimedOut, Count: 1})
			}
			if n.Load() == 33 {
				close(reached)
				<-release
			}
			return nil
		}))
		<-reached
		c.Until("the second commit arrived", func() bool { return c.Committed("g", "orders", 0) > 64 })
		if m.app.Stats().CommitsFailed != 1 {
			t.Fatalf("commits failed: %+v", m.app.Stats())
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.UnknownServerError, Count: 1})
		m.stop()
		time.Sleep(20 * time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		_ = m.app.Commit(ctx) // anything that commits during the drain: App.Commit here, the committer's own retry in a revoke
		close(release)
		if err := <-m.done; err != nil {
			t.Fatalf("Run: %v", err)
		}
		if got := c.Committed("g", "orders", 0); int64(l.count()) < got {
			t.Fatalf("invariant 1: a clean drain (Run returned nil) lost %d records: committed %d, handled %d", got-int64(l.count()), got, l.count())
		}
	})
}

// What an aborted transaction leaves behind the last record is committed by a stop: else the group lags behind for ever.
func TestBeforeHandleCommitsMarkersInADrain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.BeforeHandle()}, func(sluice.Message[string]) error { return nil }))
		c.Until("the records", func() bool { return m.app.Stats().Finished == 5 })
		time.Sleep(5 * time.Second)
		cl, err := kgo.NewClient(append(c.Options(c.Dial), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		c.Until("the marker", func() bool { return m.app.Snapshot().Partitions[0].Position == 7 })
		m.leave(t)
		if got := c.Committed("g", "orders", 0); got != 7 {
			t.Fatalf("invariant 10: committed %d, and the log ends at 7 with nothing left to handle", got)
		}
	})
}

// Half of the workers are busy; the others go on.
func TestBeforeHandleUsesEveryWorker(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 400
		c.Produce("orders", 0, 0, n, n)
		release := make(chan struct{})
		var done atomic.Int64
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.BeforeHandle(), Ordering: sluice.ByKey, Workers: 64},
			func(m sluice.Message[string]) error {
				if m.Offset() < 40 { // 40 slow ones: 24 of 64 workers are free
					<-release
				}
				done.Add(1)
				return nil
			}))
		time.Sleep(time.Minute)
		got, h := done.Load(), m.app.Snapshot().Partitions[0]
		close(release)
		if got != n-40 {
			t.Errorf("40 of 64 workers are busy, and only %d of the other %d records were handled in a minute: running %d, queued %d", got, n-40, h.Running, h.Queued)
		}
		c.Until("the end", func() bool { return done.Load() == n })
		m.leave(t)
	})
}

// Parked keys hold up no others, as long as they are fewer than the window.
func TestBeforeHandleGoesOnBesideParkedLanes(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 400, 400)
		var done atomic.Int64
		cfg := configFor(t, c, nil)
		cfg.DrainTimeout = time.Second
		m := join(t, cfg, failing(sluice.Policy{Commit: sluice.BeforeHandle(), Ordering: sluice.ByKey, Workers: 1},
			func(m sluice.Message[string]) error {
				if m.Offset() < 33 {
					return sluice.RetryAfter(errors.New("not now"), time.Hour)
				}
				done.Add(1)
				return nil
			}))
		time.Sleep(time.Minute)
		if done.Load() != 400-33 {
			t.Errorf("33 parked keys (the window is 64) hold up the others: %d of %d", done.Load(), 400-33)
		}
		m.stop()
		for range m.done { // not cleanly: some are parked
		}
	})
}

// Skip finishes a record, on a route that commits manually as well.
func TestManualSkipFinishes(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 3, 0)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.Manual()}, func(m sluice.Message[string]) error {
			return sluice.Skip("not ours")
		}))
		c.Until("skipped", func() bool { return m.app.Stats().Skipped == 3 })
		time.Sleep(time.Second)
		s := m.app.Stats()
		m.stop()
		err := <-m.done
		if s.Finished != 3 || err != nil {
			t.Fatalf("skipped 3, finished %d, buffered %d; Run: %v", s.Finished, s.Buffered, err)
		}
	})
}

// Done is the attempt's: a late one of an attempt that failed does not finish the next.
func TestInvariant2DoneOfAnAttemptThatFailedFinishesNoOther(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1, 0)
		var second atomic.Bool
		var late *sluice.Message[string]
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.Manual(), Retry: sluice.Retry{Backoff: time.Second}}, func(m sluice.Message[string]) error {
			if m.Attempt == 1 {
				late = &m
				go func() { time.Sleep(time.Millisecond); m.Done() }() // the first attempt's worker is late
				return errors.New("no")
			}
			second.Store(true)
			return nil // its work goes on elsewhere; nobody called Done for it
		}))
		c.Until("the second attempt", second.Load)
		time.Sleep(time.Second)
		late.Done() // later still
		if err := m.app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := m.app.Stats(); s.Finished != 0 || c.Committed("g", "orders", 0) != 0 {
			t.Fatalf("invariant 2: the failed attempt's late Done finished the second one: finished %d, committed %d", s.Finished, c.Committed("g", "orders", 0))
		}
		m.app.Abort()
		for range m.done { // it ends, in whatever way
		}
	})
}

// Done, and then a batch that says it was rolled back: the error counts.
func TestInvariant2DoneOfABatchThatWasRolledBackDoesNotCount(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 2, 0)
		var calls atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 2, MaxWait: time.Second,
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					if calls.Add(1) == 1 {
						for _, m := range b.Messages {
							m.Done()
						}
						return &sluice.BatchError{RolledBack: true, Failed: map[int]error{1: errors.New("no")}}
					}
					return nil
				},
				Policy: sluice.Policy{Commit: sluice.Manual()},
			})
		})
		c.Until("again", func() bool { return calls.Load() >= 2 })
		time.Sleep(5 * time.Second)
		if s := m.app.Stats(); s.Finished != 0 {
			t.Fatalf("invariant 2: %d finished: Done of a batch that was rolled back counted at the next attempt", s.Finished)
		}
		m.app.Abort()
		for range m.done { // it ends, in whatever way
		}
	})
}

// An error text of binary data has no place to be cut at.
func TestADeadLetterOfABinaryErrorText(t *testing.T) {
	defer func() {
		if v := recover(); v != nil {
			t.Fatalf("writing a dead letter panics, outside of every recover: %v", v)
		}
	}()
	f := engine.Failure{Record: &kgo.Record{Topic: "t"}, Err: errors.New(string(bytes.Repeat([]byte{0x80}, 3000))), Class: "attempts"}
	for _, h := range []sluice.DeadLetterHeaders{sluice.NativeHeaders, sluice.SpringHeaders, sluice.ConnectHeaders, sluice.KafkaHeaders} {
		sluice.DeadLetterRecord(sluice.DeadLetter{Topic: "dlq", Headers: h}, "g", f)
	}
}

// A decoder that does not return for a record of the next batch, a schema registry's perhaps, does not keep this one unfinished.
func TestABlockedDecoderDoesNotHoldUpTheBatchBefore(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		release := make(chan struct{})
		var handled atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, MaxSize: 10,
				Decode: func(r *kgo.Record) (int, error) {
					if r.Offset == 10 {
						<-release // a schema registry that does not answer
					}
					return number(r)
				},
				Handle: func(_ context.Context, b sluice.Batch[int]) error {
					time.Sleep(10 * time.Millisecond)
					handled.Add(int64(len(b.Messages)))
					return nil
				},
			})
		})
		c.Until("the first batch", func() bool { return handled.Load() == 10 })
		time.Sleep(time.Minute)
		committed, finished := c.Committed("g", "orders", 0), m.app.Stats().Finished
		close(release)
		if committed != 10 {
			t.Errorf("the first batch's handler returned nil a minute ago, and %d is committed, %d finished: it runs again after a crash", committed, finished)
		}
		c.Until("all", func() bool { return m.app.Stats().Finished == 20 })
		m.leave(t)
	})
}

// A member that is frozen before it joins again, and expelled meanwhile, is told of no loss when it thaws: the client joins under a
// new member id, and goes on where it stood. What it commits for its old assignments must not reach the group.
func TestInvariant3AZombieRewindsNoCommit(t *testing.T) {
	for name, commit := range map[string]sluice.Commit{"before": sluice.BeforeHandle(), "every": sluice.Every(100 * time.Millisecond)} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				const n = 600
				for p := range int32(2) {
					c.Produce("orders", p, 0, n, 20)
				}
				var mu sync.Mutex
				seen := map[string]int{}
				thawed := make(chan struct{})
				var stands atomic.Bool // the zombie's process
				add := func(zombie bool) func(*sluice.App) error {
					return failing(sluice.Policy{Commit: commit}, func(m sluice.Message[string]) error {
						if zombie && name == "every" && stands.Load() {
							<-thawed
						}
						mu.Lock()
						seen[fmt.Sprintf("orders[%d]@%d", m.Partition(), m.Offset())]++
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
						return nil
					})
				}
				link := c.NewLink()
				var frozen atomic.Bool
				var told atomic.Pointer[sluice.ReleasedInfo] // first after that
				cfg := configFor(t, c, link)
				cfg.SessionTimeout = 10 * time.Second
				cfg.Events.Released = func(i sluice.ReleasedInfo) {
					if frozen.CompareAndSwap(false, true) { // between the revoke and the JoinGroup that follows
						link.Freeze()
						stands.Store(true)
					} else {
						told.CompareAndSwap(nil, &i)
					}
				}
				z := join(t, cfg, add(true))
				time.Sleep(time.Second)
				cfg = configFor(t, c, nil)
				cfg.SessionTimeout = 10 * time.Second
				b := join(t, cfg, add(false))
				c.Until("the other member has it all", func() bool {
					return frozen.Load() && c.Committed("g", "orders", 0) == n && c.Committed("g", "orders", 1) == n
				})
				link.Thaw()
				close(thawed)
				for began := time.Now(); time.Since(began) < 10*time.Second && !t.Failed(); time.Sleep(5 * time.Millisecond) {
					for p := range int32(2) {
						if got := c.Committed("g", "orders", p); got < n {
							t.Errorf("invariant 3: the commit of partition %d went back from %d to %d", p, n, got)
						}
					}
				}
				time.Sleep(20 * time.Second)
				if i := told.Load(); i == nil || !i.Lost {
					t.Errorf("the partition that it had while it was frozen went with %+v, want a loss", i)
				}
				twice := 0
				mu.Lock()
				for _, k := range seen {
					if k > 1 {
						twice++
					}
				}
				mu.Unlock()
				if name == "before" && twice > 0 {
					t.Errorf("invariant 1: %d records were handled twice", twice)
				}
				z.leave(t)
				b.leave(t)
			})
		})
	}
}

// An app that stops while it waits to join, and that the group has expelled meanwhile, could not commit what it has finished: its end
// is not clean.
func TestInvariant10AStopAsAnotherMemberIsNotClean(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			c.Produce("orders", p, 0, 600, 20)
		}
		add := failing(sluice.Policy{Commit: sluice.Every(time.Hour)}, func(sluice.Message[string]) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		link := c.NewLink()
		var frozen atomic.Bool
		var how atomic.Pointer[sluice.ReleasedInfo] // first after that
		cfg := configFor(t, c, link)
		cfg.SessionTimeout = 10 * time.Second
		cfg.Events.Released = func(i sluice.ReleasedInfo) {
			if frozen.CompareAndSwap(false, true) { // between the revoke and the JoinGroup that follows
				link.Freeze()
			} else {
				how.CompareAndSwap(nil, &i)
			}
		}
		z := join(t, cfg, add)
		time.Sleep(time.Second)
		cfg = configFor(t, c, nil)
		cfg.SessionTimeout = 10 * time.Second
		b := join(t, cfg, add)
		c.Until("it is frozen", frozen.Load)
		time.Sleep(15 * time.Second) // it is expelled
		z.stop()
		time.Sleep(time.Second) // it drains, and its last commit waits for the join
		link.Thaw()
		err := <-z.done
		if i := how.Load(); !errors.Is(err, sluice.ErrLost) || i == nil || !i.Lost {
			t.Errorf("invariant 10: Run: %v, want ErrLost; released: %+v, want a loss", err, i)
		}
		b.leave(t)
	})
}
