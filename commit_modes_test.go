package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// atMostOnce notes what is handled, and whether it was committed by then.
type atMostOnce struct {
	ledger
	c   *bubble.Cluster
	bad []string
}

func (l *atMostOnce) handle(_ context.Context, m sluice.Message[string]) error {
	if got := l.c.Committed("g", m.Topic(), m.Partition()); got <= m.Offset() {
		l.mu.Lock()
		l.bad = append(l.bad, fmt.Sprintf("invariant 1: %s[%d]@%d was handled when %d was committed", m.Topic(), m.Partition(), m.Offset(), got))
		l.mu.Unlock()
	}
	l.note(m)
	time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // virtual
	return nil
}

func (l *atMostOnce) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.bad {
		t.Error(b)
	}
	for at, n := range l.seen {
		if n > 1 {
			t.Errorf("invariant 1: %s was handled %d times", at, n)
		}
	}
}

// routes are a route and a batch route that commit before they handle.
func (l *atMostOnce) routes() map[string]func(*sluice.App) error {
	policy := func(o sluice.Ordering) sluice.Policy {
		return sluice.Policy{Ordering: o, Workers: 8, Commit: sluice.BeforeHandle()}
	}
	single := func(o sluice.Ordering) func(*sluice.App) error {
		return func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Handle: l.handle, Policy: policy(o),
			})
		}
	}
	batch := func(o sluice.Ordering) func(*sluice.App) error {
		return func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10, Policy: policy(o),
				Handle: func(ctx context.Context, b sluice.Batch[string]) error {
					for _, m := range b.Messages {
						_ = l.handle(ctx, m) // it never fails
					}
					return nil
				},
			})
		}
	}
	return map[string]func(*sluice.App) error{
		"partition": single(sluice.ByPartition), "key": single(sluice.ByKey), "unordered": single(sluice.Unordered),
		"batch by partition": batch(sluice.ByPartition), "batch by key": batch(sluice.ByKey),
	}
}

const window = 64 // records of a partition that a crash may lose

func TestInvariant1BeforeHandleLosesAtMostAWindowAtACrashAndRepeatsNothing(t *testing.T) {
	for name := range new(atMostOnce).routes() {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				const n = 400
				c.Produce("orders", 0, 0, n, 50)
				c.Produce("orders", 1, 0, n, 50)
				l := atMostOnce{c: c}
				add := l.routes()[name]
				link := c.NewLink()
				cfg := configFor(t, c, link)
				m := join(t, cfg, add)
				c.Until("some were handled", func() bool { return l.count() > 150 })
				link.Cut()
				m.app.Abort()
				for range m.done { // it ends, in whatever way
				}
				before := l.count()
				if before == 2*n {
					t.Fatal("the crash came too late")
				}
				m = join(t, configFor(t, c, nil), add)
				c.Until("the end", func() bool {
					return c.Committed("g", "orders", 0) == n && c.Committed("g", "orders", 1) == n && m.app.Stats().Buffered == 0
				})
				m.leave(t)
				l.check(t)
				if lost := 2*n - l.count(); lost > 2*window {
					t.Fatalf("invariant 1: %d records were lost, at most %d may be", lost, 2*window)
				}
			})
		})
	}
}

func TestInvariant1BeforeHandleLosesNothingInADrain(t *testing.T) {
	for name := range new(atMostOnce).routes() {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
				const n = 300
				for p := range int32(4) {
					c.Produce("orders", p, 0, n, 50)
				}
				l := atMostOnce{c: c}
				cfg := configFor(t, c, nil)
				add := l.routes()[name]
				var members []*member
				for i := range 3 {
					members = append(members, join(t, cfg, add))
					c.Until("some more were handled", func() bool { return l.count() > 200*(i+1) })
				}
				members[0].leave(t)
				members[1].leave(t)
				c.Until("all were committed", func() bool {
					for p := range int32(4) {
						if c.Committed("g", "orders", p) != n {
							return false
						}
					}
					return members[2].app.Stats().Buffered == 0
				})
				members[2].leave(t)
				if lost := 4*n - l.count(); lost != 0 {
					t.Errorf("invariant 1: %d records were lost in a drain", lost)
				}
				l.check(t)
			})
		})
	}
}

func TestBeforeHandleTellsWhatADrainLost(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		release, reached := make(chan struct{}), make(chan struct{})
		cfg := configFor(t, c, nil)
		cfg.DrainTimeout = time.Second
		m := join(t, cfg, failing(sluice.Policy{Commit: sluice.BeforeHandle()}, func(m sluice.Message[string]) error {
			if m.Offset() == 3 {
				close(reached)
				<-release
			}
			return nil
		}))
		<-reached
		m.stop()
		time.Sleep(2 * time.Second) // virtual
		close(release)
		if err := <-m.done; !errors.Is(err, sluice.ErrDrainTimeout) {
			t.Fatalf("Run: %v, want ErrDrainTimeout", err)
		}
		if got := c.Committed("g", "orders", 0); got != 10 {
			t.Fatalf("committed %d, want 10: what was committed first stays so", got)
		}
	})
}

// A record that fails is tried again by this process only, and does not hold the others up.
func TestBeforeHandleRetriesInPlace(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 300, 10)
		var mu sync.Mutex
		calls := map[int64]int{}
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{
			Commit: sluice.BeforeHandle(), Ordering: sluice.ByKey,
			Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"},
		}, func(m sluice.Message[string]) error {
			mu.Lock()
			defer mu.Unlock()
			calls[m.Offset()]++
			if m.Offset()%50 == 7 {
				return errors.New("not today")
			}
			return nil
		}))
		c.Until("the end", func() bool { return m.app.Stats().Finished == 300 })
		m.leave(t)
		for o, n := range calls {
			want := 1
			if o%50 == 7 {
				want = 3
			}
			if n != want {
				t.Errorf("record %d was handled %d times, want %d", o, n, want)
			}
		}
		if dead := len(c.Read("dlq")); dead != 6 {
			t.Errorf("%d dead letters, want 6", dead)
		}
	})
}

func TestInvariant2ManualFinishesWhatIsDone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var mu sync.Mutex
		var held []sluice.Message[string]
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.Manual()}, func(m sluice.Message[string]) error {
			if m.Offset() < 5 {
				m.Done() // before the handler's end
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, m)
			return nil
		}))
		c.Until("all were handled", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 15 })
		if s := m.app.Stats(); s.Finished != 5 || s.Buffered != 15 {
			t.Fatalf("invariant 2: %d finished, %d buffered; want 5 and 15", s.Finished, s.Buffered)
		}
		for _, m := range held[1:] { // all but 5
			m.Done()
			m.Done() // does nothing
		}
		time.Sleep(time.Minute) // virtual
		if got := c.Committed("g", "orders", 0); got != 0 {
			t.Fatalf("%d was committed, and nobody called Commit", got)
		}
		if err := m.app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.Committed("g", "orders", 0); got != 5 {
			t.Fatalf("invariant 2: committed %d, want 5, which is not Done", got)
		}
		held[0].Done()
		if err := m.app.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := c.Committed("g", "orders", 0); got != 20 {
			t.Fatalf("committed %d, want 20", got)
		}
		if s := m.app.Stats(); s.Finished != 20 || s.Buffered != 0 || s.BufferedBytes != 0 {
			t.Fatalf("stats %+v", s)
		}
		m.leave(t)
	})
}

// A stop waits for Done as it waits for a handler, and commits it; what is not Done in time is told, and runs again.
func TestInvariant2ManualIsDrained(t *testing.T) {
	for name, done := range map[string]bool{"done in time": true, "never done": false} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				var mu sync.Mutex
				var held []sluice.Message[string]
				add := failing(sluice.Policy{Commit: sluice.Manual()}, func(m sluice.Message[string]) error {
					mu.Lock()
					defer mu.Unlock()
					held = append(held, m)
					return nil
				})
				m := join(t, configFor(t, c, nil), add)
				c.Until("all were handled", func() bool { mu.Lock(); defer mu.Unlock(); return len(held) == 10 })
				m.stop()
				time.Sleep(5 * time.Second) // virtual
				if done {
					for _, m := range held {
						m.Done()
					}
				}
				err := <-m.done
				if done && err != nil || !done && !errors.Is(err, sluice.ErrDrainTimeout) {
					t.Fatalf("Run: %v", err)
				}
				want := int64(0)
				if done {
					want = 10
				}
				if got := c.Committed("g", "orders", 0); got != want {
					t.Fatalf("invariant 2: committed %d, want %d", got, want)
				}
				for _, m := range held {
					m.Done() // of a partition that is gone
				}
			})
		})
	}
}

// Done and then an error: the error counts.
func TestInvariant2AnErrorAfterDoneCounts(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1, 0)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: sluice.Manual()}, func(m sluice.Message[string]) error {
			if m.Attempt == 1 {
				m.Done()
				return errors.New("after all, no")
			}
			return nil
		}))
		c.Until("the second attempt", func() bool { s := m.app.Stats(); return s.Failed == 1 && s.Buffered == 1 })
		time.Sleep(time.Second) // virtual
		if s := m.app.Stats(); s.Finished != 0 {
			t.Fatal("invariant 2: the first attempt's Done finished the record, though it returned an error")
		}
		m.app.Abort()
		for range m.done { // it ends, in whatever way
		}
	})
}

func TestCommitBeforeRunIsAnError(t *testing.T) {
	if err := newApp(t).Commit(t.Context()); err == nil {
		t.Fatal("no error")
	}
}
