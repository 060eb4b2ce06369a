package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// number decodes a record's value as a number.
func number(r *kgo.Record) (int, error) { return strconv.Atoi(string(r.Value)) }

func TestBatchesAreFullOrWaited(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 25, 0)
		var mu sync.Mutex
		var sizes []int
		var when []time.Duration
		began := time.Now()
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, MaxSize: 10, MaxWait: 3 * time.Second,
				Handle: func(_ context.Context, b sluice.Batch[int]) error {
					mu.Lock()
					defer mu.Unlock()
					sizes = append(sizes, len(b.Messages))
					when = append(when, time.Since(began))
					if last := b.Messages[len(b.Messages)-1].Offset(); b.Next != last+1 {
						return fmt.Errorf("next %d after %d", b.Next, last)
					}
					return nil
				},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 25 })
		m.leave(t)
		if !slices.Equal(sizes, []int{10, 10, 5}) {
			t.Fatalf("sizes %v", sizes)
		}
		if wait := when[2] - when[1]; wait < 2900*time.Millisecond || wait > 3200*time.Millisecond {
			t.Fatalf("the batch that was not full waited %v, want 3 s", wait)
		}
	})
}

func TestABatchThatFailsAsAWholeLosesOnlyWhatFailsAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var mu sync.Mutex
		got := map[int]int{}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, MaxSize: 20,
				Handle: func(_ context.Context, b sluice.Batch[int]) error {
					for _, m := range b.Messages {
						if m.Value == 13 {
							return errors.New("somebody here is bad")
						}
					}
					mu.Lock()
					defer mu.Unlock()
					for _, m := range b.Messages {
						got[m.Value]++
					}
					return nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
		if len(got) != 19 {
			t.Fatalf("%d records were handled, want 19: %v", len(got), got)
		}
		if dead := c.Read("dlq"); len(dead) != 1 || string(dead[0].Value) != "13" {
			t.Fatalf("dead letters: %v", dead)
		}
	})
}

func TestABatchErrorFinishesTheOthers(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		c.Client().ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("not a number")})
		var mu sync.Mutex
		var calls [][]int
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, MaxSize: 20, MaxWait: time.Second,
				Handle: func(_ context.Context, b sluice.Batch[int]) error {
					var values []int
					failed := map[int]error{}
					for i, m := range b.Messages {
						values = append(values, m.Value)
						switch {
						case m.Value == 3 && m.Attempt == 1:
							failed[i] = errors.New("again, please")
						case m.Value == 5:
							failed[i] = sluice.Poison(errors.New("never"))
						case m.Value == 7:
							failed[i] = sluice.Skip("not ours")
						}
					}
					mu.Lock()
					defer mu.Unlock()
					calls = append(calls, values)
					if len(failed) > 0 {
						return &sluice.BatchError{Failed: failed}
					}
					return nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 5}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 11 })
		m.leave(t)
		want := [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {3}}
		if fmt.Sprint(calls) != fmt.Sprint(want) {
			t.Fatalf("calls %v, want %v", calls, want)
		}
		if dead := c.Read("dlq"); len(dead) != 2 {
			t.Fatalf("%d dead letters, want 2", len(dead))
		}
		if s := m.app.Stats(); s.Skipped != 1 || s.DeadLettered != 2 || s.Finished != 11 {
			t.Fatalf("stats %+v", s)
		}
	})
}

// memorySink keeps offsets beside its rows, as a database would, and fences as one.
type memorySink struct {
	mu     sync.Mutex
	rows   []int
	next   map[int32]int64
	owner  map[int32]int
	claims int
	poison func(v int) bool
	refuse error
	dead   func() int // acknowledged dead letters, to be compared with what is stepped over
	bad    string
}

func newMemorySink() *memorySink {
	return &memorySink{next: map[int32]int64{}, owner: map[int32]int{}}
}

func (s *memorySink) Claim(ctx context.Context, r sluice.ClaimRequest) (sluice.Claim, error) {
	start, err := r.Start(ctx)
	if err != nil {
		return sluice.Claim{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return sluice.Claim{}, sluice.Refused(s.refuse)
	}
	s.claims++
	s.owner[r.Partition] = s.claims
	if _, ok := s.next[r.Partition]; !ok {
		s.next[r.Partition] = start
	}
	return sluice.Claim{Next: s.next[r.Partition], NextEpoch: -1, Token: s.claims}, nil
}

func (s *memorySink) Handle(_ context.Context, b sluice.Batch[int]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token, ok := b.Claim.(int); !ok || s.owner[b.Partition] != token {
		return sluice.Reclaim(errors.New("fenced"))
	}
	failed := map[int]error{}
	for i, m := range b.Messages {
		if s.poison != nil && s.poison(m.Value) {
			failed[i] = sluice.Poison(errors.New("refused"))
		}
	}
	if len(failed) > 0 {
		return &sluice.BatchError{Failed: failed, RolledBack: true}
	}
	if n := b.Next - s.next[b.Partition] - int64(len(b.Messages)); n > 0 && s.dead != nil {
		if s.dead() < int(n) {
			s.bad = "a transaction stepped over a record whose dead letter was not acknowledged"
		}
	}
	for _, m := range b.Messages {
		s.rows = append(s.rows, m.Value)
	}
	s.next[b.Partition] = b.Next
	return nil
}

func (s *memorySink) route(topic string, p sluice.Policy) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.AddBatch(app, sluice.BatchRoute[int]{
			Topics: []string{topic}, Decode: number, Handle: s.Handle, Offsets: s, MaxSize: 50, Policy: p,
		})
	}
}

// check demands every value of 0..n-1 once, save those that skip names.
func (s *memorySink) check(t *testing.T, n int, skip func(int) bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != "" {
		t.Fatal(s.bad)
	}
	times := map[int]int{}
	for _, v := range s.rows {
		times[v]++
	}
	for v := range n {
		want := 1
		if skip != nil && skip(v) {
			want = 0
		}
		if times[v] != want {
			t.Fatalf("value %d is there %d times, want %d", v, times[v], want)
		}
	}
}

func TestOffsetsRouteSettlesDeadLettersBeforeItStepsOverThem(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 200, 0)
		sink := newMemorySink()
		sink.poison = func(v int) bool { return v%40 == 7 || v >= 195 }
		var dead atomic.Int64
		sink.dead = func() int { return int(dead.Load()) }
		cfg := configFor(t, c, nil)
		cfg.Events.DeadLettered = func(sluice.FailedInfo) { dead.Add(1) }
		policy := sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}}
		m := join(t, cfg, sink.route("orders", policy))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 200 })
		m.leave(t)
		sink.check(t, 200, sink.poison)
		if n := len(c.Read("dlq")); n != 10 {
			t.Fatalf("%d dead letters, want 10", n)
		}
		if sink.next[0] != 200 {
			t.Fatalf("the sink is at %d: it did not step over the poison at the end", sink.next[0])
		}
		// A restart writes no dead letter again.
		m = join(t, cfg, sink.route("orders", policy))
		c.Until("the partition", func() bool {
			return len(m.app.Snapshot().Partitions) == 1 && m.app.Snapshot().Partitions[0].State == "open"
		})
		time.Sleep(5 * time.Second)
		m.leave(t)
		if n := len(c.Read("dlq")); n != 10 {
			t.Fatalf("%d dead letters after a restart, want 10", n)
		}
	})
}

func TestOffsetsRouteWithoutOnFailureKeepsThePoisonAndLandsWhatIsBeforeIt(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 50, 0)
		sink := newMemorySink()
		var mended atomic.Bool
		sink.poison = func(v int) bool { return v == 20 && !mended.Load() }
		m := join(t, configFor(t, c, nil), sink.route("orders", sluice.Policy{}))
		c.Until("those before it", func() bool { return c.Committed("g", "orders", 0) == 20 })
		if h := m.app.Health(); h.Ready || len(h.Problems) == 0 {
			t.Fatalf("health does not tell: %+v", h)
		}
		mended.Store(true)
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 50 })
		m.leave(t)
		sink.check(t, 50, nil)
	})
}

func TestOffsetsRouteIsClaimedAgainAfterALateZombie(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		sink := newMemorySink()
		var reclaimed atomic.Int64
		cfg := configFor(t, c, nil)
		cfg.Events.Reclaimed = func(sluice.ReclaimedInfo) { reclaimed.Add(1) }
		m := join(t, cfg, sink.route("orders", sluice.Policy{}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 100 })
		sink.mu.Lock()
		sink.claims++
		sink.owner[0] = sink.claims // a late zombie's claim
		sink.mu.Unlock()
		c.Produce("orders", 0, 100, 100, 0)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 200 })
		if reclaimed.Load() != 1 {
			t.Fatalf("%d reclaims, want 1", reclaimed.Load())
		}
		// The database goes back, rows and offset together.
		sink.mu.Lock()
		sink.rows = sink.rows[:150]
		sink.next[0] = 150
		sink.claims++
		sink.owner[0] = sink.claims
		sink.mu.Unlock()
		c.Produce("orders", 0, 200, 1, 0)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 201 })
		m.leave(t)
		sink.check(t, 201, nil)
	})
}

func TestOffsetsRouteThatIsRefusedHaltsOnlyItself(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "other": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		c.Produce("other", 0, 0, 10, 0)
		sink := newMemorySink()
		sink.refuse = errors.New("mend me")
		var l ledger
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(sink.route("orders", sluice.Policy{})(app), sluice.Add(app, sluice.Route[string]{
				Topics: []string{"other"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
			}))
		})
		c.Until("the other route", func() bool { return c.Committed("g", "other", 0) == 10 })
		h := m.app.Health()
		if h.Ready || len(h.Problems) != 2 {
			t.Fatalf("health: %+v", h)
		}
		m.leave(t)
		if len(sink.rows) != 0 || c.Committed("g", "orders", 0) != -1 {
			t.Fatalf("a refused partition was worked on")
		}
	})
}

func TestEachRouteCommitsAtItsOwnInterval(t *testing.T) {
	bubble.Run(t, map[string]int32{"slow": 1, "quick": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("slow", 0, 0, 1, 0)
		var l ledger
		route := func(topic string, every time.Duration) sluice.Route[string] {
			return sluice.Route[string]{
				Topics: []string{topic}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.Every(every)},
				Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
			}
		}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(sluice.Add(app, route("slow", time.Hour)), sluice.Add(app, route("quick", time.Second)))
		})
		c.Until("the slow route's record", func() bool { return l.count() == 1 })
		time.Sleep(5 * time.Second)
		c.Produce("quick", 0, 0, 1, 0)
		began := time.Now()
		c.Until("the quick route's commit", func() bool { return c.Committed("g", "quick", 0) == 1 })
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("the quick route's commit took %v", took)
		}
		m.leave(t)
	})
}

// A member that joins while the database is away owns its partitions, and cannot begin: it is not ready.
func TestAClaimThatFailsIsTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		sink := &awaySink{memorySink: newMemorySink()}
		sink.away.Store(true)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{Topics: []string{"orders"}, Decode: number, Handle: sink.Handle, Offsets: sink})
		})
		c.Until("it is told", func() bool {
			h := m.app.Health()
			return len(m.app.Snapshot().Partitions) == 1 && !h.Ready && len(h.Problems) == 1
		})
		sink.away.Store(false)
		c.Until("all rows, and ready", func() bool { return c.Committed("g", "orders", 0) == 10 && m.app.Health().Ready })
		m.leave(t)
		sink.check(t, 10, nil)
	})
}

// awaySink is a sink whose database may be away.
type awaySink struct {
	*memorySink
	away atomic.Bool
}

func (s *awaySink) Claim(ctx context.Context, r sluice.ClaimRequest) (sluice.Claim, error) {
	if s.away.Load() {
		return sluice.Claim{}, errors.New("connection refused")
	}
	return s.memorySink.Claim(ctx, r)
}
