package sluice_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// server is what handlers work with: it may be away, and it counts.
type server struct {
	mu        sync.Mutex
	away      bool
	err       error // of a call while it is away; EOF where it is nil
	bad       func(value int) bool
	calls     []time.Time // while it is away
	inside    int
	most      int           // calls at once while it is away
	slow      time.Duration // that a call takes while it is away; 1 ms where it is 0
	slowBad   time.Duration // that a call for what is bad takes
	done      map[string][]int
	refused   map[int]int // calls for what is bad
	unordered bool
}

func (s *server) handle(m sluice.Message[int]) error {
	s.mu.Lock()
	away := s.away
	if away {
		s.calls = append(s.calls, time.Now())
		s.inside++
		s.most = max(s.most, s.inside)
	}
	s.mu.Unlock()
	if away {
		time.Sleep(max(s.slow, time.Millisecond)) // virtual
	}
	if !away && m.Value == 4 { // the only one that is bad, where that takes long
		time.Sleep(s.slowBad) // virtual
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if away {
		s.inside--
		if s.err != nil {
			return s.err
		}
		return io.EOF
	}
	if s.bad != nil && s.bad(m.Value) {
		s.refusing(m.Value)
		return io.ErrUnexpectedEOF
	}
	if s.done == nil {
		s.done = map[string][]int{}
	}
	lane := fmt.Sprintf("%d %s", m.Partition(), m.Key())
	s.done[lane] = append(s.done[lane], m.Value)
	return nil
}

// refuse is a call for a batch of which nothing is done.
func (s *server) refuse(value int, away bool) error {
	if away {
		time.Sleep(s.slow) // virtual
	} else {
		time.Sleep(s.slowBad)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if away {
		s.calls = append(s.calls, time.Now())
		if s.err != nil {
			return s.err
		}
	} else {
		s.refusing(value)
	}
	return io.EOF
}

// refusing counts a call for what is bad. Under mu.
func (s *server) refusing(value int) {
	if s.refused == nil {
		s.refused = map[int]int{}
	}
	s.refused[value]++
}

func (s *server) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	if away {
		s.calls, s.most = nil, 0
	}
}

func (s *server) callsAway() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func (s *server) mostAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// lanes demands that every lane's records were handled once and in order, and returns how many there were.
func (s *server) lanes(t *testing.T) (n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for lane, values := range s.done {
		n += len(values)
		if (!s.unordered && !slices.IsSorted(values)) || len(slices.Compact(slices.Sorted(slices.Values(values)))) != len(values) {
			t.Errorf("lane %q: not in order, or twice: %v", lane, values)
		}
	}
	return n
}

// way is one of the ways that a route may work.
type way struct {
	ordering   sluice.Ordering
	batch      bool
	partitions int32
	more       func(*sluice.Policy) // nil: nothing
}

var ways = map[string]way{
	"one partition":              {ordering: sluice.ByPartition, batch: false, partitions: 1},
	"partitions":                 {ordering: sluice.ByPartition, batch: false, partitions: 6},
	"by key":                     {ordering: sluice.ByKey, batch: false, partitions: 3},
	"unordered":                  {ordering: sluice.Unordered, batch: false, partitions: 3},
	"batches of one partition":   {ordering: sluice.ByPartition, batch: true, partitions: 1},
	"batches of many partitions": {ordering: sluice.ByPartition, batch: true, partitions: 6},
	"batches by key":             {ordering: sluice.ByKey, batch: true, partitions: 3},
}

// add adds a route of orders, whose failures go to the dlq.
func (w way) add(s *server, attempts int, retry sluice.Retry) func(*sluice.App) error {
	retry.MaxAttempts = attempts
	return w.route(s, sluice.Policy{Retry: retry, OnFailure: sluice.DeadLetter{Topic: "dlq"}})
}

// route adds a route of orders.
func (w way) route(s *server, policy sluice.Policy) func(*sluice.App) error {
	policy.Ordering, policy.Workers = w.ordering, 8
	if w.more != nil {
		w.more(&policy)
	}
	return func(app *sluice.App) error {
		if !w.batch {
			return sluice.Add(app, sluice.Route[int]{
				Topics: []string{"orders"}, Decode: number, Policy: policy,
				Handle: func(_ context.Context, m sluice.Message[int]) error { return s.handle(m) },
			})
		}
		return sluice.AddBatch(app, sluice.BatchRoute[int]{
			Topics: []string{"orders"}, Decode: number, Policy: policy, MaxSize: 20,
			Handle: func(_ context.Context, b sluice.Batch[int]) error {
				s.mu.Lock()
				away, bad := s.away, s.bad
				s.mu.Unlock()
				for _, m := range b.Messages {
					if away || bad != nil && bad(m.Value) {
						return s.refuse(m.Value, away)
					}
				}
				for _, m := range b.Messages {
					if err := s.handle(m); err != nil {
						return err
					}
				}
				return nil
			},
		})
	}
}

// produce writes n records to each of the partitions, from value first on, and returns how many.
func (w way) produce(c *bubble.Cluster, first, n int) int {
	for p := range w.partitions {
		c.Produce("orders", p, first+int(p)*1000, n, 7)
	}
	return n * int(w.partitions)
}

func (w way) committed(c *bubble.Cluster) (sum int) {
	offsets, err := c.Admin().FetchOffsets(context.Background(), "g") // of all partitions at once: it is asked again and again
	if err != nil {
		return 0
	}
	for p := range w.partitions {
		if o, ok := offsets.Lookup("orders", p); ok {
			sum += int(o.At)
		}
	}
	return sum
}

func TestInvariant11ADatabaseOutageOfTwoHoursDeadLettersNothing(t *testing.T) {
	for name, w := range ways {
		for _, attempts := range []int{1, 3} {
			if attempts == 1 && w.partitions != 1 {
				continue // half of them will do
			}
			half := time.Hour
			if w.partitions > 1 {
				half = 10 * time.Minute // many times the longest backoff: from then on one minute is as the other, and costs as much
			}
			t.Run(fmt.Sprintf("%s, %d attempts", name, attempts), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
					s := server{unordered: w.ordering == sluice.Unordered}
					var l told
					cfg := configFor(t, c, nil)
					cfg.Events = l.events()
					all := w.produce(c, 0, 50)
					m := join(t, cfg, w.add(&s, attempts, sluice.Retry{}))
					c.Until("the work", func() bool { return w.committed(c) == all })
					if o := of[sluice.OutageInfo](&l, "Outage"); len(o) != 0 || !m.app.Health().Ready {
						t.Fatalf("invariant 11: an outage before there is one: %+v, %v", o, m.app.Health().Problems)
					}
					s.set(true)
					all += w.produce(c, 50, 50)
					time.Sleep(half) // virtual
					if h := m.app.Health(); h.Ready || !strings.Contains(fmt.Sprint(h.Problems), "outage since 2000-01-01T00:0") {
						t.Fatalf("invariant 11: health in an outage: %+v", h.Problems)
					}
					all += w.produce(c, 100, 10)
					time.Sleep(half) // virtual
					calls := s.callsAway()
					s.set(false)
					c.Until("the rest", func() bool { return w.committed(c) == all })
					if n := s.lanes(t); n != all {
						t.Errorf("invariant 11: %d records were handled, want %d", n, all)
					}
					// Two hours at 22 s or more a probe, and how it began.
					if most := 400 * 10; calls > most {
						t.Errorf("invariant 11: %d calls in the outage, want at most %d", calls, most)
					}
					if h := m.app.Health(); !h.Ready {
						t.Errorf("invariant 11: health after the outage: %+v", h.Problems)
					}
					m.leave(t)
					if st := m.app.Stats(); st.DeadLettered != 0 || st.Outages != 1 {
						t.Errorf("invariant 11: %+v", st)
					}
					o := of[sluice.OutageInfo](&l, "Outage")
					if len(o) != 2 || o[0].Ended || !o[1].Ended || !o[0].Breaker || o[0].Err == nil || !slices.Equal(o[0].Topics, []string{"orders"}) {
						t.Errorf("invariant 11: told of %+v", o)
					}
				})
			})
		}
	}
}

// A server that is away may let calls wait until they give up. Then it is back before the last of them fail.
func TestInvariant11AnOutageInWhichCallsHangDeadLettersNothing(t *testing.T) {
	for name, w := range ways {
		for _, attempts := range []int{1, 3} {
			for _, back := range []time.Duration{3 * time.Second, 17 * time.Second} {
				if attempts == 1 && back > 3*time.Second {
					continue // some will do
				}
				t.Run(fmt.Sprintf("%s, %d attempts, %v", name, attempts, back), func(t *testing.T) {
					bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
						s := server{unordered: w.ordering == sluice.Unordered, slow: 30 * time.Second}
						all := w.produce(c, 0, 20)
						m := join(t, configFor(t, c, nil), w.add(&s, attempts, sluice.Retry{}))
						c.Until("the work", func() bool { return w.committed(c) == all })
						s.set(true)
						all += w.produce(c, 20, 20)
						for i, d := range []time.Duration{45 * time.Second, 70 * time.Second, 8 * time.Minute} {
							time.Sleep(d + back) // virtual
							s.set(false)
							time.Sleep(2 * time.Minute)
							s.set(true)
							all += w.produce(c, 40+10*i, 10)
						}
						s.set(false)
						c.Until("the rest", func() bool { return w.committed(c) == all })
						if n := s.lanes(t); n != all {
							t.Errorf("invariant 11: %d records were handled, want %d", n, all)
						}
						if st := m.app.Stats(); st.DeadLettered != 0 {
							t.Errorf("invariant 11: %+v", st)
						}
						m.leave(t)
					})
				})
			}
		}
	}
}

// A record that takes long to fail is found out as well, where there are other lanes. In a single lane it cannot be told from an outage.
func TestARecordThatTakesLongToFailIsFoundOutByOtherLanes(t *testing.T) {
	for name, w := range ways {
		if w.batch && w.partitions == 1 {
			continue // where its batch begins before it, others succeed alone; where it begins with it, none does
		}
		for _, attempts := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d attempts", name, attempts), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
					s := server{unordered: w.ordering == sluice.Unordered, bad: func(v int) bool { return v == 4 }, slowBad: 30 * time.Second}
					all := w.produce(c, 0, 20)
					m := join(t, configFor(t, c, nil), w.add(&s, attempts, sluice.Retry{}))
					for i := range 10 {
						time.Sleep(time.Minute) // virtual
						all += w.produce(c, 20+i, 1)
					}
					single := w.partitions == 1
					if single {
						if h := fmt.Sprint(m.app.Health().Problems); !strings.Contains(h, "every record fails, which counts as an outage since") {
							t.Errorf("health: %v", h)
						}
						s.mend()
					}
					c.Until("the work", func() bool { return w.committed(c) == all })
					m.leave(t)
					dead := int(m.app.Stats().DeadLettered)
					if (dead == 0) != single || dead > 1 {
						t.Errorf("%d dead letters", dead)
					}
					if n := s.lanes(t); n != all-dead {
						t.Errorf("%d records were handled, want %d", n, all-dead)
					}
				})
			})
		}
	}
}

func TestAFewPoisonRecordsAreNoOutage(t *testing.T) {
	poison := map[string]func(int) bool{
		"now and then":          func(v int) bool { return v%1000%23 == 4 },
		"the first ones":        func(v int) bool { return v%1000 < 2 },
		"nine in a row":         func(v int) bool { return v%1000 >= 20 && v%1000 < 29 },
		"the first of each key": func(v int) bool { return v%1000 < 7 },
	}
	for name, w := range ways {
		for which, bad := range poison {
			for _, attempts := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s, %s, %d attempts", name, which, attempts), func(t *testing.T) {
					bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
						s := server{bad: bad, unordered: w.ordering == sluice.Unordered}
						all := w.produce(c, 0, 60)
						m := join(t, configFor(t, c, nil), w.add(&s, attempts, sluice.Retry{MaxBackoff: time.Second}))
						time.Sleep(time.Second)
						all += w.produce(c, 60, 5) // without which the last one to fail might wait for ever
						c.Until("the work", func() bool { return w.committed(c) == all })
						m.leave(t)
						dead := map[int]int{}
						for _, r := range c.Read("dlq") {
							v, err := strconv.Atoi(string(r.Value))
							if err != nil {
								t.Fatal(err)
							}
							dead[v]++
							if !bad(v) || dead[v] > 1 {
								t.Errorf("dead letter of %d", v)
							}
							if n := s.refused[v]; w.ordering == sluice.ByKey && which == "now and then" && !w.batch && n != attempts {
								t.Errorf("%d was tried %d times, want %d", v, n, attempts)
							}
							if a, _ := strconv.Atoi(header(r, sluice.HeaderAttempts)); a < attempts {
								t.Errorf("%d was given up after %d attempts", v, a)
							}
						}
						if n := s.lanes(t); n+len(dead) != all {
							t.Errorf("%d handled and %d dead of %d", n, len(dead), all)
						}
					})
				})
			}
		}
	}
}

func TestATopicThatIsPoisonAltogetherStandsStill(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				s := server{bad: func(int) bool { return true }, unordered: w.ordering == sluice.Unordered}
				all := w.produce(c, 0, 30)
				m := join(t, configFor(t, c, nil), w.add(&s, 2, sluice.Retry{Breaker: 5}))
				time.Sleep(20 * time.Minute) // virtual
				if n := m.app.Stats().DeadLettered; n > 0 {
					t.Errorf("%d records of a topic that is poison are in the dead letter topic", n)
				}
				if h := m.app.Health(); h.Ready || !strings.Contains(fmt.Sprint(h.Problems), "every record fails, which counts as an outage since") {
					t.Errorf("health: %+v", h.Problems)
				}
				m.leave(t)
				m = join(t, configFor(t, c, nil), w.add(&s, 2, sluice.Retry{Breaker: -1})) // a person decides
				c.Until("the topic is done", func() bool { return w.committed(c) == all })
				m.leave(t)
			})
		})
	}
}

// What a handler calls an outage stops its whole route, and nothing else.
func TestInvariant11InAnOutageOneHandlerAtATimeIsCalled(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": w.partitions, "other": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				s := server{err: sluice.Outage(io.EOF), unordered: w.ordering == sluice.Unordered}
				all := w.produce(c, 0, 50)
				other := 0
				add := func(app *sluice.App) error {
					if err := w.add(&s, 3, sluice.Retry{Backoff: 10 * time.Second, MaxBackoff: 10 * time.Second})(app); err != nil {
						return err
					}
					return sluice.Add(app, sluice.Route[int]{
						Topics: []string{"other"}, Decode: number,
						Handle: func(context.Context, sluice.Message[int]) error { other++; return nil },
					})
				}
				m := join(t, configFor(t, c, nil), add)
				c.Until("the work", func() bool { return w.committed(c) == all })
				s.set(true)
				all += w.produce(c, 50, 50)
				time.Sleep(time.Second)
				s.set(true) // count anew
				c.Produce("other", 0, 0, 40, 0)
				time.Sleep(100 * time.Second)
				if n, most := s.callsAway(), s.mostAtOnce(); most > 1 || n < 10 || n > 14 {
					t.Errorf("invariant 11: %d calls in 100 s, with a backoff of 7.5 to 10 s, %d at once", n, most)
				}
				if n := c.Committed("g", "other", 0); n != 40 {
					t.Errorf("invariant 11: another route has committed %d of 40", n)
				}
				second := join(t, configFor(t, c, nil), add) // partitions leave in the middle of it
				c.Until("the second member has some", func() bool { return len(second.app.Snapshot().Partitions) > 0 })
				time.Sleep(time.Minute)
				began := time.Now()
				m.leave(t)
				if took := time.Since(began); took > time.Second {
					t.Errorf("invariant 11: a stop in an outage took %v", took)
				}
				time.Sleep(time.Minute)
				s.set(false)
				c.Until("the rest", func() bool { return w.committed(c) == all })
				second.leave(t)
				if n := s.lanes(t); n != all {
					t.Errorf("invariant 11: %d records were handled, want %d", n, all)
				}
				if n := m.app.Stats().DeadLettered + second.app.Stats().DeadLettered; n > 0 {
					t.Errorf("invariant 11: %d dead letters", n)
				}
			})
		})
	}
}

// A probe that hangs, and whose partition is gone, must not keep the others from being tried.
func TestAProbeThatIsLeftBehindHoldsUpNobody(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1, 10) // one record, and so one lane: its second call is the probe
		hang := make(chan struct{})
		var mu sync.Mutex
		calls := 0
		cfg := configFor(t, c, nil)
		cfg.DrainTimeout = time.Second
		m := join(t, cfg, failing(sluice.Policy{Ordering: sluice.ByKey}, func(sluice.Message[string]) error {
			mu.Lock()
			calls++
			n := calls
			mu.Unlock()
			switch n {
			case 1:
				return sluice.Outage(io.EOF)
			case 2:
				<-hang
			}
			return nil
		}))
		c.Until("the probe hangs", func() bool { mu.Lock(); defer mu.Unlock(); return calls == 2 })
		c.Produce("orders", 0, 1, 9, 10)
		time.Sleep(time.Minute)
		mu.Lock()
		if calls != 2 {
			t.Errorf("%d calls while the probe hangs, want 2", calls)
		}
		mu.Unlock()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Until("it is lost and back", func() bool { h := m.app.Snapshot(); return len(h.Partitions) == 1 && h.Partitions[0].Epoch == 2 })
		c.Produce("orders", 0, 10, 10, 10)
		c.Until("the work", func() bool { mu.Lock(); defer mu.Unlock(); return calls > 5 })
		close(hang)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
	})
}

// A run of fast records ends with the record at hand when another handler says Outage.
func TestAnOutageEndsTheRunsThatAreUnderWay(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		c.Produce("orders", 1, 0, 20, 0)
		var mu sync.Mutex
		slow, handled := false, 0
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Retry: sluice.Retry{Backoff: time.Minute}}, func(m sluice.Message[string]) error {
			mu.Lock()
			was := slow
			mu.Unlock()
			if was {
				time.Sleep(time.Second) // virtual
			}
			mu.Lock()
			defer mu.Unlock()
			if was && m.Partition() == 0 {
				return sluice.Outage(io.EOF)
			}
			handled++
			return nil
		}))
		c.Until("the runs are long", func() bool { mu.Lock(); defer mu.Unlock(); slow = handled == 40; return slow })
		c.Produce("orders", 1, 20, 60, 0)
		c.Produce("orders", 0, 20, 1, 0)
		time.Sleep(30 * time.Second)
		mu.Lock()
		if handled > 43 {
			t.Errorf("%d records were handled after the outage began", handled-40)
		}
		slow = false
		mu.Unlock()
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0)+c.Committed("g", "orders", 1) == 101 })
		m.leave(t)
	})
}
