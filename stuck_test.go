package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

const (
	stuckAfter = 10 * time.Minute
	longest    = 31 * time.Second // between two attempts
)

// stuckDead is a policy for records that are stuck.
func stuckDead(then sluice.StuckAction) func(*sluice.Policy) {
	return func(p *sluice.Policy) { p.Stuck = sluice.Stuck{After: stuckAfter, Then: then} }
}

// letters are the values in the dead letter topic, sorted, and the class of their errors.
func letters(t *testing.T, c *bubble.Cluster) (values []int, classes []string) {
	t.Helper()
	for _, r := range c.Read("dlq") {
		v, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
		classes = append(classes, header(r, sluice.HeaderErrorClass))
	}
	slices.Sort(values)
	return values, slices.Compact(classes)
}

func TestARecordThatFailsForLongWhileOthersSucceedIsDeadLettered(t *testing.T) {
	for name, w := range ways {
		for _, breaker := range []int{0, -1} {
			t.Run(fmt.Sprintf("%s, breaker %d", name, breaker), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
					bad := func(v int) bool { return v == 4 }
					s := server{bad: bad, unordered: w.ordering == sluice.Unordered}
					var l told
					cfg := configFor(t, c, nil)
					cfg.Events = l.events()
					all := w.produce(c, 0, 5)
					m := join(t, cfg, w.with(&s, sluice.Retry{Breaker: breaker}, stuckDead(sluice.StuckDeadLetter)))
					c.Until("its first failure", func() bool { return m.app.Stats().Failed > 0 })
					all += w.produce(c, 5, 55)           // these succeed after it
					time.Sleep(stuckAfter - time.Second) // virtual
					if st := m.app.Stats(); st.DeadLettered != 0 || st.Stuck != 0 || st.Outages != 0 {
						t.Fatalf("before its time: %+v", st)
					}
					time.Sleep(longest)
					behind := w.ordering == sluice.ByPartition || w.batch // those behind it tell; of a key, where no batch came after its failure
					if st := m.app.Stats(); st.DeadLettered != 0 && breaker == 0 && !behind {
						t.Fatalf("while nothing else happens: %+v", st)
					}
					all += w.produce(c, 60, 5)
					c.Until("the work", func() bool { return w.committed(c) == all })
					m.leave(t)
					if values, classes := letters(t, c); !slices.Equal(values, []int{4}) || !slices.Equal(classes, []string{"stuck"}) {
						t.Errorf("dead letters %v, %v", values, classes)
					}
					if n := s.lanes(t); n != all-1 {
						t.Errorf("%d records were handled, want %d", n, all-1)
					}
					if st := m.app.Stats(); st.Stuck != 1 || st.Outages != 0 {
						t.Errorf("%+v", st)
					}
					i := one[sluice.StuckInfo](t, &l, "Stuck")
					if i.Record.Offset != 4 || i.Attempts < 15 || !errors.Is(i.Err, io.ErrUnexpectedEOF) && !errors.Is(i.Err, io.EOF) ||
						time.Since(i.Since) < stuckAfter {
						t.Errorf("%+v", i)
					}
				})
			})
		}
	}
}

// with adds a route of orders that tries for ever, save for a policy.
func (w way) with(s *server, retry sluice.Retry, more func(*sluice.Policy)) func(*sluice.App) error {
	w.more = more
	return w.add(s, 0, retry)
}

// No outage makes a record stuck, nor does the time before it count: a handler's word, or what all records do.
func TestInvariant11AnOutageMakesNothingStuck(t *testing.T) {
	for name, w := range ways {
		for kind, err := range map[string]error{"plain errors": nil, "Outage": sluice.Outage(io.EOF)} {
			for _, then := range []sluice.StuckAction{sluice.StuckPark, sluice.StuckDeadLetter, sluice.StuckHalt} {
				if (err != nil || then != sluice.StuckDeadLetter) && w.ordering != sluice.ByKey || err != nil && then != sluice.StuckDeadLetter {
					continue // some will do
				}
				t.Run(fmt.Sprintf("%s, %s, %v", name, kind, then), func(t *testing.T) {
					bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
						s := server{err: err, unordered: w.ordering == sluice.Unordered}
						all := w.produce(c, 0, 20)
						m := join(t, configFor(t, c, nil), w.with(&s, sluice.Retry{}, stuckDead(then)))
						c.Until("the work", func() bool { return w.committed(c) == all })
						s.set(true)
						all += w.produce(c, 20, 20)
						time.Sleep(5 * stuckAfter / 2) // virtual
						s.set(false)
						c.Until("the rest", func() bool { return w.committed(c) == all })
						if n := s.lanes(t); n != all {
							t.Errorf("invariant 11: %d records were handled, want %d", n, all)
						}
						if st := m.app.Stats(); st.Stuck != 0 || st.DeadLettered != 0 || st.Outages != 1 {
							t.Errorf("invariant 11: %+v", st)
						}
						m.leave(t)
					})
				})
			}
		}
	}
}

func TestInvariant11TheClockOfAStuckRecordStartsAgainAfterAnOutage(t *testing.T) {
	for kind, err := range map[string]error{"plain errors": nil, "Outage": sluice.Outage(io.EOF)} {
		t.Run(kind, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 3, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				w := ways["unordered"]
				s := server{err: err, bad: func(v int) bool { return v == 4 }, unordered: true}
				all := w.produce(c, 0, 20)
				m := join(t, configFor(t, c, nil), w.with(&s, sluice.Retry{}, stuckDead(sluice.StuckDeadLetter)))
				dead := func() int64 { return m.app.Stats().DeadLettered }
				time.Sleep(stuckAfter - time.Minute) // virtual
				s.set(true)
				all += w.produce(c, 20, 20)
				time.Sleep(stuckAfter + time.Hour)
				s.set(false)
				c.Until("the end of the outage", func() bool { return m.app.Health().Ready })
				over := time.Now()
				for time.Since(over) < stuckAfter-time.Minute {
					time.Sleep(time.Second)
					if dead() > 0 {
						t.Fatalf("invariant 11: given up %v after an outage", time.Since(over))
					}
				}
				time.Sleep(time.Minute + longest)
				all += w.produce(c, 40, 1) // for the record to be judged by
				c.Until("the rest", func() bool { return w.committed(c) == all })
				if n := s.lanes(t); n != all-1 || dead() != 1 {
					t.Errorf("invariant 11: %d records were handled, want %d; %d dead letters", n, all-1, dead())
				}
				m.leave(t)
			})
		})
	}
}

// A record that is stuck is one that others do not wait for: it stays in its lane, for good or to be tried on.
func TestWhatBecomesOfAStuckRecordThatStays(t *testing.T) {
	for _, w := range []way{ways["by key"], ways["batches by key"], ways["partitions"], ways["unordered"]} {
		for _, then := range []sluice.StuckAction{sluice.StuckWarn, sluice.StuckPark, sluice.StuckHalt} {
			t.Run(fmt.Sprintf("%v, batches %v, %v", w.ordering, w.batch, then), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
					s := server{bad: func(v int) bool { return v == 4 }, unordered: w.ordering == sluice.Unordered}
					var l told
					cfg := configFor(t, c, nil)
					cfg.Events = l.events()
					all := w.produce(c, 0, 20)
					m := join(t, cfg, w.with(&s, sluice.Retry{}, stuckDead(then)))
					time.Sleep(stuckAfter - time.Minute) // virtual
					if h := m.app.Health(); !h.Ready {
						t.Fatalf("health before it is stuck: %v", h.Problems)
					}
					time.Sleep(time.Minute)
					all += w.produce(c, 20, 5) // for the record to be judged by
					time.Sleep(2 * longest)
					problem := map[sluice.StuckAction]string{
						sluice.StuckWarn: "orders[0]: offset 4 is stuck: it has failed since 2000-01-01T00:0",
						sluice.StuckPark: "not tried again before a restart or a move of its partition: ",
						sluice.StuckHalt: "orders[0]: halted at offset 4: ",
					}
					if h := m.app.Health(); h.Ready || !strings.Contains(fmt.Sprint(h.Problems), problem[then]) {
						t.Errorf("health: %v", h.Problems)
					}
					calls := s.refusals(4)
					all += w.produce(c, 25, 5)
					time.Sleep(30 * time.Minute)
					if more := s.refusals(4) - calls; (more > 50) != (then == sluice.StuckWarn) || then != sluice.StuckWarn && more > 0 {
						t.Errorf("%d calls in the half hour after that", more)
					}
					if got := c.Committed("g", "orders", 0); got != 4 {
						t.Errorf("committed %d, want 4", got)
					}
					others := all - 30
					if got := int(m.app.Stats().Finished); got < others {
						t.Errorf("%d were finished, want those of other partitions, %d, at least", got, others)
					}
					if n := m.app.Stats().Stuck; n != 1 || len(of[sluice.StuckInfo](&l, "Stuck")) != 1 {
						t.Errorf("told %d times", n)
					}
					if halted := len(of[sluice.HaltedInfo](&l, "Halted")); (halted == 1) != (then == sluice.StuckHalt) {
						t.Errorf("%d partitions halted", halted)
					}
					if then != sluice.StuckWarn { // a restart tries again
						m.leave(t)
						m = join(t, configFor(t, c, nil), w.with(&s, sluice.Retry{}, stuckDead(then)))
						c.Until("it is tried again", func() bool { return s.refusals(4) > calls })
					}
					s.mend()
					c.Until("the rest", func() bool { return w.committed(c) == all })
					if n := s.lanes(t); n != all {
						t.Errorf("%d records were handled, want %d", n, all)
					}
					if h := m.app.Health(); !h.Ready {
						t.Errorf("health in the end: %v", h.Problems)
					}
					m.leave(t)
				})
			})
		}
	}
}

// mend has nothing be bad any more.
func (s *server) mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = nil
}

// refusals counts the calls for a bad record; of batches, those that it was in.
func (s *server) refusals(value int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[value]
}

func TestAStuckRecordOfAStream(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		c.Produce("orders", 1, 1000, 20, 0)
		var mu sync.Mutex
		calls := 0
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			policy := sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}}
			stuckDead(sluice.StuckDeadLetter)(&policy)
			return sluice.AddStream(app, sluice.StreamRoute[int]{
				Topics: []string{"orders"}, Decode: number, Policy: policy,
				Handle: func(_ context.Context, s *sluice.Stream[int]) error {
					for m := range s.Messages() {
						if m.Value == 4 {
							mu.Lock()
							calls++
							mu.Unlock()
							return io.EOF
						}
					}
					return nil
				},
			})
		})
		next := 1020
		for begun := time.Now(); time.Since(begun) < stuckAfter+2*longest; next++ { // others succeed between any two of its failures
			c.Produce("orders", 1, next, 1, 0)
			time.Sleep(time.Second) // virtual
		}
		c.Until("the work", func() bool { return c.Committed("g", "orders", 0)+c.Committed("g", "orders", 1) == int64(20+next-1000) })
		m.leave(t)
		if values, classes := letters(t, c); !slices.Equal(values, []int{4}) || !slices.Equal(classes, []string{"stuck"}) || calls < 15 {
			t.Errorf("dead letters %v, %v, after %d calls", values, classes, calls)
		}
	})
}

func TestMistakesInAStuckPolicy(t *testing.T) {
	letter := sluice.DeadLetter{Topic: "dlq"}
	for name, c := range map[string]struct {
		policy sluice.Policy
		field  string
		says   string
	}{
		"no dead letter": {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: sluice.StuckDeadLetter}}, "Policy.Stuck.Then", "set OnFailure to DeadLetter"},
		"another OnFailure": {
			sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: sluice.StuckDeadLetter}, OnFailure: sluice.Drop{}}, "Policy.Stuck.Then", "OnFailure",
		},
		"no time":        {sluice.Policy{Stuck: sluice.Stuck{Then: sluice.StuckHalt}}, "Policy.Stuck.After", "say after what time"},
		"negative":       {sluice.Policy{Stuck: sluice.Stuck{After: -1}}, "Policy.Stuck.After", "negative"},
		"unknown":        {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: 4}}, "Policy.Stuck.Then", "none of StuckWarn"},
		"unknown below":  {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: -1}}, "Policy.Stuck.Then", "none of StuckWarn"},
		"park committed": {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: sluice.StuckPark}, Commit: sluice.BeforeHandle()}, "Policy.Stuck.Then", "BeforeHandle"},
		"halt committed": {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: sluice.StuckHalt}, Commit: sluice.BeforeHandle()}, "Policy.Stuck.Then", "BeforeHandle"},
		"dead letter":    {sluice.Policy{Stuck: sluice.Stuck{After: 1, Then: sluice.StuckDeadLetter}, OnFailure: letter}, "", ""},
		"warn":           {sluice.Policy{Stuck: sluice.Stuck{After: 1}}, "", ""},
		"warn committed": {sluice.Policy{Stuck: sluice.Stuck{After: 1}, Commit: sluice.BeforeHandle()}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.policy.WithDefaults()
			bad, ok := errors.AsType[*sluice.ConfigError](err)
			if c.field == "" && err == nil {
				return
			}
			if !ok || bad.Field != c.field || !strings.Contains(bad.Error(), c.says) {
				t.Fatalf("%v, want one about %s that says %q", err, c.field, c.says)
			}
		})
	}
	t.Run("with Offsets", func(t *testing.T) {
		err := sluice.AddBatch(newApp(t), sluice.BatchRoute[[]byte]{
			Topics: []string{"orders"}, Decode: sluice.Raw, Offsets: newMemorySink(),
			Policy: sluice.Policy{Stuck: sluice.Stuck{After: time.Hour}},
			Handle: func(context.Context, sluice.Batch[[]byte]) error { return nil },
		})
		if bad, ok := errors.AsType[*sluice.ConfigError](err); !ok || bad.Field != "Policy.Stuck" {
			t.Fatalf("%v", err)
		}
	})
	for a, want := range map[sluice.StuckAction]string{
		sluice.StuckWarn: "warn", sluice.StuckPark: "park", sluice.StuckDeadLetter: "dead letter", sluice.StuckHalt: "halt", 9: "StuckAction(9)",
	} {
		if a.String() != want {
			t.Errorf("%d is %q", int(a), a)
		}
	}
}
