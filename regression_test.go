package sluice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// What a policy is done with is committed, though nobody else asks for a commit.
func TestWhatItsPolicyIsDoneWithIsCommitted(t *testing.T) {
	poison := func(context.Context, sluice.Message[string]) error { return sluice.Poison(errors.New("no")) }
	poisonBatch := func(context.Context, sluice.Batch[string]) error { return sluice.Poison(errors.New("no")) }
	single := func(p sluice.Policy) func(*sluice.App) error {
		return func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Handle: poison, Policy: p})
		}
	}
	for name, add := range map[string]func(*sluice.App) error{
		"dropped":             single(sluice.Policy{OnFailure: sluice.Drop{}}),
		"dead-lettered, each": single(sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}, Commit: sluice.EachRecord()}),
		"dropped of a batch": func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Handle: poisonBatch, Policy: sluice.Policy{OnFailure: sluice.Drop{}},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				m := join(t, configFor(t, c, nil), add)
				time.Sleep(time.Minute)
				c.Produce("orders", 0, 0, 1, 0)
				c.Until("it is done with", func() bool { return m.app.Stats().Finished == 1 })
				time.Sleep(time.Minute)
				if got := c.Committed("g", "orders", 0); got != 1 {
					t.Errorf("committed %d a minute later, want 1", got)
				}
				m.leave(t)
			})
		})
	}
}

// EachRecord: the next record of the lane must not start before the commit that covers the one before was acknowledged.
func TestEachRecordWaitsForTheCommitOfADrop(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 2, 0)
		var bad atomic.Bool
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 0 {
						return sluice.Poison(errors.New("no"))
					}
					if c.Committed("g", "orders", 0) != 1 {
						bad.Store(true)
					}
					return nil
				},
				Policy: sluice.Policy{OnFailure: sluice.Drop{}, Commit: sluice.EachRecord()},
			})
		})
		c.Until("committed", func() bool { return c.Committed("g", "orders", 0) == 2 })
		if bad.Load() {
			t.Errorf("record 1 began before 0 was committed")
		}
		m.leave(t)
	})
}

func TestCommitTimerIsSharedByRoutes(t *testing.T) {
	bubble.Run(t, map[string]int32{"slow": 1, "fast": 1}, func(t *testing.T, c *bubble.Cluster) {
		add := func(topic string, p sluice.Policy) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{topic}, Decode: sluice.Text, Policy: p,
					Handle: func(context.Context, sluice.Message[string]) error { return nil },
				})
			}
		}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(
				add("slow", sluice.Policy{Commit: sluice.Every(time.Hour)})(app),
				add("fast", sluice.Policy{Commit: sluice.Every(time.Second)})(app))
		})
		c.Until("start commits", func() bool { return m.app.Stats().Commits > 0 || len(m.app.Snapshot().Partitions) == 2 })
		time.Sleep(time.Minute)
		c.Produce("slow", 0, 0, 1, 0)
		time.Sleep(time.Second)
		c.Produce("fast", 0, 0, 10, 0)
		time.Sleep(5 * time.Minute)
		if got := c.Committed("g", "fast", 0); got != 10 {
			t.Errorf("route fast commits every second, 5 min later committed %d, want 10", got)
		}
		m.leave(t)
	})
}

func TestEachRecordStuckAfterFailedCommit(t *testing.T) {
	bubble.Run(t, map[string]int32{"slow": 1, "each": 1}, func(t *testing.T, c *bubble.Cluster) {
		var n atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(
				sluice.Add(app, sluice.Route[string]{
					Topics: []string{"slow"}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
					Handle: func(context.Context, sluice.Message[string]) error { return nil },
				}),
				sluice.Add(app, sluice.Route[string]{
					Topics: []string{"each"}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.EachRecord()},
					Handle: func(context.Context, sluice.Message[string]) error { n.Add(1); return nil },
				}))
		})
		c.Until("start", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
		time.Sleep(time.Minute)
		// a commit that fails while the other route's hour is already running: it is armed during the commit
		c.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.SleepControl(func() { time.Sleep(2 * time.Second) })
			return nil, nil, false //nolint:nilnil // not handled
		})
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.RequestTimedOut, Count: 1})
		c.Produce("each", 0, 0, 10, 0)
		time.Sleep(500 * time.Millisecond)
		c.Produce("slow", 0, 0, 1, 0)
		time.Sleep(5 * time.Minute)
		if got := n.Load(); got != 10 {
			t.Errorf("EachRecord route handled %d of 10 records 5 min after one failed commit", got)
		}
		m.leave(t)
	})
}

func TestHotPartitionTakesTheBudget(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5000, 0)
		cfg := configFor(t, c, nil)
		cfg.MaxBufferedBytes = 200_000
		var others atomic.Int64
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Partition() == 0 {
						return sluice.RetryAfter(errors.New("later"), time.Hour)
					}
					others.Add(1)
					return nil
				},
			})
		})
		c.Until("held", func() bool { return m.app.Stats().Buffered > 0 })
		time.Sleep(time.Second)
		t.Logf("buffered %d of 5000", m.app.Stats().Buffered)
		c.Produce("orders", 1, 0, 10, 0)
		c.Produce("orders", 2, 0, 10, 0)
		time.Sleep(5 * time.Minute)
		if others.Load() != 20 {
			t.Errorf("invariant 7: one partition that stands still holds %d of 5000 records; of the others' 20 records %d were handled",
				m.app.Stats().Buffered, others.Load())
		}
		m.stop()
		t.Logf("Run: %v", <-m.done)
	})
}

// A record that its handler skipped is dead-lettered later, because the batch that steps over it failed.
func TestFencedSettledIsJudgedAgain(t *testing.T) {
	for _, kind := range []string{"skip", "dead letter"} {
		t.Run(kind, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 2, 0)
				sink := newMemorySink()
				var failures atomic.Int64
				m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
					return sluice.AddBatch(app, sluice.BatchRoute[int]{
						Topics: []string{"orders"}, Decode: number, Offsets: sink, MaxSize: 50,
						Handle: func(ctx context.Context, b sluice.Batch[int]) error {
							for i, m := range b.Messages {
								if m.Value == 0 && kind == "skip" {
									return &sluice.BatchError{Failed: map[int]error{i: sluice.Skip("not ours")}, RolledBack: true}
								}
								if m.Value == 0 {
									return &sluice.BatchError{Failed: map[int]error{i: sluice.Poison(errors.New("bad"))}, RolledBack: true}
								}
							}
							// the batch [0 settled, 1]: one failure as a whole
							if failures.Add(1) <= 1 {
								return errors.New("deadlock found, try again")
							}
							return sink.Handle(ctx, b)
						},
						Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 1}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
					})
				})
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 2 })
				m.leave(t)
				var dead []string
				for _, r := range c.Read("dlq") {
					dead = append(dead, string(r.Value))
				}
				want := "[1]"
				if kind == "dead letter" {
					want = "[0 1]"
				}
				if fmt.Sprint(dead) != want {
					t.Errorf("dead letters %v, want %s", dead, want)
				}
			})
		})
	}
}

func TestReclaimOnAPlainRoute(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 2, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error { return sluice.Reclaim(errors.New("mistake")) },
			})
		})
		time.Sleep(time.Minute)
		m.leave(t)
	})
}

// A claim that is lost while the partition is being revoked: the reclaim must not open a new epoch.
func TestReclaimDuringRevoke(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(2) {
					c.Produce("orders", p, 0, 10, 0)
				}
				sink := newMemorySink()
				var slow atomic.Bool
				var handled atomic.Int64
				handler := func(name string) func(ctx context.Context, b sluice.Batch[int]) error {
					return func(ctx context.Context, b sluice.Batch[int]) error {
						if name == "a" && slow.Load() {
							time.Sleep(15 * time.Second)
							return sluice.Reclaim(errors.New("fenced"))
						}
						handled.Add(int64(len(b.Messages)))
						return sink.Handle(ctx, b)
					}
				}
				add := func(name string) func(app *sluice.App) error {
					return func(app *sluice.App) error {
						return sluice.AddBatch(app, sluice.BatchRoute[int]{
							Topics: []string{"orders"}, Decode: number, Offsets: sink, MaxSize: 50, Handle: handler(name),
							Policy: sluice.Policy{Commit: sluice.Every(time.Hour)},
						})
					}
				}
				a := join(t, configFor(t, c, nil), add("a"))
				c.Until("first", func() bool { return handled.Load() == 20 })
				slow.Store(true)
				c.Produce("orders", 0, 10, 1, 0)
				c.Produce("orders", 1, 10, 1, 0)
				time.Sleep(time.Second)
				b := join(t, configFor(t, c, nil), add("b"))
				time.Sleep(14500 * time.Millisecond)
				slow.Store(false)
				time.Sleep(3 * time.Minute)
				owned := map[int32]string{}
				for _, x := range []struct {
					n string
					m *member
				}{{"a", a}, {"b", b}} {
					for _, p := range x.m.app.Snapshot().Partitions {
						if o, ok := owned[p.Partition]; ok {
							t.Errorf("partition %d is held by %s and by %s (%s, epoch %d): a phantom", p.Partition, o, x.n, p.State, p.Epoch)
						}
						owned[p.Partition] = x.n + " " + p.State
					}
				}
				a.stop()
				t.Logf("Run: %v", <-a.done)
				b.stop()
				t.Logf("Run: %v", <-b.done)
			})
		})
	}
}

func TestHealthQueuedIsNegative(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 200, 0)
		block := make(chan struct{})
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 199 {
						<-block
					}
					return nil
				},
			})
		})
		c.Until("commit", func() bool { return c.Committed("g", "orders", 0) == 199 })
		for _, p := range m.app.Snapshot().Partitions {
			if p.Queued < 0 {
				t.Errorf("queued %d, running %d", p.Queued, p.Running)
			}
		}
		close(block)
		m.leave(t)
	})
}

func TestSecretsInJSONLogs(t *testing.T) {
	var b bytes.Buffer
	s := sluice.SASL{Mechanism: "PLAIN", Username: "u", Password: "hunter2"}
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "sasl", s, "config", sluice.Config{SASL: &s})
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "sasl", s, "config", sluice.Config{SASL: &s})
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("%s", b.String())
	}
}

func TestSecretsInPropertyErrors(t *testing.T) {
	for _, in := range []string{
		"sasl.password=\nhunter2\n",
		"sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required\n  username=\"u\" password=\n \"hunter2\";\n",
		"ssl.keystore.key=-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
		"sasl.passwordhunter2\n",
	} {
		_, err := sluice.FromProperties(strings.NewReader(in))
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", in, err)
		}
	}
	cfg, err := sluice.FromProperties(strings.NewReader("bootstrap.servers=a:1\nclient.id=x\\\\\\\ny\n"))
	t.Logf("%q %v", cfg.ClientID, err) // Java: x\y
	if cfg.ClientID != `x\y` {
		t.Errorf("three backslashes: %q", cfg.ClientID)
	}
}

func TestIdleMemberIsReady(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		var l ledger
		a := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		time.Sleep(20 * time.Second)
		b := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		time.Sleep(time.Minute)
		for _, m := range []*member{a, b} {
			if h := m.app.Health(); !h.Ready {
				t.Errorf("not ready: %+v", h)
			}
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		time.Sleep(time.Minute)
		for _, m := range []*member{a, b} {
			if h := m.app.Health(); !h.Ready {
				t.Errorf("not ready after a kick: %+v", h)
			}
		}
		b.leave(t)
		a.leave(t)
	})
}

// Poison at 9 is parked for ever; an outage at 5 comes later and goes: health must stay red.
func TestHealthForgetsPoison(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		var out atomic.Bool
		out.Store(true)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 9 {
						return sluice.Poison(errors.New("bad"))
					}
					if m.Offset() == 5 && out.Load() {
						time.Sleep(time.Second)
						return sluice.Outage(errors.New("away"))
					}
					return nil
				},
				Policy: sluice.Policy{Ordering: sluice.ByKey, Retry: sluice.Retry{MaxBackoff: 10 * time.Minute}},
			})
		})
		c.Produce("orders", 0, 0, 10, 10)
		c.Until("failed", func() bool { return m.app.Stats().Failed >= 2 })
		out.Store(false)
		time.Sleep(30 * time.Second)
		if h := m.app.Health(); h.Ready {
			t.Errorf("ready, while record 9 is poison that is parked: %+v", h)
		}
		m.leave(t)
	})
}

func TestHandlerGoexit(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var n atomic.Int64
		var once sync.Once
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					once.Do(runtime.Goexit)
					n.Add(1)
					return nil
				},
			})
		})
		time.Sleep(2 * time.Minute)
		if n.Load() == 0 {
			t.Errorf("the lane is stuck for ever after runtime.Goexit in a handler; health %+v", m.app.Health())
		}
		m.stop()
		t.Logf("Run: %v", <-m.done)
	})
}

func TestFetchErrorStaysRed(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var l ledger
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.TopicAuthorizationFailed, Count: 1})
		time.Sleep(5 * time.Minute)
		if h := m.app.Health(); !h.Ready {
			t.Errorf("red for ever after one failed fetch of an idle partition: %+v", h.Problems)
		}
		m.leave(t)
	})
}

func TestOutOfRangeOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.OffsetOutOfRange, Count: 1})
		var l ledger
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.OffsetOutOfRange, Count: 3})
		c.Produce("orders", 0, 10, 10, 0)
		c.Until("commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		for at, n := range l.seen {
			if n != 1 {
				t.Errorf("%s %d times", at, n)
			}
		}
		m.leave(t)
	})
}

// A sink whose position is ahead at a reclaim, on a topic where nothing else comes: Kafka's mirror is never committed.
func TestReclaimAheadIsCommitted(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		sink := newMemorySink()
		var once atomic.Bool
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, Offsets: sink, MaxSize: 50,
				Handle: func(ctx context.Context, b sluice.Batch[int]) error {
					err := sink.Handle(ctx, b)
					if err == nil && once.CompareAndSwap(false, true) {
						return sluice.Reclaim(errors.New("the outcome of COMMIT is unknown"))
					}
					return err
				},
			})
		})
		time.Sleep(time.Minute)
		c.Produce("orders", 0, 0, 10, 0)
		c.Until("reclaimed", func() bool { return m.app.Stats().Reclaims == 1 })
		time.Sleep(10 * time.Minute)
		if got := c.Committed("g", "orders", 0); got != 10 {
			t.Errorf("the sink is at 10 since 10 min, Kafka's commit at %d", got)
		}
		m.leave(t)
	})
}

func TestStopDuringCheckIsClean(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		link.Freeze()
		var l ledger
		m := join(t, configFor(t, c, link), ledgerRoute(&l, sluice.Policy{}))
		time.Sleep(time.Second)
		m.stop()
		if err := <-m.done; err != nil {
			t.Errorf("stopped before it joined: Run: %v", err)
		}
		link2 := c.NewLink()
		link2.Freeze()
		m = join(t, configFor(t, c, link2), ledgerRoute(&l, sluice.Policy{}))
		time.Sleep(time.Second)
		began := time.Now()
		m.app.Abort()
		err := <-m.done
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("Abort during Check took %v: %v", took, err)
		}
	})
}

// A goroutine that is a moment late must not make a clean stop unclean.
func TestStopGivesNoGrace(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 1, 0)
		var l ledger
		cfg := configFor(t, c, nil)
		cfg.Events.Run = func(sluice.RunInfo) { time.Sleep(200 * time.Millisecond) }
		m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
		c.Until("handled", func() bool { return m.app.Stats().Finished == 1 })
		m.stop()
		if err := <-m.done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
