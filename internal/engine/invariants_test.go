package engine_test

import (
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

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

var errBad = errors.New("bad")

// loseOnce lets the group forget the member: its next heartbeat tells it that its partitions are lost.
func loseOnce(c *bubble.Cluster) {
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
}

func TestInvariant1ARecordThatWaitsHoldsTheCommit(t *testing.T) {
	for name, bad := range map[string]engine.Outcome{
		"retry":  {Kind: engine.Failed, Err: errBad, More: &engine.More{After: time.Hour}},
		"outage": {Kind: engine.Outage, Err: errBad},
		"park":   {Kind: engine.Poison, Err: errBad},
		"halt":   {Kind: engine.Poison, Err: errBad},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 5)
				var failed atomic.Bool
				cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
					if r.Offset == 7 {
						failed.Store(true)
						return bad
					}
					return engine.Outcome{}
				})
				cfg.Routes[0].Ordering = engine.ByKey // 12 and 17 wait behind 7
				if name == "halt" {
					cfg.Routes[0].Ordering, cfg.Routes[0].OnFailure = engine.ByPartition, engine.Halt
				}
				_, stop := run(t, cfg)
				c.Until("the failure", failed.Load)
				time.Sleep(10 * time.Second)
				if got := c.Committed("g", "orders", 0); got > 7 {
					t.Fatalf("invariant 1: committed %d, while 7 waits", got)
				}
				if err := stop(); err != nil {
					t.Fatalf("invariant 1: Run: %v", err)
				}
				if got := c.Committed("g", "orders", 0); got != 7 {
					t.Fatalf("invariant 1: committed %d in a stop, want 7, which waits", got)
				}
			})
		})
	}
}

func TestInvariant2OnlyAnAcknowledgedDeadLetterFinishesItsRecord(t *testing.T) {
	for _, name := range []string{"refused", "no answer", "refused in a drain"} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 0)
				var writes atomic.Int64
				answer := make(chan error)
				cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
					if r.Offset == 7 {
						return engine.Outcome{Kind: engine.Poison, Err: errBad}
					}
					return engine.Outcome{}
				})
				cfg.Routes[0].OnFailure = engine.DeadLetter
				cfg.Routes[0].DeadLetter = func(_ engine.Failure, done func(error)) {
					writes.Add(1)
					go func() {
						if name != "refused" {
							done(<-answer)
							return
						}
						select {
						case err := <-answer:
							done(err)
						case <-time.After(100 * time.Millisecond):
							done(errBad)
						}
					}()
				}
				e, stop := run(t, cfg)
				c.Until("the write", func() bool { return writes.Load() > 0 })
				time.Sleep(10 * time.Second)
				if got := c.Committed("g", "orders", 0); got != 7 {
					t.Fatalf("invariant 2: committed %d, want 7, whose dead letter is not acknowledged", got)
				}
				if name != "refused in a drain" {
					answer <- nil
					c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
					if err := stop(); err != nil {
						t.Fatalf("invariant 2: Run: %v", err)
					}
					return
				}
				stopped := make(chan error, 1)
				go func() { stopped <- stop() }()
				c.Until("the drain", func() bool { h := e.Snapshot(); return len(h.Partitions) == 1 && h.Partitions[0].State == "leaving" })
				answer <- errBad
				if err := <-stopped; err != nil {
					t.Fatalf("invariant 2: Run: %v", err)
				}
				if got := c.Committed("g", "orders", 0); got != 7 {
					t.Fatalf("invariant 2: committed %d in a drain, want 7, whose dead letter was refused", got)
				}
			})
		})
	}
}

// A commit that was asked for before a loss may be sent after it, with the generation that the member has by then.
func TestInvariant3ACommitThatWaitsIsNotSentForALostPartition(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		var epoch, lost, handled atomic.Int64
		var held atomic.Bool
		send, handle := make(chan struct{}), make(chan struct{})
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome {
			if epoch.Load() > 1 {
				<-handle
			}
			handled.Add(1)
			return engine.Outcome{}
		})
		cfg.CommitTimeout = 5 * time.Minute
		cfg.Routes[0].CommitInterval, cfg.Routes[0].CommitRecords = 0, 10
		cfg.BeforeCommit = func() {
			if handled.Load() == 10 && held.CompareAndSwap(false, true) {
				<-send
			}
		}
		cfg.Observer.Assigned = func(i engine.AssignedInfo) { epoch.Store(int64(i.Epoch)) }
		cfg.Observer.Released = func(i engine.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
			}
		}
		_, stop := run(t, cfg)
		c.Until("the commit of where it begins", func() bool { return c.Committed("g", "orders", 0) == 0 }) // else it may be of all
		c.Produce("orders", 0, 0, 10, 0)
		c.Until("a commit that is held", held.Load)
		loseOnce(c)
		c.Until("the loss and the return", func() bool { return lost.Load() == 1 && epoch.Load() == 2 })
		time.Sleep(5 * time.Second) // what was committed for it is read by now
		close(send)
		time.Sleep(5 * time.Second)
		if got := c.Committed("g", "orders", 0); got > 0 {
			t.Errorf("invariant 3: committed %d, which an assignment finished that was lost before the commit was sent", got)
		}
		close(handle)
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A transaction has what was written for a partition that is lost when its offsets are about to be sent: it is aborted, as it would
// be committed without them, and whoever has the partition next would write that again.
func TestInvariant12APartitionThatIsLostBeforeItsOffsetsAreSentAborts(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var lost, held atomic.Bool
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			return engine.Outcome{More: &engine.More{Records: []*kgo.Record{{Topic: "bills", Value: r.Value}}}}
		})
		cfg.Transact = &engine.Transact{ID: "g", Interval: 100 * time.Millisecond, Timeout: 10 * time.Second}
		cfg.Observer.Released = func(i engine.ReleasedInfo) { lost.Store(lost.Load() || i.Lost) }
		cfg.BeforeCommit = func() {
			if held.CompareAndSwap(false, true) {
				loseOnce(c)
				c.Until("the loss", lost.Load)
			}
		}
		_, stop := run(t, cfg)
		c.Produce("orders", 0, 0, 10, 0)
		c.Until("a transaction that is held", held.Load)
		time.Sleep(10 * time.Second)
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := len(c.Read("bills")); got != 10 {
			t.Errorf("invariant 12: %d answers to 10 records", got)
		}
	})
}

// The commit of where a partition begins is nobody's leave to commit what was finished before it is sent.
func TestInvariant1OnlyTheStartIsCommittedUnaskedWhereCommitsAreManual(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var held atomic.Bool
		var handled atomic.Int64
		send := make(chan struct{})
		cfg := engineConfig(t, c, nil)
		r := cfg.Routes[0]
		r.CommitManually, r.CommitInterval, r.CommitRecords = true, 0, 0
		r.Handle = func(_ context.Context, w *engine.Work, r *kgo.Record, _ int) engine.Outcome {
			<-send
			w.Finish(r)
			handled.Add(1)
			return engine.Outcome{}
		}
		cfg.BeforeCommit = func() {
			if held.CompareAndSwap(false, true) {
				close(send)
				c.Until("every record", func() bool { return handled.Load() == 10 })
			}
		}
		e, stop := run(t, cfg)
		c.Until("a commit that is held", held.Load)
		time.Sleep(time.Minute)
		if got := c.Committed("g", "orders", 0); got != 0 {
			t.Errorf("invariant 1: committed %d, want where it began, 0: nobody asked for more", got)
		}
		if err := e.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.Committed("g", "orders", 0); got != 10 {
			t.Errorf("committed %d, want 10", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// Nor does it say what was finished above it: after a crash, all that was not committed on demand runs again.
func TestInvariant1TheStartSaysNothingOfWhatIsDoneWhereCommitsAreManual(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var held atomic.Bool
		var handled atomic.Int64
		send := make(chan struct{})
		cfg := engineConfig(t, c, nil)
		cfg.CommitMetadata = 4096
		r := cfg.Routes[0]
		r.Ordering, r.CommitManually, r.CommitInterval, r.CommitRecords = engine.Unordered, true, 0, 0
		r.Handle = func(_ context.Context, w *engine.Work, r *kgo.Record, _ int) engine.Outcome {
			<-send
			if r.Offset > 0 {
				w.Finish(r)
			}
			handled.Add(1)
			return engine.Outcome{}
		}
		cfg.BeforeCommit = func() {
			if held.CompareAndSwap(false, true) {
				close(send)
				c.Until("every record", func() bool { return handled.Load() == 10 })
			}
		}
		_, _ = run(t, cfg)
		c.Until("a commit that is held", held.Load)
		c.Until("the start's commit", func() bool { return c.Committed("g", "orders", 0) == 0 })
		offsets, err := c.Admin().FetchOffsets(t.Context(), "g")
		if err != nil {
			t.Fatal(err)
		}
		if o, _ := offsets.Lookup("orders", 0); o.Metadata != "" {
			t.Errorf("invariant 1: nobody asked for a commit, and that of the start says %q", o.Metadata)
		}
	})
}

// With Latest, where a partition begins is committed at once, and not with the first interval: a loss or a crash before that would look
// for the latest record anew, and nobody would handle those that came meanwhile.
func TestInvariant1ALossBeforeTheFirstIntervalSkipsNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		var last atomic.Int64
		release := make(chan struct{})
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			<-release
			last.Store(r.Offset)
			return engine.Outcome{}
		})
		cfg.Start.Latest = true
		cfg.Routes[0].Ordering, cfg.Routes[0].CommitInterval = engine.ByPartition, time.Hour
		_, stop := run(t, cfg)
		time.Sleep(10 * time.Second) // it begins at 5
		c.Produce("orders", 0, 5, 10, 0)
		time.Sleep(10 * time.Second) // they wait behind the first
		loseOnce(c)
		time.Sleep(30 * time.Second) // it is back
		close(release)
		time.Sleep(10 * time.Second)
		if got := last.Load(); got != 14 {
			t.Errorf("invariant 1: the last record that was handled is %d, want 14", got)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInvariant3TheHandlerOfALostPartitionChangesNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var calls, dead, lost, epoch atomic.Int64
		first := make(chan struct{})
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 4 && calls.Add(1) == 1 {
				<-first
				return engine.Outcome{Kind: engine.Poison, Err: errBad}
			}
			return engine.Outcome{}
		})
		cfg.Routes[0].OnFailure = engine.DeadLetter
		cfg.Routes[0].DeadLetter = func(_ engine.Failure, done func(error)) { dead.Add(1); done(nil) }
		cfg.Observer.Assigned = func(i engine.AssignedInfo) { epoch.Store(int64(i.Epoch)) }
		cfg.Observer.Released = func(i engine.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
			}
		}
		e, stop := run(t, cfg)
		c.Until("record 4 runs", func() bool { return calls.Load() == 1 })
		loseOnce(c)
		c.Until("the loss and the return", func() bool { return lost.Load() == 1 && epoch.Load() == 2 })
		close(first)
		time.Sleep(10 * time.Second)
		if n := dead.Load(); n != 0 {
			t.Errorf("invariant 3: the handler of a lost partition wrote %d dead letters", n)
		}
		if got := c.Committed("g", "orders", 0); got != 10 {
			t.Errorf("invariant 3: committed %d, want 10: the new assignment does not go on", got)
		}
		if s := e.Stats(); s.Buffered != 0 || s.BufferedBytes != 0 {
			t.Errorf("invariant 3: %d records of %d bytes are held when all are finished", s.Buffered, s.BufferedBytes)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInvariant4ARevokeStartsNothingMore(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			c.Produce("orders", p, 0, 500, 0)
		}
		var overran, moved atomic.Int64
		slow := func(*kgo.Record) engine.Outcome { time.Sleep(time.Second); return engine.Outcome{} }
		cfg := engineConfig(t, c, slow)
		cfg.Observer.DrainOverran = func(engine.DrainOverranInfo) { overran.Add(1) }
		e, stopA := run(t, cfg)
		c.Until("work", func() bool { return e.Stats().Finished > 5 })
		other := engineConfig(t, c, slow)
		other.Observer.Assigned = func(engine.AssignedInfo) { moved.Add(1) }
		_, stopB := run(t, other)
		began := time.Now()
		c.Until("the other member's share", func() bool { return moved.Load() == 1 })
		if took := time.Since(began); overran.Load() != 0 || took > 15*time.Second {
			t.Errorf("invariant 4: a drain of one record that takes 1 s took %v: it went on with the records behind it", took)
		}
		if err := errors.Join(stopA(), stopB()); err != nil {
			t.Errorf("invariant 4: Run: %v", err)
		}
	})
}

// lanes checks what a handler sees: one record of a lane at a time, and each again until it succeeded, in offset order.
type lanes struct {
	mu      sync.Mutex
	running map[string]int64
	next    map[string]int64
	failed  map[int64]bool
	done    int
	broken  string
}

func (l *lanes) handle(lane string, r *kgo.Record, take time.Duration, fail bool) engine.Outcome {
	l.mu.Lock()
	if at, busy := l.running[lane]; busy && l.broken == "" {
		l.broken = fmt.Sprintf("%d runs beside %d in lane %q", r.Offset, at, lane)
	}
	if next, ok := l.next[lane]; (ok && next != r.Offset) && l.broken == "" {
		l.broken = fmt.Sprintf("%d in lane %q, want %d", r.Offset, lane, next)
	}
	l.running[lane] = r.Offset
	fail = fail && !l.failed[r.Offset]
	l.failed[r.Offset] = true
	l.mu.Unlock()
	if take > 0 {
		time.Sleep(take)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, lane)
	l.next[lane] = r.Offset
	if fail {
		return engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: 50 * time.Millisecond}}
	}
	l.done++
	return engine.Outcome{}
}

// Records arrive while their lane runs, and while it waits for a retry; fast ones share a run.
func TestInvariant5ALaneKeepsItsOrderWhateverArrives(t *testing.T) {
	const keys, total = 3, 300
	for _, ordering := range []engine.Ordering{engine.ByPartition, engine.ByKey} {
		for name, take := range map[string]time.Duration{"fast": 0, "slow": 7 * time.Millisecond} {
			t.Run(fmt.Sprintf("%d/%s", ordering, name), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					l := lanes{running: map[string]int64{}, next: map[string]int64{}, failed: map[int64]bool{}}
					step := int64(1)
					if ordering == engine.ByKey {
						step = keys
					}
					cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
						lane := ""
						if ordering == engine.ByKey {
							lane = string(r.Key)
						}
						o := l.handle(lane, r, take, r.Offset%20 == 13)
						if o.Kind == engine.Done {
							l.mu.Lock()
							l.next[lane] += step
							l.mu.Unlock()
						}
						return o
					})
					cfg.Routes[0].Ordering = ordering
					_, stop := run(t, cfg)
					for i := 0; i < total; i += 30 {
						c.Produce("orders", 0, i, 25, keys)
						time.Sleep(20 * time.Millisecond)
						c.Produce("orders", 0, i+25, 5, keys)
						time.Sleep(20 * time.Millisecond)
					}
					time.Sleep(time.Minute)
					l.mu.Lock()
					broken, done := l.broken, l.done
					l.mu.Unlock()
					if broken != "" || done != total {
						t.Errorf("invariant 5: %d of %d records done; %s", done, total, broken)
					}
					if err := stop(); err != nil {
						t.Errorf("invariant 5: Run: %v", err)
					}
				})
			})
		}
	}
}

func TestInvariant5AHandlerThatOutlivesItsAssignmentIsWaitedFor(t *testing.T) {
	for _, ordering := range []engine.Ordering{engine.ByPartition, engine.ByKey, engine.Unordered} {
		t.Run(fmt.Sprint(ordering), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 5)
				var calls, running, most, lost, epoch, others atomic.Int64
				release := make(chan struct{})
				cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
					if r.Offset != 4 {
						if epoch.Load() == 2 {
							others.Add(1)
						}
						return engine.Outcome{}
					}
					calls.Add(1)
					n := running.Add(1)
					most.Store(max(most.Load(), n))
					<-release
					running.Add(-1)
					return engine.Outcome{}
				})
				cfg.Routes[0].Ordering = ordering
				cfg.Observer.Assigned = func(i engine.AssignedInfo) { epoch.Store(int64(i.Epoch)) }
				cfg.Observer.Released = func(i engine.ReleasedInfo) {
					if i.Lost {
						lost.Add(1)
					}
				}
				_, stop := run(t, cfg)
				c.Until("record 4 runs", func() bool { return calls.Load() == 1 })
				loseOnce(c)
				c.Until("the loss and the return", func() bool { return lost.Load() == 1 && epoch.Load() == 2 })
				time.Sleep(10 * time.Second)
				if most.Load() != 1 {
					t.Errorf("invariant 5: record 4 runs twice at once: the old handler was not waited for")
				}
				if ordering != engine.ByPartition && others.Load() == 0 {
					t.Errorf("invariant 5: lanes wait that have no old handler")
				}
				close(release)
				time.Sleep(10 * time.Second)
				if got := c.Committed("g", "orders", 0); got != 20 || calls.Load() != 2 {
					t.Errorf("invariant 5: committed %d, record 4 ran %d times; want 20 and 2 when the old handler has ended", got, calls.Load())
				}
				if err := stop(); err != nil {
					t.Errorf("invariant 5: Run: %v", err)
				}
			})
		})
	}
}

func TestInvariant6AnAssignmentDoesNotWaitForAFullQueue(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(4) {
			c.Produce("orders", p, 0, 500, 0)
		}
		release := make(chan struct{})
		var hold atomic.Bool
		var mine, others atomic.Int64
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome {
			if hold.Load() {
				<-release
			}
			return engine.Outcome{}
		})
		cfg.MaxBytes = 200 // one record fills it
		cfg.Observer.Assigned = func(engine.AssignedInfo) { mine.Add(1) }
		other := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
		other.Observer.Assigned = func(engine.AssignedInfo) { others.Add(1) }
		e, stopA := run(t, cfg)
		c.Until("all partitions", func() bool { return mine.Load() == 4 })
		_, stopB := run(t, other)
		c.Until("two partitions each", func() bool { return others.Load() == 2 }) // one alone may not fill it
		hold.Store(true)
		for p := range int32(4) {
			c.Produce("orders", p, 500, 500, 0)
		}
		c.Until("a full queue", func() bool { return e.Snapshot().Full })
		if err := stopB(); err != nil {
			t.Errorf("invariant 6: Run: %v", err)
		}
		time.Sleep(20 * time.Second) // a heartbeat, and a round of the group
		if n := mine.Load(); n != 6 {
			t.Errorf("invariant 6: the partitions of a member that left are not assigned while the queue is full (%d assignments)", n)
		}
		close(release)
		time.Sleep(time.Second)
		if err := stopA(); err != nil {
			t.Errorf("invariant 6: Run: %v", err)
		}
	})
}

// stuck runs a member whose handler is stuck in one partition, lets another join, and returns how long that waited for its
// share, and whether the stuck partition is in it.
func stuck(t *testing.T, c *bubble.Cluster, partitions, at int32) (took time.Duration, left bool) {
	t.Helper()
	for p := range partitions {
		c.Produce("orders", p, 0, 10, 0)
	}
	release := make(chan struct{})
	var shared, running atomic.Int64
	var moved sync.Map
	cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
		if r.Partition == at {
			running.Add(1)
			<-release
		}
		return engine.Outcome{}
	})
	e, stopA := run(t, cfg)
	c.Until("work", func() bool { return running.Load() == 1 && e.Stats().Finished == int64(partitions-1)*10 })
	other := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
	other.Observer.Assigned = func(i engine.AssignedInfo) { moved.Store(i.Partition, true); shared.Add(1) }
	_, stopB := run(t, other)
	began := time.Now()
	for shared.Load() < int64(partitions/2) && time.Since(began) < 5*time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	took = time.Since(began)
	_, left = moved.Load(at)
	close(release)
	time.Sleep(time.Second)
	if err := errors.Join(stopA(), stopB()); err != nil {
		t.Errorf("invariant 6: Run: %v", err)
	}
	return took, left
}

func TestInvariant6ARebalanceWaitsForLeavingPartitionsOnlyAndNotForLong(t *testing.T) {
	const partitions = 4
	var stayed, left int
	for p := range int32(partitions) {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": partitions}, func(t *testing.T, c *bubble.Cluster) {
				took, leaves := stuck(t, c, partitions, p)
				switch {
				case !leaves:
					stayed++
					if took > 15*time.Second { // heartbeats, and two rounds of the group
						t.Errorf("invariant 6: a rebalance took %v: it waited for the handler of partition %d, which stays", took, p)
					}
				default:
					left++
					if took > 35*time.Second { // the same, and the drain's 20 s
						t.Errorf("invariant 6: a rebalance took %v, longer than the drain's deadline", took)
					}
				}
			})
		})
	}
	if stayed == 0 || left == 0 {
		t.Errorf("invariant 6: the stuck partition stayed %d times and left %d times: nothing was tested", stayed, left)
	}
}

func TestInvariant6ALossWaitsForNoHandler(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var running, lost, epoch atomic.Int64
		release := make(chan struct{})
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { running.Add(1); <-release; return engine.Outcome{} })
		cfg.Observer.Assigned = func(i engine.AssignedInfo) { epoch.Store(int64(i.Epoch)) }
		cfg.Observer.Released = func(i engine.ReleasedInfo) {
			if i.Lost {
				lost.Add(1)
			}
		}
		_, stop := run(t, cfg)
		c.Until("it runs", func() bool { return running.Load() == 1 })
		loseOnce(c)
		time.Sleep(15 * time.Second)
		if lost.Load() != 1 || epoch.Load() != 2 {
			t.Errorf("invariant 6: %d losses, epoch %d, while a handler is stuck; want 1 and 2: it was waited for", lost.Load(), epoch.Load())
		}
		close(release)
		time.Sleep(time.Second)
		if err := stop(); err != nil {
			t.Errorf("invariant 6: Run: %v", err)
		}
	})
}

func TestInvariant10NilOnlyAfterACleanDrain(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		t.Run(fmt.Sprintf("obeys its context %t", obeys), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				var running atomic.Bool
				release := make(chan struct{})
				defer close(release)
				cfg := engineConfig(t, c, nil)
				cfg.Routes[0].Handle = func(ctx context.Context, _ *engine.Work, _ *kgo.Record, _ int) engine.Outcome {
					running.Store(true)
					done := ctx.Done()
					if !obeys {
						done = nil
					}
					select {
					case <-done:
					case <-release:
					}
					return engine.Outcome{Kind: engine.Failed, Err: errBad}
				}
				_, stop := run(t, cfg)
				c.Until("it runs", running.Load)
				began := time.Now()
				err := stop()
				if took := time.Since(began); took > 32*time.Second {
					t.Errorf("invariant 10: Run returned after %v", took)
				}
				if !errors.Is(err, engine.ErrDrainTimeout) {
					t.Errorf("invariant 10: Run: %v, want ErrDrainTimeout", err)
				}
			})
		})
	}
}

func TestInvariant10AStopMakesTheCommitThatFailedBefore(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		e, stop := run(t, engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} }))
		c.Until("a commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: -1})
		c.Produce("orders", 0, 10, 10, 0)
		c.Until("a commit that fails", func() bool { return e.Stats().CommitsFailed > 0 && e.Stats().Finished == 20 })
		fault.Remove()
		if err := stop(); err != nil {
			t.Errorf("invariant 10: Run: %v", err)
		}
		if got := c.Committed("g", "orders", 0); got != 20 {
			t.Errorf("invariant 10: committed %d after a stop, want 20", got)
		}
	})
}

func TestInvariant10AStopLeavesTheGroup(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		idle := func(*kgo.Record) engine.Outcome { return engine.Outcome{} }
		_, stopA := run(t, engineConfig(t, c, idle))
		b, stopB := run(t, engineConfig(t, c, idle))
		has := func(n int) func() bool { return func() bool { return len(b.Snapshot().Partitions) == n } }
		c.Until("a partition each", has(1))
		time.Sleep(10 * time.Second)
		if err := stopA(); err != nil {
			t.Errorf("invariant 10: Run: %v", err)
		}
		time.Sleep(15 * time.Second) // a heartbeat and a round of the group; the session lasts 45 s
		if !has(2)() {
			t.Errorf("invariant 10: the other member waits for the session of one that stopped")
		}
		if err := stopB(); err != nil {
			t.Errorf("invariant 10: Run: %v", err)
		}
	})
}

// A broker that answers no commit holds up a rebalance for the commit's time limit, and no longer.
func TestInvariant6ARevokeWaitsForNoCommitWithoutALimit(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			c.Produce("orders", p, 0, 10, 0)
		}
		var shared atomic.Int64
		idle := func(*kgo.Record) engine.Outcome { return engine.Outcome{} }
		cfg := engineConfig(t, c, idle)
		cfg.Routes[0].CommitInterval = time.Hour
		a, _ := run(t, cfg)
		c.Until("work", func() bool { return a.Stats().Finished == 20 })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.CoordinatorLoadInProgress, Count: -1}) // the client asks again
		other := engineConfig(t, c, idle)
		other.Observer.Assigned = func(engine.AssignedInfo) { shared.Add(1) }
		run(t, other)
		time.Sleep(25 * time.Second) // the commit's 10 s, heartbeats, and two rounds of the group
		if shared.Load() == 0 {
			t.Errorf("invariant 6: a rebalance waits for a commit that is not answered")
		}
	})
}

// A client that waits to join a group, behind the drain of another member, is not to be closed without force.
func TestInvariant10AbortCutsAJoinShort(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(4) {
			c.Produce("orders", p, 0, 10, 0)
		}
		var slow atomic.Bool
		var shared, joins atomic.Int64
		release := make(chan struct{})
		idle := func(*kgo.Record) engine.Outcome { return engine.Outcome{} }
		cfgA := engineConfig(t, c, idle)
		cfgA.Options = append(cfgA.Options, kgo.Balancers(kgo.RangeBalancer()), kgo.ClientID("a")) // eager: all give up all
		cfgB := engineConfig(t, c, func(*kgo.Record) engine.Outcome {
			if slow.Load() {
				<-release
			}
			return engine.Outcome{}
		})
		cfgB.Options = append(cfgB.Options, kgo.Balancers(kgo.RangeBalancer()), kgo.ClientID("b"))
		cfgB.Observer.Assigned = func(engine.AssignedInfo) { shared.Add(1) }
		a, stopA := run(t, cfgA)
		c.Until("all partitions", func() bool { return len(a.Snapshot().Partitions) == 4 })
		b, stopB := run(t, cfgB)
		c.Until("its share", func() bool { return shared.Load() == 2 && b.Health().Joined })
		time.Sleep(10 * time.Second)
		slow.Store(true)
		for p := range int32(4) {
			c.Produce("orders", p, 10, 10, 0)
		}
		time.Sleep(time.Second) // the other member's handlers are stuck now
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Observe: true, Count: -1, When: func(r kmsg.Request) bool {
			joins.Add(1)
			return false
		}})
		cfgC := engineConfig(t, c, idle)
		cfgC.Options = append(cfgC.Options, kgo.Balancers(kgo.RangeBalancer()), kgo.ClientID("c"))
		_, stopC := run(t, cfgC)
		c.Until("this member waits to join", func() bool { return len(a.Snapshot().Partitions) == 0 && joins.Load() >= 2 })
		time.Sleep(time.Second)
		stopped := make(chan error, 1)
		began := time.Now()
		go func() { stopped <- stopA() }()
		a.Abort()
		err := <-stopped
		if took := time.Since(began); took > 1500*time.Millisecond || !errors.Is(err, engine.ErrAborted) {
			t.Errorf("invariant 10: Run returned %v after an abort, after %v, in a join", err, took)
		}
		close(release)
		_, _ = stopB(), stopC() // the group waits for the aborted member's session: their commits may fail
	})
}
