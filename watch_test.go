package sluice_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func handlerHangsHere(release <-chan struct{}) { <-release }

// withHandle is a route of Text whose handler sees its context.
func withHandle(p sluice.Policy, f func(context.Context, sluice.Message[string]) error) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Policy: p, Handle: f})
	}
}

// end stops the member, whose drain need not be clean.
func (m *member) end(t *testing.T) {
	t.Helper()
	m.stop()
	if err := <-m.done; err != nil {
		t.Logf("Run: %v", err)
	}
}

func problems(m *member) string { return strings.Join(m.app.Health().Problems, "; ") }

func TestInvariant8AHandlerThatIgnoresItsDeadlineIsNamed(t *testing.T) {
	for name, x := range map[string]struct {
		timeout time.Duration
		after   time.Duration // when it must be known
	}{"deadline": {10 * time.Second, 13 * time.Second}, "no deadline": {0, 6 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 5)
				release := make(chan struct{})
				var l told
				var ended atomic.Pointer[error]
				cfg := configFor(t, c, nil)
				cfg.Events = l.events()
				m := join(t, cfg, withHandle(sluice.Policy{Timeout: x.timeout}, func(ctx context.Context, m sluice.Message[string]) error {
					if m.Value == "7" {
						context.AfterFunc(ctx, func() { err := context.Cause(ctx); ended.CompareAndSwap(nil, &err) })
						handlerHangsHere(release)
					}
					return nil
				}))
				c.Until("those before it", func() bool { return c.Committed("g", "orders", 0) == 7 })
				time.Sleep(x.after / 3)
				if h := m.app.Health(); !h.Ready {
					t.Errorf("too early: %v", h.Problems)
				}
				time.Sleep(x.after)
				overran := of[sluice.HandlerOverranInfo](&l, "HandlerOverran")
				if len(overran) != 1 {
					t.Fatalf("invariant 8: a handler that runs for %v was told %d times", x.after, len(overran))
				}
				o := overran[0]
				if o.Topic != "orders" || o.Partition != 0 || o.Offset != 7 || string(o.Key) != "k2" || o.Records != 1 || o.Timeout != x.timeout ||
					o.Age < max(x.timeout, x.after*3/4) || o.Age > x.after || !strings.Contains(o.Stack, "sluice_test.handlerHangsHere ") {
					t.Errorf("invariant 8: told %+v", o)
				}
				h := m.app.Health()
				if text := strings.Join(h.Problems, "; "); h.Ready || !h.Live || !strings.Contains(text, `orders[0]: the handler of offset 7, key "k2", has run for `) {
					t.Errorf("invariant 8: health says %+v", h)
				}
				if s := m.app.Snapshot(); len(s.Overruns) != 1 || s.Overruns[0].Offset != 7 || s.Overruns[0].Key != `"k2"` || s.Overruns[0].Stack != o.Stack {
					t.Errorf("invariant 8: the snapshot says %+v", s.Overruns)
				}
				cause := ended.Load()
				if x.timeout > 0 && (cause == nil || !errors.Is(*cause, sluice.ErrHandlerTimeout)) {
					t.Errorf("invariant 8: the context's cause is %v", cause)
				}
				if x.timeout == 0 && cause != nil {
					t.Errorf("cancelled by %v without a Timeout", *cause)
				}
				close(release)
				c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 20 })
				if h := m.app.Health(); !h.Ready {
					t.Errorf("invariant 8: red after it ended: %v", h.Problems)
				}
				if s := m.app.Snapshot(); len(s.Overruns) != 0 {
					t.Errorf("%+v", s.Overruns)
				}
				m.leave(t)
			})
		})
	}
}

// TestInvariant8AHandlerThatIsAskedBehindABadRecordIsNamed: a walk passes by records, and names the one that it calls.
func TestInvariant8AHandlerThatIsAskedBehindABadRecordIsNamed(t *testing.T) {
	for name, batch := range map[string]bool{"records": false, "batches": true} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 3, 0)
				release := make(chan struct{})
				var l told
				cfg := configFor(t, c, nil)
				cfg.Events = l.events()
				policy := sluice.Policy{Timeout: 10 * time.Second, OnFailure: sluice.DeadLetter{Topic: "dlq"}, Retry: sluice.Retry{MaxAttempts: 1}}
				handle := func(_ context.Context, m sluice.Message[string]) error {
					switch m.Value {
					case "0":
						return io.EOF
					case "1":
						time.Sleep(6 * time.Second)  // virtual; and so twice the deadline with the next one
						return sluice.Poison(io.EOF) // a walk goes on after that, however long it took
					}
					handlerHangsHere(release)
					return nil
				}
				add := withHandle(policy, handle)
				if batch {
					add = func(app *sluice.App) error {
						return sluice.AddBatch(app, sluice.BatchRoute[string]{
							Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 1, Policy: policy,
							Handle: func(ctx context.Context, b sluice.Batch[string]) error { return handle(ctx, b.Messages[0]) },
						})
					}
				}
				m := join(t, cfg, add)
				time.Sleep(15 * time.Second) // 9 of the last record's
				if o := of[sluice.HandlerOverranInfo](&l, "HandlerOverran"); len(o) != 0 {
					t.Errorf("invariant 8: told of %+v, and each record had its time", o)
				}
				time.Sleep(5 * time.Second)
				o := of[sluice.HandlerOverranInfo](&l, "HandlerOverran")
				if len(o) != 1 || o[0].Offset != 2 || o[0].Records != 1 || o[0].Age > 14*time.Second {
					t.Errorf("invariant 8: told of %+v, want offset 2, which runs for 14s", o)
				}
				if text := problems(m); !strings.Contains(text, "the handler of offset 2, ") {
					t.Errorf("invariant 8: health says %s", text)
				}
				close(release)
				c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 3 })
				m.leave(t)
			})
		})
	}
}

func TestInvariant8ADeadlineEndsTheContextAndTheOutcomeCounts(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		policy := sluice.Policy{Timeout: 2 * time.Second, Retry: sluice.Retry{Backoff: time.Second}}
		m := join(t, cfg, withHandle(policy, func(ctx context.Context, m sluice.Message[string]) error {
			if m.Value == "3" && m.Attempt == 1 {
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
					t.Error("invariant 8: the handler's context did not end at its deadline")
				}
				if cause := context.Cause(ctx); !errors.Is(cause, sluice.ErrHandlerTimeout) {
					t.Errorf("invariant 8: the cause is %v", cause)
				}
				return fmt.Errorf("charge: %w", ctx.Err())
			}
			if m.Value == "5" { // done, though late
				<-ctx.Done()
			}
			if m.Value == "6" && ctx.Err() != nil {
				t.Error("a record has the deadline of the one before it")
			}
			return nil
		}))
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 10 })
		failed := of[sluice.FailedInfo](&l, "Failed")
		if len(failed) != 1 || failed[0].Record.Offset != 3 || failed[0].RetryIn <= 0 || !errors.Is(failed[0].Err, sluice.ErrHandlerTimeout) ||
			!errors.Is(failed[0].Err, context.DeadlineExceeded) {
			t.Errorf("invariant 8: what failed: %+v", failed)
		}
		if n := len(of[sluice.HandlerOverranInfo](&l, "HandlerOverran")); n != 0 || problems(m) != "" {
			t.Errorf("handlers that heed their context were told %d times; %s", n, problems(m))
		}
		m.leave(t)
	})
}

func TestADeadlineOfABatch(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		release := make(chan struct{})
		var calls atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, MaxSize: 10, MaxWait: time.Second, Policy: sluice.Policy{Timeout: time.Second},
				Handle: func(ctx context.Context, _ sluice.Batch[int]) error {
					calls.Add(1)
					<-ctx.Done()
					if cause := context.Cause(ctx); !errors.Is(cause, sluice.ErrHandlerTimeout) {
						t.Errorf("the cause is %v", cause)
					}
					<-release
					return nil
				},
			})
		})
		c.Until("it is told", func() bool { return strings.Contains(problems(m), "has run for") })
		if text := problems(m); calls.Load() != 1 || !strings.Contains(text, "orders[0]: the handler of 10 records from offset 0 on, key none, has run for 2s") {
			t.Errorf("%d calls; %s", calls.Load(), text)
		}
		close(release)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
	})
}

// A handler that outlives its assignment still is named, as what it does may be done elsewhere at the same time.
func TestAHandlerThatOutlivedItsPartitionIsNamed(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		release := make(chan struct{})
		var first atomic.Bool
		m := join(t, configFor(t, c, nil), withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error {
			if first.CompareAndSwap(false, true) {
				<-release
			}
			return nil
		}))
		c.Until("the handler", first.Load)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Until("it is told", func() bool { return strings.Contains(problems(m), "its partition is gone") })
		if s := m.app.Snapshot(); len(s.Partitions) != 1 || s.Partitions[0].Epoch != 2 || len(s.Overruns) != 1 {
			t.Errorf("%+v", s)
		}
		close(release)
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 10 })
		if text := problems(m); text != "" {
			t.Error(text)
		}
		m.leave(t)
	})
}

// emptyFetches answers fetches as if there were nothing, while on says so.
func emptyFetches(c *bubble.Cluster, on *atomic.Bool) {
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !on.Load() {
			return nil, nil, false //nolint:nilnil // not handled
		}
		req, ok := r.(*kmsg.FetchRequest)
		if !ok {
			return nil, errors.New("no fetch request"), true
		}
		time.Sleep(500 * time.Millisecond) // of all requests: with SleepControl kfake races with itself when the next one comes at its end
		resp, _ := req.ResponseKind().(*kmsg.FetchResponse)
		return resp, nil, true
	})
}

func TestInvariant8APartitionWithLagAndNoProgressIsNamed(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var l told
		var broken atomic.Bool
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		emptyFetches(c, &broken)
		broken.Store(true)
		time.Sleep(time.Second)
		c.Produce("orders", 0, 10, 7, 0)
		time.Sleep(4 * time.Minute)
		stalled := of[sluice.StalledInfo](&l, "Stalled")
		if len(stalled) != 1 {
			t.Fatalf("invariant 8: a partition with lag and no progress was told %d times; health: %s", len(stalled), problems(m))
		}
		if s := stalled[0]; s.Topic != "orders" || s.Partition != 0 || s.Frontier != 10 || s.LogEnd != 17 || s.For < time.Minute || s.For > 90*time.Second ||
			!strings.HasPrefix(s.Reason, "fetches at offset 10 bring nothing") {
			t.Errorf("invariant 8: told %+v", s)
		}
		if text := problems(m); !strings.HasPrefix(text, "orders[0]: stands still with 7 offsets to go for ") || strings.Contains(text, "orders[1]") {
			t.Errorf("invariant 8: health says %q", text)
		}
		broken.Store(false)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 17 })
		if text := problems(m); text != "" {
			t.Errorf("invariant 8: red after it went on: %s", text)
		}
		m.leave(t)
	})
}

// A copy that waits for its delay explains nothing but that it waits.
func TestInvariant8ARetryTopicWhoseFetchesBringNothingIsNamedWhileACopyWaits(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.1h": 1}, func(t *testing.T, c *bubble.Cluster) {
		forge(t, c, "orders.g.retry.1h", 0, "orders", time.Now(), "1")
		var l told
		var broken atomic.Bool
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, withHandle(retrying(time.Hour), func(context.Context, sluice.Message[string]) error { return nil }))
		c.Until("the copy", func() bool {
			return slices.ContainsFunc(m.app.Snapshot().Partitions, func(p sluice.PartitionSnapshot) bool { return p.Parked == 1 })
		})
		time.Sleep(10 * time.Minute)
		if stalled := of[sluice.StalledInfo](&l, "Stalled"); len(stalled) != 0 {
			t.Errorf("told while all there is to do is to wait: %+v", stalled)
		}
		emptyFetches(c, &broken)
		broken.Store(true)
		time.Sleep(time.Second)
		forge(t, c, "orders.g.retry.1h", 0, "orders", time.Now(), "2")
		time.Sleep(4 * time.Minute)
		stalled := of[sluice.StalledInfo](&l, "Stalled")
		if len(stalled) != 1 || stalled[0].Topic != "orders.g.retry.1h" || stalled[0].Frontier != 0 || stalled[0].LogEnd != 2 ||
			!strings.HasPrefix(stalled[0].Reason, "fetches at offset 1 bring nothing") {
			t.Fatalf("invariant 8: a retry topic whose fetches bring nothing was told as %+v; health: %s", stalled, problems(m))
		}
		broken.Store(false)
		time.Sleep(time.Hour)
		c.Until("both", func() bool { return c.Committed("g", "orders.g.retry.1h", 0) == 2 })
		m.leave(t)
	})
}

// An error that the client keeps to itself is found out by asking the broker.
func TestAStallNamesWhatTheBrokerSays(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.CorruptMessage, Count: -1})
		m := join(t, configFor(t, c, nil), withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
		c.Until("it is told", func() bool { return strings.Contains(problems(m), "stands still") })
		if text := problems(m); !strings.Contains(text, "its broker says: CORRUPT_MESSAGE") {
			t.Error(text)
		}
		fault.Remove()
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 10 && problems(m) == "" })
		m.leave(t)
	})
}

func TestWhatIsNoStall(t *testing.T) {
	idle := func(context.Context, sluice.Message[string]) error { return nil }
	cases := map[string]struct {
		policy sluice.Policy
		change func(*sluice.Config)
		handle func(context.Context, sluice.Message[string]) error
		events string // other ones that tell it

		records int // a partition; zero: 20
	}{
		"an idle partition": {handle: idle},
		"a long poll": {handle: idle, change: func(c *sluice.Config) {
			c.Network.RequestTimeout = 5 * time.Minute
			c.Fetch.MaxWait, c.Fetch.MinBytes, c.Fetch.MaxBytes = 4*time.Minute, 1<<20, 2<<20
		}},
		"a retry": {policy: sluice.Policy{Retry: sluice.Retry{Backoff: 4 * time.Minute, MaxBackoff: 4 * time.Minute}}, events: "Failed",
			handle: func(context.Context, sluice.Message[string]) error { return io.EOF }},
		"poison without OnFailure": {policy: sluice.Policy{Retry: sluice.Retry{MaxBackoff: 4 * time.Minute}}, events: "Failed",
			handle: func(context.Context, sluice.Message[string]) error { return sluice.Poison(io.EOF) }},
		"a halt": {policy: sluice.Policy{OnFailure: sluice.Halt{}}, events: "Halted",
			handle: func(context.Context, sluice.Message[string]) error { return sluice.Poison(io.EOF) }},
		"a slow handler": {handle: func(context.Context, sluice.Message[string]) error { time.Sleep(4 * time.Minute); return nil }},
		"a partition that has its share": {records: 500, change: func(c *sluice.Config) { c.MaxBufferedBytes = 64 << 10 },
			handle: func(_ context.Context, m sluice.Message[string]) error {
				if m.Partition() == 0 {
					time.Sleep(4 * time.Minute)
				}
				return nil
			}},
		"busy workers": {policy: sluice.Policy{Workers: 1},
			handle: func(context.Context, sluice.Message[string]) error { time.Sleep(4 * time.Minute); return nil }},
		"waiting for Done, for less than 5 minutes": {policy: sluice.Policy{Commit: sluice.Manual()},
			handle: func(_ context.Context, m sluice.Message[string]) error {
				time.AfterFunc(4*time.Minute, m.Done)
				return nil
			}},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(2) {
					c.Produce("orders", p, 0, cmp.Or(x.records, 20), 0)
				}
				var l told
				cfg := configFor(t, c, nil)
				cfg.Events = l.events()
				if x.change != nil {
					x.change(&cfg)
				}
				m := join(t, cfg, withHandle(x.policy, x.handle))
				time.Sleep(15 * time.Minute)
				if stalled := of[sluice.StalledInfo](&l, "Stalled"); len(stalled) != 0 {
					t.Errorf("told as a stall: %+v", stalled)
				}
				if text := problems(m); strings.Contains(text, "stands still") {
					t.Error(text)
				}
				if x.events != "" && len(l.all[x.events]) == 0 {
					t.Errorf("%s is not told", x.events)
				}
				m.end(t)
				time.Sleep(5 * time.Minute) // handlers that still sleep
			})
		})
	}
}

func TestRecordsThatWaitForDoneForLongAreAStall(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		m := join(t, configFor(t, c, nil), withHandle(sluice.Policy{Commit: sluice.Manual()}, func(_ context.Context, m sluice.Message[string]) error {
			if m.Value != "2" {
				m.Done()
			}
			return nil
		}))
		time.Sleep(6 * time.Minute)
		if text := problems(m); !strings.Contains(text, "1 records wait for Message.Done, the first at offset 2") {
			t.Errorf("%q", text)
		}
		m.end(t)
	})
}

func TestABufferThatStaysFullIsTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			fillBuffer(t, c, p)
		}
		release := make(chan struct{})
		cfg := configFor(t, c, nil)
		cfg.MaxBufferedBytes = 64 << 10
		m := join(t, cfg, withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { <-release; return nil }))
		time.Sleep(2 * time.Minute)
		if text := problems(m); !strings.Contains(text, "the buffer is full") || !m.app.Snapshot().BufferFull {
			t.Errorf("%q", text)
		}
		close(release)
		c.Until("all", func() bool { return m.app.Stats().Finished == 2 })
		if text := problems(m); text != "" {
			t.Error(text)
		}
		m.leave(t)
	})
}

func TestATopicThatIsMadeAgainWhileItIsReadIsTold(t *testing.T) {
	for name, loss := range map[string]sluice.DataLoss{"go on": sluice.GoOn, "halt": sluice.HaltPartition} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "other": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				cfg := configFor(t, c, nil)
				cfg.OnDataLoss = loss
				m := join(t, cfg, withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
				if _, err := c.Admin().DeleteTopic(t.Context(), "orders"); err != nil {
					t.Fatal(err)
				}
				c.Until("the deletion is told", func() bool { return strings.Contains(problems(m), "the topic does not exist any more") })
				if h := m.app.Health(); !h.Live || h.Ready {
					t.Errorf("%+v", h)
				}
				if _, err := c.Admin().CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
					t.Fatal(err)
				}
				c.Until("it is told", func() bool { return strings.Contains(problems(m), "deleted and made again") })
				h := m.app.Health()
				if halted := m.app.Snapshot().Partitions[0].State == "halted"; h.Ready || h.Live != halted || halted != (loss == sluice.HaltPartition) {
					t.Errorf("halted %v, %+v", halted, h)
				}
				m.end(t)
				// What health says to do.
				c.Reconnect()
				c.Produce("orders", 0, 0, 3, 0)
				m = join(t, configFor(t, c, nil), withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
				c.Until("the new topic", func() bool { return m.app.Stats().Finished == 3 && m.app.Health().Live })
				m.leave(t)
			})
		})
	}
}

func TestFetchErrorsAreToldWithTheirRemedy(t *testing.T) {
	for name, x := range map[string]struct {
		key  kmsg.Key
		err  *kerr.Error
		says string
	}{
		"authorization":           {kmsg.Fetch, kerr.TopicAuthorizationFailed, "kafka-acls"},
		"authorization, metadata": {kmsg.Metadata, kerr.TopicAuthorizationFailed, "kafka-acls"},
		"unknown":                 {kmsg.Metadata, kerr.UnknownTopicOrPartition, "does not exist"},
		"a broker's own":          {kmsg.Fetch, kerr.UnknownServerError, "cannot be fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				m := join(t, configFor(t, c, nil), withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
				fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{x.key}, Topic: "orders", Err: x.err, Count: -1})
				c.Until("it is told", func() bool { return strings.Contains(problems(m), x.says) })
				fault.Remove()
				c.Until("it is over", func() bool { return m.app.Health().Ready })
				m.leave(t)
			})
		})
	}
}

func TestCommitsThatFailAreTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: -1})
		m := join(t, configFor(t, c, nil), withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
		time.Sleep(20 * time.Second)
		if text := problems(m); text != "" {
			t.Errorf("too early: %s", text)
		}
		time.Sleep(20 * time.Second)
		if text := problems(m); !strings.Contains(text, "commits fail for ") || !strings.Contains(text, "INVALID_COMMIT_OFFSET_SIZE") {
			t.Errorf("%q", text)
		}
		fault.Remove()
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 && m.app.Health().Ready })
		m.leave(t)
	})
}

// What a member could not commit and does not have any more is no trouble of its: a zombie that is a member again is well.
func TestCommitsThatFailedForPartitionsThatAreGoneAreNoTrouble(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		fine := withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil })
		zombie := join(t, configFor(t, c, link), fine)
		c.Until("it has the partition", func() bool { return len(zombie.app.Snapshot().Partitions) == 1 && zombie.app.Health().Ready })
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: -1})
		c.Produce("orders", 0, 0, 10, 0)
		c.Until("a commit that fails", func() bool { return zombie.app.Stats().CommitsFailed > 0 })
		link.Freeze()
		other := join(t, configFor(t, c, nil), fine)
		c.Until("another has the partition", func() bool { return len(other.app.Snapshot().Partitions) == 1 })
		fault.Remove()
		link.Thaw()
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 10 && len(zombie.app.Snapshot().Partitions) == 0 })
		time.Sleep(5 * time.Minute)
		if h := zombie.app.Health(); !h.Ready {
			t.Errorf("a member that has nothing to commit is red: %v", h.Problems)
		}
		zombie.leave(t)
		other.leave(t)
	})
}

// The watchdog looks only while there is something to look at. What it saw before that counts for nothing.
func TestNoTimeCountsThatNobodyLookedAt(t *testing.T) {
	t.Run("a full buffer", func(t *testing.T) {
		bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
			c.Produce("orders", 0, 0, 1, 0)
			cfg := configFor(t, c, nil)
			cfg.MaxBufferedBytes = 64 << 10
			m := join(t, cfg, withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error {
				time.Sleep(20 * time.Second)
				return nil
			}))
			c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 1 })
			time.Sleep(time.Hour)
			for p := range int32(2) {
				fillBuffer(t, c, p)
			}
			for range 100 {
				time.Sleep(time.Second)
				if text := problems(m); strings.Contains(text, "buffer is full") {
					t.Fatalf("a record is finished every 20 s: %s", text)
				}
			}
			m.end(t)
		})
	})
	t.Run("a partition", func(t *testing.T) {
		bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
			c.Produce("orders", 0, 0, 1, 0)
			var l told
			var broken atomic.Bool
			cfg := configFor(t, c, nil)
			cfg.Events = l.events()
			m := join(t, cfg, withHandle(sluice.Policy{}, func(context.Context, sluice.Message[string]) error { return nil }))
			c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 1 })
			time.Sleep(time.Hour)
			emptyFetches(c, &broken)
			broken.Store(true)
			time.Sleep(10 * time.Second)
			c.Produce("orders", 0, 1, 7, 0)
			began := time.Now()
			c.Until("it is told", func() bool { return len(of[sluice.StalledInfo](&l, "Stalled")) > 0 })
			if took := time.Since(began); took < time.Minute {
				t.Errorf("told %v after there was something to do: %+v", took, of[sluice.StalledInfo](&l, "Stalled"))
			}
			broken.Store(false)
			c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 8 })
			m.leave(t)
		})
	})
}

func TestKeysAreCut(t *testing.T) {
	for key, want := range map[string]string{"k\n": `"k\n"`, strings.Repeat("x", 100): `"` + strings.Repeat("x", 64) + `"…`, "": `""`} {
		if got := sluice.KeyText([]byte(key)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := sluice.KeyText(nil); got != "none" {
		t.Error(got)
	}
}

// A transaction that cannot be aborted costs the client, and the next one waits for the handlers of the last: meanwhile the app stands still,
// and who holds it up is named. A stop is not clean then.
func TestInvariant8AHandlerIsNamedWhenItsClientIsGone(t *testing.T) {
	for _, stops := range []bool{false, true} {
		bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
			c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.UnknownServerError})
			release := make(chan struct{})
			var l told
			cfg := configFor(t, c, nil)
			cfg.Events = l.events()
			policy := sluice.Policy{Ordering: sluice.ByKey, Timeout: 4500 * time.Millisecond} // named later than a transaction of 10 s is aborted
			m := join(t, cfg, forward(policy, func(_ context.Context, m sluice.Message[string]) error {
				if m.Value == "3" {
					<-release // ignores its context
				}
				return nil
			}))
			c.Produce("orders", 0, 0, 10, 10)
			c.Until("the transaction is aborted", func() bool { return m.app.Stats().CommitsFailed > 0 })
			time.Sleep(time.Minute)
			if n := len(of[sluice.HandlerOverranInfo](&l, "HandlerOverran")); n != 1 || !strings.Contains(problems(m), "the handler of offset 3") {
				t.Errorf("invariant 8: a handler that holds up the app was named %d times; health says %q", n, problems(m))
			}
			if stops {
				m.stop()
				if err := <-m.done; !errors.Is(err, sluice.ErrDrainTimeout) {
					t.Errorf("invariant 10: Run returned %v, and a handler runs", err)
				}
				close(release)
				return
			}
			close(release)
			c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
			m.leave(t)
			once(t, c, 10)
		})
	}
}
