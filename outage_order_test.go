package sluice_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// clerk takes records in, of which some fail until they are mended, and knows which were behind them.
type clerk struct {
	mu     sync.Mutex
	fails  map[int]error // by value
	slow   map[int]time.Duration
	calls  map[int]int
	leaves map[int]bool // fails, and is not to come back
	behind []int        // handled while one before them of their partition, by thousands, was to be handled again
	done   []int
}

func (k *clerk) handle(value int) error {
	time.Sleep(k.slow[value]) // virtual
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.calls == nil {
		k.calls = make(map[int]int)
	}
	k.calls[value]++
	for bad := range k.fails {
		if value > bad && value/1000 == bad/1000 && !k.leaves[bad] {
			k.behind = append(k.behind, value)
		}
	}
	if err := k.fails[value]; err != nil {
		return err
	}
	k.done = append(k.done, value)
	return nil
}

func (k *clerk) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fails = nil
}

func (k *clerk) called(value int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls[value]
}

// order demands that nothing was handled before what it was behind.
func (k *clerk) order(t *testing.T) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.behind) > 0 {
		t.Errorf("invariant 5: %v were handled while a record before them was to be handled again", k.behind)
	}
}

func (k *clerk) add(policy sluice.Policy, batch int) func(*sluice.App) error {
	return func(app *sluice.App) error {
		if batch == 0 {
			return sluice.Add(app, sluice.Route[int]{
				Topics: []string{"orders"}, Decode: number, Policy: policy,
				Handle: func(_ context.Context, m sluice.Message[int]) error { return k.handle(m.Value) },
			})
		}
		return sluice.AddBatch(app, sluice.BatchRoute[int]{
			Topics: []string{"orders"}, Decode: number, Policy: policy, MaxSize: batch,
			Handle: func(_ context.Context, b sluice.Batch[int]) error {
				k.mu.Lock()
				for _, m := range b.Messages {
					if err := k.fails[m.Value]; err != nil && len(b.Messages) > 1 {
						k.mu.Unlock()
						return err
					}
				}
				k.mu.Unlock()
				for _, m := range b.Messages {
					if err := k.handle(m.Value); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
}

// A record that giving it up does not finish is handled again, after a restart or a move: nothing behind it in its lane may be handled
// before it, not even to see whether others succeed.
func TestInvariant5NothingBehindARecordThatStaysIsTried(t *testing.T) {
	deadLetter := sluice.DeadLetter{Topic: "dlq"}
	eof := map[int]error{2: io.EOF}
	cases := map[string]struct {
		policy sluice.Policy
		fails  map[int]error
		batch  int
		leaves map[int]bool
		beside bool // and one of another lane succeeds now and then
		halts  bool
	}{
		"halt": {policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}}, fails: eof},
		"halt at once": {
			policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 1}, OnFailure: sluice.Halt{}}, fails: eof,
		},
		"halt, by key": {
			policy: sluice.Policy{Ordering: sluice.ByKey, Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}}, fails: eof,
		},
		"halt, batches": {
			policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}}, fails: eof, batch: 10,
		},
		"halt, others": {
			policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}}, fails: eof, beside: true, halts: true,
		},
		"halt, batches, others": {
			policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}}, fails: eof, batch: 10, beside: true, halts: true,
		},
		"stuck and parked":         {policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckPark}}, fails: eof},
		"stuck and parked, others": {policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckPark}}, fails: eof, beside: true},
		"stuck and halted":         {policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckHalt}}, fails: eof},
		"stuck and halted, batches": {
			policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckHalt}}, fails: eof, batch: 10,
		},
		"stuck and halted, others": {
			policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckHalt}}, fails: eof, beside: true, halts: true,
		},
		"stuck and parked before its attempts are used up": {
			policy: sluice.Policy{
				Retry: sluice.Retry{MaxAttempts: 1000}, OnFailure: deadLetter, Stuck: sluice.Stuck{After: time.Minute, Then: sluice.StuckPark},
			},
			fails: eof,
		},
		"poison that stays, behind one whose attempts are used up": {
			policy: sluice.Policy{
				Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Halt{}, RetryTopics: []time.Duration{100 * time.Hour},
			},
			fails: map[int]error{2: io.EOF, 3: sluice.Poison(io.EOF)}, leaves: map[int]bool{2: true}, halts: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				k := clerk{fails: tc.fails, leaves: tc.leaves}
				c.Produce("orders", 0, 0, 8, 1)
				more := 0
				m := join(t, configFor(t, c, nil), k.add(tc.policy, tc.batch))
				for range 30 { // of an hour
					time.Sleep(2 * time.Minute) // virtual
					if tc.beside {
						c.Produce("orders", 1, 1000+more, 1, 1)
						more++
					}
				}
				if got := c.Committed("g", "orders", 0); got != 2 && len(tc.fails) == 1 {
					t.Errorf("committed %d, want 2: that one is not finished", got)
				}
				if halted := m.app.Snapshot().Partitions[0].State == "halted"; halted != tc.halts {
					t.Errorf("halted: %v; %v", halted, m.app.Health().Problems)
				}
				if h := m.app.Health(); h.Ready {
					t.Error("all is well with a record that fails")
				}
				k.order(t)
				if !tc.halts {
					k.mend()
				}
				m.leave(t)
				k.mend()
				m = join(t, configFor(t, c, nil), k.add(tc.policy, tc.batch)) // tries again
				c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 8 && c.Committed("g", "orders", 1) == int64(more) })
				m.leave(t)
				k.mu.Lock()
				defer k.mu.Unlock()
				first := slices.DeleteFunc(slices.Clone(k.done), func(v int) bool { return v >= 1000 })
				if !slices.IsSorted(first) {
					t.Errorf("invariant 5: %v", first)
				}
			})
		})
	}
}

// A record whose end finishes it lets those behind it go, however else others may stay.
func TestOnlyWhatStaysEndsAWalk(t *testing.T) {
	cases := map[string]sluice.Policy{
		"used up, not stuck": {OnFailure: sluice.DeadLetter{Topic: "dlq"}, Stuck: sluice.Stuck{After: time.Hour, Then: sluice.StuckPark}},
		"a retry topic":      {OnFailure: sluice.Halt{}, RetryTopics: []time.Duration{100 * time.Hour}},
		"dropped":            {OnFailure: sluice.Drop{}, Stuck: sluice.Stuck{After: time.Hour, Then: sluice.StuckHalt}},
	}
	for name, policy := range cases {
		policy.Retry.MaxAttempts = 2
		for _, batch := range []int{0, 10} {
			t.Run(fmt.Sprintf("%s, batches of %d", name, batch), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
					k := clerk{fails: map[int]error{2: io.EOF, 3: io.EOF}}
					c.Produce("orders", 0, 0, 8, 1)
					m := join(t, configFor(t, c, nil), k.add(policy, batch))
					c.Until("the work", func() bool { return c.Committed("g", "orders", 0) == 8 })
					m.leave(t)
				})
			})
		}
	}
}

// Where nothing else is ready, but others are under way, those tell whether it is an outage.
func TestARecordThatStaysWaitsForWhatIsUnderWay(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		k := clerk{fails: map[int]error{0: io.EOF}, slow: map[int]time.Duration{1000: 300 * time.Millisecond, 2000: 400 * time.Millisecond}}
		for p := range int32(3) {
			c.Produce("orders", p, int(p)*1000, 4, 1)
		}
		m := join(t, configFor(t, c, nil), k.add(sluice.Policy{Retry: sluice.Retry{MaxAttempts: 1}, OnFailure: sluice.Halt{}}, 0))
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 1) == 4 && c.Committed("g", "orders", 2) == 4 })
		time.Sleep(time.Second)
		if s := m.app.Stats(); s.Outages > 0 || m.app.Snapshot().Partitions[0].State != "halted" {
			t.Errorf("%+v, %v", s, m.app.Health().Problems)
		}
		if k.calls[0] != 1 {
			t.Errorf("%d calls, and one was allowed", k.calls[0])
		}
		k.order(t)
		m.leave(t)
	})
}

// A walk is through with a record that is skipped, or dropped: it is finished at once, whatever becomes of the next one's call, which may
// take long.
func TestWhatAWalkIsThroughWithIsFinishedAtOnce(t *testing.T) {
	for name, outcome := range map[string]error{"skipped": sluice.Skip("of no interest"), "dropped": sluice.Poison(io.EOF)} {
		for _, batch := range []int{0, 10} {
			t.Run(fmt.Sprintf("%s, batches of %d", name, batch), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					c.Produce("orders", 0, 1, 4, 0)
					k := &clerk{fails: map[int]error{1: io.EOF, 2: outcome}, slow: map[int]time.Duration{3: 2 * time.Minute}}
					policy := sluice.Policy{
						Commit: sluice.Every(100 * time.Millisecond), Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Drop{},
					}
					m := join(t, configFor(t, c, nil), k.add(policy, batch))
					c.Until("the walk", func() bool { return k.called(2) > 0 })
					time.Sleep(time.Minute)
					if s := m.app.Snapshot().Partitions[0]; s.Frontier != 0 || s.Ahead != 1 || s.Running != 3 {
						t.Errorf("while the third runs: frontier %d, %d finished ahead, %d in the walk; want 0, 1 and 3", s.Frontier, s.Ahead, s.Running)
					}
					c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == 4 })
					if n := k.called(2); n != 1 {
						t.Errorf("it was called for %d times", n)
					}
					m.leave(t)
				})
			})
		}
	}
}

// EachRecord: what a walk is through with is committed before the next record of its lane is called, as it is elsewhere; and what was
// skipped or dropped shows of no outage, though nothing else was called.
func TestInvariant11WhatAWalkIsThroughWithIsNoOutage(t *testing.T) {
	for name, outcome := range map[string]error{"skipped": sluice.Skip("of no interest"), "dropped": sluice.Poison(io.EOF)} {
		for _, batch := range []int{0, 10} {
			t.Run(fmt.Sprintf("%s, batches of %d", name, batch), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					k := &clerk{fails: map[int]error{1: io.EOF, 2: outcome}, slow: map[int]time.Duration{2: 2 * time.Second}}
					m := join(t, configFor(t, c, nil), k.add(sluice.Policy{
						Commit: sluice.EachRecord(), Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Drop{},
					}, batch))
					c.Until("the commit of where it begins", func() bool { return c.Committed("g", "orders", 0) == 0 })
					refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.RebalanceInProgress, Count: -1})
					c.Produce("orders", 0, 1, 4, 0)
					c.Until("the walk", func() bool { return k.called(2) > 0 })
					time.Sleep(time.Minute)
					if n := k.called(3); n > 0 {
						t.Errorf("the third was called %d times before the second was committed", n)
					}
					refused.Remove()
					c.Until("all of it", func() bool { return c.Committed("g", "orders", 0) == 4 })
					if s := m.app.Stats(); s.Outages > 0 || k.called(2) != 1 {
						t.Errorf("invariant 11: %d outages, while a record was skipped or dropped; it was called for %d times", s.Outages, k.called(2))
					}
					m.leave(t)
				})
			})
		}
	}
}
