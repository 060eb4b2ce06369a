package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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

// forward has a member copy orders to bills, with what do says of each record.
func forward(policy sluice.Policy, do func(context.Context, sluice.Message[string]) error) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Handle: func(ctx context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
				if do != nil {
					if err := do(ctx, m); err != nil {
						return nil, err
					}
				}
				return []*kgo.Record{{Topic: "bills", Key: m.Key(), Value: []byte(m.Value)}}, nil
			},
			Policy: policy,
		})
	}
}

// once demands that bills has each of 0 to n-1 once, and those of a key in order.
func once(t *testing.T, c *bubble.Cluster, n int, left ...int) {
	t.Helper()
	seen := make(map[int]int)
	last := make(map[string]int)
	for _, r := range c.Read("bills") {
		i, err := strconv.Atoi(string(r.Value))
		if err != nil {
			t.Fatalf("invariant 12: phantom %q", r.Value)
		}
		seen[i]++
		if before, ok := last[string(r.Key)]; ok && r.Key != nil && i <= before {
			t.Errorf("invariant 12: %d after %d of key %s", i, before, r.Key)
		}
		last[string(r.Key)] = i
	}
	for _, i := range left {
		if seen[i] > 0 {
			t.Errorf("invariant 12: %d is there, which has failed", i)
		}
		seen[i] = 1
	}
	for i := range n {
		if seen[i] != 1 {
			t.Errorf("invariant 12: %d is there %d times, want once", i, seen[i])
		}
	}
}

func TestInvariant12EachInputIsAnsweredOnce(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 4, "bills": 3}, func(t *testing.T, c *bubble.Cluster) {
			const n = 2000
			policy := sluice.Policy{Ordering: sluice.ByKey, Workers: 8}
			var failed atomic.Int64
			add := forward(policy, func(_ context.Context, m sluice.Message[string]) error {
				time.Sleep(time.Millisecond)
				if m.Attempt == 1 && m.Offset()%50 == 7 {
					failed.Add(1)
					return errors.New("once more")
				}
				return nil
			})
			first := join(t, set(configFor(t, c, nil)), add)
			for i := range 4 {
				c.Produce("orders", int32(i), i*n/4, n/8, 5)
			}
			time.Sleep(2 * time.Second)
			second := join(t, set(configFor(t, c, nil)), add)
			for i := range 4 {
				c.Produce("orders", int32(i), i*n/4+n/8, n/8, 5)
				time.Sleep(300 * time.Millisecond)
			}
			time.Sleep(7 * time.Second)
			first.leave(t)
			third := join(t, set(configFor(t, c, nil)), add)
			done := func() bool {
				for p := range int32(4) {
					if c.Committed("g", "orders", p) != n/4 {
						return false
					}
				}
				return true
			}
			c.Until("invariant 12: all is committed", done)
			second.leave(t)
			third.leave(t)
			if failed.Load() == 0 {
				t.Error("nothing failed")
			}
			keyed(t, c, n)
		})
	})
}

// keyed is once where the keys of several partitions are alike.
func keyed(t *testing.T, c *bubble.Cluster, n int) {
	t.Helper()
	seen := make(map[int]int)
	last := make(map[string]int)
	for _, r := range c.Read("bills") {
		i, _ := strconv.Atoi(string(r.Value))
		seen[i]++
		lane := fmt.Sprint(i/(n/4), string(r.Key))
		if before, ok := last[lane]; ok && i <= before {
			t.Errorf("invariant 12: %d after %d of key %s", i, before, r.Key)
		}
		last[lane] = i
	}
	for i := range n {
		if seen[i] != 1 {
			t.Errorf("invariant 12: %d is there %d times, want once", i, seen[i])
		}
	}
}

func TestInvariant12ADeadLetterIsOfItsTransaction(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "orders.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 100
		var slow atomic.Bool
		slow.Store(true)
		policy := sluice.Policy{
			Ordering: sluice.ByKey, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
		}
		m := join(t, configFor(t, c, nil), forward(policy, func(ctx context.Context, m sluice.Message[string]) error {
			switch {
			case m.Value == "7":
				return sluice.Poison(errors.New("bad"))
			case m.Value == "8" && slow.Swap(false):
				<-ctx.Done() // overruns the transaction
				return context.Cause(ctx)
			}
			return nil
		}))
		c.Produce("orders", 0, 0, n, 10)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		once(t, c, n, 7)
		if got := len(c.Read("orders.dlq")); got != 1 {
			t.Errorf("invariant 12: %d dead letters are visible, want 1", got)
		}
	})
}

func TestInvariant12APoisonedRecordHoldsUpItsPartitionAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		for name, policy := range map[string]sluice.Policy{"parked": {}, "halted": {OnFailure: sluice.Halt{}}} {
			cfg := configFor(t, c, nil)
			m := join(t, cfg, forward(policy, func(_ context.Context, m sluice.Message[string]) error {
				if m.Partition() == 0 && m.Offset() == 5 {
					return sluice.Poison(errors.New("bad"))
				}
				return nil
			}))
			from := int(max(0, c.Committed("g", "orders", 1)))
			c.Produce("orders", 0, 0, 10, 0)
			c.Produce("orders", 1, from, 10, 0)
			c.Until("invariant 12: the other partition", func() bool { return c.Committed("g", "orders", 1) == int64(from+10) })
			time.Sleep(5 * time.Second)
			if h := m.app.Health(); h.Ready {
				t.Errorf("%s: health is green", name)
			}
			if got := c.Committed("g", "orders", 0); got > 5 {
				t.Errorf("invariant 12: committed %d past the poisoned record", got)
			}
			m.leave(t)
		}
		if got := len(c.Read("bills")); got != 20 {
			t.Errorf("invariant 12: %d are there, want 20", got)
		}
	})
}

func TestInvariant12AHandlerThatOverrunsAbortsAndWritesNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		release := make(chan struct{})
		var running, most, calls, others atomic.Int64
		m := join(t, configFor(t, c, nil), forward(sluice.Policy{}, func(_ context.Context, m sluice.Message[string]) error {
			if m.Value == "3" {
				if calls.Add(1); running.Add(1) > most.Load() {
					most.Store(running.Load())
				}
				<-release // ignores its context
				running.Add(-1)
			} else if m.Partition() == 1 {
				others.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		}))
		c.Produce("orders", 0, 0, 10, 0)
		c.Produce("orders", 1, 10, 10, 0)
		c.Until("invariant 12: the other partition", func() bool { return c.Committed("g", "orders", 1) == 10 })
		time.Sleep(30 * time.Second)
		if calls.Load() != 1 {
			t.Errorf("invariant 5: called %d times while the old handler runs", calls.Load())
		}
		before := others.Load()
		c.Produce("orders", 1, 20, 10, 0)
		c.Until("a transaction is under way", func() bool { return others.Load() > before+2 })
		close(release) // what the old handler returns is of no transaction any more
		c.Until("invariant 12: all is committed", func() bool {
			return c.Committed("g", "orders", 0) == 10 && c.Committed("g", "orders", 1) == 20
		})
		m.leave(t)
		if most.Load() != 1 {
			t.Errorf("invariant 5: %d handlers of a record at once", most.Load())
		}
		once(t, c, 30)
	})
}

func TestInvariant12FaultsOfTheEnd(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"offsets refused, to be tried again": {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: 2},
		"a rebalance":                        {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.IllegalGeneration, Count: 1},
		"a rebalance of KIP-848":             {Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.StaleMemberEpoch, Count: 1},
		"abortable":                          {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.TransactionAbortable, Count: 1},
		"unknown":                            {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError, Count: 1},
		"fenced":                             {Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, Count: 1},
		"write refused":                      {Keys: []kmsg.Key{kmsg.Produce}, Topic: "bills", Err: kerr.MessageTooLarge, Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				const n = 300
				c.Produce("orders", 0, 0, n, 10)
				c.Fault(fault)
				m := join(t, configFor(t, c, nil), forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
				c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
				m.leave(t)
				once(t, c, n)
				if failed := m.app.Stats().CommitsFailed; fault.Keys[0] == kmsg.TxnOffsetCommit && failed > 0 {
					t.Errorf("invariant 12: %d transactions were aborted, and their offsets could have been sent again", failed)
				}
			})
		})
	}
}

func TestInvariant12ACrashAndAZombie(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		for name, end := range map[string]func(*bubble.Link){
			"crash":  (*bubble.Link).Cut,
			"zombie": (*bubble.Link).Freeze,
		} {
			t.Run(name, func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
					const n = 400
					link := c.NewLink()
					reached := make(chan struct{})
					var hit sync.Once
					slow := func(_ context.Context, m sluice.Message[string]) error {
						time.Sleep(5 * time.Millisecond)
						if m.Offset() == 50 {
							hit.Do(func() { close(reached) })
						}
						return nil
					}
					policy := sluice.Policy{Ordering: sluice.ByKey}
					join(t, set(configFor(t, c, link)), forward(policy, slow))
					c.Produce("orders", 0, 0, n/2, 10)
					c.Produce("orders", 1, n/2, n/2, 10)
					<-reached
					end(link)
					second := join(t, set(configFor(t, c, nil)), forward(policy, nil))
					c.Until("invariant 12: all is committed", func() bool {
						return c.Committed("g", "orders", 0) == n/2 && c.Committed("g", "orders", 1) == n/2
					})
					if name == "zombie" {
						link.Thaw()
						c.Produce("orders", 0, n, 20, 10)
						c.Until("what came later", func() bool { return c.Committed("g", "orders", 0) == n/2+20 })
						time.Sleep(20 * time.Second)
					}
					second.leave(t)
					seen := make(map[string]int)
					for _, r := range c.Read("bills") {
						if seen[string(r.Value)]++; seen[string(r.Value)] > 1 {
							t.Errorf("invariant 12: %s is there twice", r.Value)
						}
					}
					want := n
					if name == "zombie" {
						want += 20
					}
					if len(seen) != want {
						t.Errorf("invariant 12: %d are there, want %d", len(seen), want)
					}
				})
			})
		}
	})
}

func TestATransactRouteTellsAllItsMistakes(t *testing.T) {
	cfg := sluice.Config{Brokers: []string{"localhost"}, Group: "g", ReadUncommitted: true}
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = sluice.AddTransact(app, sluice.TransactRoute[string]{
		Timeout: 2 * time.Second, Interval: time.Second,
		Policy: sluice.Policy{
			Commit: sluice.EachRecord(), RetryTopics: []time.Duration{time.Minute},
			Stuck: sluice.Stuck{After: time.Hour, Then: sluice.StuckPark}, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.Halt{},
		},
	})
	for _, field := range []string{
		"Topics", "Decode", "Handle", "Interval", "Policy.Commit", "Policy.RetryTopics", "Policy.Stuck", "ReadUncommitted",
	} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in: %v", field, err)
		}
	}
	if _, ok := errors.AsType[*sluice.ConfigError](err); !ok {
		t.Errorf("%v is no *ConfigError", err)
	}
}

// A group does not wait for a static member whose session goes on longer than a rebalance may take, and keeps it.
func TestATransactRouteRefusesASessionLongerThanARebalance(t *testing.T) {
	for _, instance := range []string{"", "one"} {
		app, err := sluice.New(sluice.Config{
			Brokers: []string{"localhost"}, Group: "g", InstanceID: instance, SessionTimeout: time.Minute, RebalanceTimeout: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		err = forward(sluice.Policy{}, nil)(app)
		if refused := err != nil && strings.Contains(err.Error(), "SessionTimeout"); refused != (instance != "") {
			t.Errorf("InstanceID %q: %v", instance, err)
		}
	}
}

// At the step from cooperative to eager partitions are given away before their owner is told.
func TestATransactRouteRefusesAStepBetweenKindsOfAssignors(t *testing.T) {
	for want, assignors := range map[bool][]sluice.Assignor{
		true: {sluice.CooperativeSticky, sluice.Range}, false: {sluice.Sticky, sluice.Range},
	} {
		app, err := sluice.New(sluice.Config{Brokers: []string{"localhost"}, Group: "g", Assignors: assignors})
		if err != nil {
			t.Fatal(err)
		}
		err = forward(sluice.Policy{}, nil)(app)
		if refused := err != nil && strings.Contains(err.Error(), "Assignors"); refused != want {
			t.Errorf("%v: %v", assignors, err)
		}
	}
}

func TestATransactRouteHasAnAppOfItsOwn(t *testing.T) {
	route := sluice.Route[string]{
		Topics: []string{"others"}, Decode: sluice.Text,
		Handle: func(context.Context, sluice.Message[string]) error { return nil },
	}
	plain := func(app *sluice.App) error { return sluice.Add(app, route) }
	for name, adds := range map[string][2]func(*sluice.App) error{
		"first": {forward(sluice.Policy{}, nil), plain},
		"last":  {plain, forward(sluice.Policy{}, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := sluice.New(sluice.Config{Brokers: []string{"localhost"}, Group: "g"})
			if err != nil {
				t.Fatal(err)
			}
			if err := adds[0](app); err != nil {
				t.Fatal(err)
			}
			err = adds[1](app)
			if _, ok := errors.AsType[*sluice.ConfigError](err); !ok || !strings.Contains(err.Error(), "an App of its own") {
				t.Errorf("%v, want a *ConfigError that says to give it an App of its own", err)
			}
		})
	}
}

// A member crashes, and another one joins, while a third works: it commits all the time, although the group waits for the one that
// crashed, and no transaction is aborted for it.
func TestInvariant12ARebalanceAbortsNothing(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 6, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
			var aborts, slowest atomic.Int64
			var ends sync.Map // when the last transaction of a member ended
			config := func(name string, link *bubble.Link) sluice.Config {
				cfg := set(configFor(t, c, link))
				cfg.Events = sluice.Events{
					CommitFailed: func(i sluice.CommitFailedInfo) {
						if name != "crashes" {
							aborts.Add(1)
							t.Logf("%s: %v", name, i.Err)
						}
					},
					Committed: func(sluice.CommittedInfo) {
						if last, ok := ends.Swap(name, time.Now()); ok && name == "stays" {
							slowest.Store(max(slowest.Load(), int64(time.Since(last.(time.Time)))))
						}
					},
				}
				return cfg
			}
			add := forward(sluice.Policy{Ordering: sluice.ByKey, Workers: 64}, func(context.Context, sluice.Message[string]) error {
				time.Sleep(100 * time.Millisecond) // so that a transaction is nearly always under way
				return nil
			})
			const rounds, each = 800, 2
			link := c.NewLink()
			stays := join(t, config("stays", nil), add)
			join(t, config("crashes", link), add)
			var joins *member
			for round := range rounds {
				for p := range 6 {
					c.Produce("orders", int32(p), (round*6+p)*each, each, 0)
				}
				time.Sleep(150 * time.Millisecond)
				switch round {
				case 100:
					link.Cut()
				case 120: // the group waits for the one that crashed
					joins = join(t, config("joins", nil), add)
				}
			}
			c.Until("invariant 12: all is committed", func() bool {
				for p := range int32(6) {
					if c.Committed("g", "orders", p) != rounds*each {
						return false
					}
				}
				return true
			})
			stays.leave(t)
			joins.leave(t)
			if n := aborts.Load(); n > 0 {
				t.Errorf("invariant 12: %d transactions were aborted by rebalances", n)
			}
			if most := time.Duration(slowest.Load()); most > 2*time.Second {
				t.Errorf("invariant 12: nothing was committed for %v by a member that stays", most)
			}
			once(t, c, rounds*6*each)
		})
	})
}

// What writes nothing is committed, too, and what does is not forgotten over it.
func TestInvariant12AnEmptyTransactionIsCommitted(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
			add := func(app *sluice.App) error {
				return sluice.AddTransact(app, sluice.TransactRoute[string]{
					Topics: []string{"orders"}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
						if m.Offset()%20 != 0 {
							return nil, nil
						}
						return []*kgo.Record{{Topic: "bills", Value: []byte(strconv.Itoa(int(m.Offset() / 20)))}}, nil
					},
				})
			}
			m := join(t, set(configFor(t, c, nil)), add)
			const n = 100
			for i := range n {
				c.Produce("orders", 0, i, 1, 0)
				c.Until("it is committed", func() bool { return c.Committed("g", "orders", 0) == int64(i+1) })
			}
			m.leave(t)
			once(t, c, n/20)
		})
	})
}
