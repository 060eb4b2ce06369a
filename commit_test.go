package sluice_test

import (
	"context"
	"fmt"
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

// committing runs n records, each of which takes a second, under a policy, and returns what was committed, with the times
// since the first record was begun; the stop's commit is the last.
func committing(t *testing.T, n int, commit sluice.Commit) (offsets []int64, when []time.Duration) {
	t.Helper()
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, n, 0)
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		var began time.Time
		m := join(t, cfg, failing(sluice.Policy{Commit: commit}, func(m sluice.Message[string]) error {
			if m.Offset() == 0 {
				began = time.Now()
			}
			time.Sleep(time.Second) // virtual
			return nil
		}))
		c.Until("all were handled", func() bool { return m.app.Stats().Finished == int64(n) })
		time.Sleep(time.Hour) // virtual
		m.leave(t)
		for i, info := range of[sluice.CommittedInfo](&l, "Committed") {
			if o := info.Offsets["orders"][0]; o > 0 { // the start that was resolved is committed, too
				offsets = append(offsets, o)
				when = append(when, l.when["Committed"][i].Sub(began))
			}
		}
	})
	return offsets, when
}

// around demands that each time is at most 100 ms after what is wanted.
func around(t *testing.T, got []time.Duration, want ...time.Duration) {
	t.Helper()
	for i, w := range want {
		if i >= len(got) || got[i] < w || got[i] > w+100*time.Millisecond {
			t.Fatalf("commits at %v, want %v", got, want)
		}
	}
}

func TestEveryNCommitsSoonAfterN(t *testing.T) {
	offsets, when := committing(t, 25, sluice.EveryN(10))
	if !slices.Equal(offsets, []int64{10, 20, 25}) {
		t.Fatalf("commits of %v, want 10, 20 and at the stop 25", offsets)
	}
	around(t, when, 10*time.Second, 20*time.Second, 25*time.Second+time.Hour)
}

func TestEveryCommitsAfterItsInterval(t *testing.T) {
	offsets, when := committing(t, 12, sluice.Every(5*time.Second))
	// The first commit, of the start, is due 5 s after the assignment; each next one 5 s after the first record behind it.
	for i, o := range offsets {
		if i > 0 && when[i]-when[i-1] < 5*time.Second {
			t.Errorf("commits of %v at %v: closer than the interval", offsets, when)
		}
		if behind := when[i] - time.Duration(o)*time.Second; behind > 6*time.Second {
			t.Errorf("commits of %v at %v: later than the interval", offsets, when)
		}
	}
	if len(offsets) < 2 || offsets[len(offsets)-1] != 12 || when[len(when)-1] > 18*time.Second {
		t.Errorf("commits of %v at %v", offsets, when)
	}
}

func TestEveryOrNCommitsWhenEitherIsDue(t *testing.T) {
	offsets, when := committing(t, 25, sluice.EveryOrN(time.Minute, 10))
	if len(offsets) != 3 || offsets[0] != 10 || offsets[1] != 20 || offsets[2] != 25 {
		t.Fatalf("commits of %v at %v", offsets, when)
	}
	around(t, when, 10*time.Second, 20*time.Second)
	if when[2] > 90*time.Second {
		t.Fatalf("the rest was committed at %v, want within a minute", when[2])
	}
}

func TestEachRecordStartsTheNextOneOnlyAfterTheCommit(t *testing.T) {
	for name, faults := range map[string]int{"no commit fails": 0, "a commit fails": 1, "five commits fail": 5} {
		for _, ordering := range []sluice.Ordering{sluice.ByPartition, sluice.ByKey} {
			t.Run(fmt.Sprintf("%s, by %v", name, ordering), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					const n = 30
					c.Produce("orders", 0, 0, n, 1) // one key, so one lane in both orderings
					var mu sync.Mutex
					var order []int64
					early := 0
					m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
						return sluice.Add(app, sluice.Route[string]{
							Topics: []string{"orders"}, Decode: sluice.Text,
							Handle: func(_ context.Context, m sluice.Message[string]) error {
								committed := max(0, c.Committed("g", "orders", 0))
								mu.Lock()
								defer mu.Unlock()
								order = append(order, m.Offset())
								if committed != m.Offset() {
									early++
									t.Errorf("record %d is handled, though %d is committed", m.Offset(), committed)
								}
								if m.Offset() == 7 && faults > 0 {
									c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: faults})
								}
								return nil
							},
							Policy: sluice.Policy{Commit: sluice.EachRecord(), Ordering: ordering},
						})
					})
					c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == n })
					m.leave(t)
					if len(order) != n || !slices.IsSorted(order) || early > 0 {
						t.Fatalf("%v, %d too early", order, early)
					}
					if s := m.app.Stats(); s.Commits < n || s.CommitsFailed != int64(faults) {
						t.Fatalf("%+v", s)
					}
				})
			})
		}
	}
}

func TestEachRecordCommitsABatchAtATime(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 30, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			r := goodBatchRoute("orders")
			r.MaxSize, r.MaxWait, r.Policy.Commit = 10, time.Second, sluice.EachRecord()
			r.Handle = func(_ context.Context, b sluice.Batch[string]) error {
				if first, committed := b.Messages[0].Offset(), max(0, c.Committed("g", "orders", 0)); committed != first {
					t.Errorf("a batch from %d is handled, though %d is committed", first, committed)
				}
				return nil
			}
			return sluice.AddBatch(app, r)
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 30 })
		m.leave(t)
	})
}

func TestAFailedCommitIsMadeAgain(t *testing.T) {
	for name, commit := range map[string]sluice.Commit{"interval": sluice.Every(time.Second), "count": sluice.EveryN(5), "each": sluice.EachRecord()} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: 3})
				c.Produce("orders", 0, 0, 5, 0)
				m := join(t, configFor(t, c, nil), failing(sluice.Policy{Commit: commit}, func(sluice.Message[string]) error { return nil }))
				began := time.Now()
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
				if took := time.Since(began); took > time.Minute {
					t.Errorf("it took %v", took)
				}
				m.leave(t)
				if s := m.app.Stats(); s.CommitsFailed != 3 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
