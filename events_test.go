package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// told notes what every one of the events was told.
type told struct {
	mu   sync.Mutex
	all  map[string][]any
	when map[string][]time.Time
}

func (l *told) events() sluice.Events {
	l.all, l.when = map[string][]any{}, map[string][]time.Time{}
	var events sluice.Events
	v := reflect.ValueOf(&events).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func(args []reflect.Value) []reflect.Value {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.all[name] = append(l.all[name], args[0].Interface())
			l.when[name] = append(l.when[name], time.Now())
			return nil
		}))
	}
	return events
}

func (l *told) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name := range l.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// of returns what an event was told.
func of[I any](l *told, name string) []I {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []I
	for _, i := range l.all[name] {
		out = append(out, i.(I))
	}
	return out
}

// one demands that an event was told once.
func one[I any](t *testing.T, l *told, name string) I {
	t.Helper()
	all := of[I](l, name)
	if len(all) != 1 {
		t.Fatalf("%s was told %d times: %+v; all that was told: %v", name, len(all), all, l.names())
	}
	return all[0]
}

// failing is a route of orders whose handler returns what f says.
func failing(p sluice.Policy, f func(m sluice.Message[string]) error) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p,
			Handle: func(_ context.Context, m sluice.Message[string]) error { return f(m) },
		})
	}
}

func TestEvents(t *testing.T) {
	cases := map[string]struct {
		policy sluice.Policy
		handle func(m sluice.Message[string]) error
		during func(t *testing.T, c *bubble.Cluster, m *member, l *told)
		after  func(t *testing.T, l *told)
		begin  func(t *testing.T, c *bubble.Cluster)
	}{
		"Assigned Released Committed Polled Run": {
			after: func(t *testing.T, l *told) {
				if got := one[sluice.AssignedInfo](t, l, "Assigned"); got != (sluice.AssignedInfo{Topic: "orders", Partition: 0, Epoch: 1}) {
					t.Errorf("Assigned: %+v", got)
				}
				if got := one[sluice.ReleasedInfo](t, l, "Released"); got != (sluice.ReleasedInfo{Topic: "orders", Epoch: 1, Frontier: 5}) {
					t.Errorf("Released: %+v", got)
				}
				all := of[sluice.CommittedInfo](l, "Committed")
				if len(all) == 0 || !reflect.DeepEqual(all[len(all)-1].Offsets, map[string]map[int32]int64{"orders": {0: 5}}) {
					t.Errorf("Committed: %+v", all)
				}
				n := 0
				for _, r := range of[sluice.RunInfo](l, "Run") {
					n += r.Records
					if r.Topic != "orders" || r.Partition != 0 || r.Records < 1 || r.Took < time.Duration(r.Records)*time.Second {
						t.Errorf("Run: %+v", r)
					}
				}
				if n != 5 {
					t.Errorf("runs of %d records, want 5", n)
				}
				n = 0
				for _, p := range of[sluice.PolledInfo](l, "Polled") {
					n += p.Fetches.NumRecords()
					if p.Fetches.Empty() || p.Took < 0 {
						t.Errorf("Polled: %+v", p)
					}
				}
				if n != 5 {
					t.Errorf("polls of %d records, want 5", n)
				}
				if names := l.names(); !slices.Equal(names, []string{"Assigned", "Committed", "Polled", "Released", "Run"}) {
					t.Errorf("told of %v", names)
				}
			},
			handle: func(sluice.Message[string]) error { time.Sleep(time.Second); return nil }, // virtual
		},
		"Failed DeadLettered": {
			policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2, Backoff: time.Second}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
			handle: func(m sluice.Message[string]) error {
				if m.Value == "3" {
					return fmt.Errorf("charge: %w", io.EOF)
				}
				return nil
			},
			after: func(t *testing.T, l *told) {
				got := of[sluice.FailedInfo](l, "Failed")
				if len(got) != 2 || got[0].Attempts != 1 || got[0].RetryIn < 750*time.Millisecond || got[0].RetryIn > time.Second ||
					got[1].Attempts != 2 || got[1].RetryIn != 0 {
					t.Fatalf("Failed: %+v", got)
				}
				for _, i := range append(got, one[sluice.FailedInfo](t, l, "DeadLettered")) {
					if i.Record.Topic != "orders" || i.Record.Offset != 3 || !errors.Is(i.Err, io.EOF) {
						t.Errorf("%+v", i)
					}
				}
				if d := one[sluice.FailedInfo](t, l, "DeadLettered"); d.Attempts != 2 {
					t.Errorf("DeadLettered: %+v", d)
				}
			},
		},
		"Dropped Skipped": {
			policy: sluice.Policy{OnFailure: sluice.Drop{}},
			handle: func(m sluice.Message[string]) error {
				switch m.Value {
				case "1":
					return sluice.Poison(io.EOF)
				case "2":
					return sluice.Skip("not ours")
				}
				return nil
			},
			after: func(t *testing.T, l *told) {
				if d := one[sluice.FailedInfo](t, l, "Dropped"); d.Record.Offset != 1 || d.Attempts != 1 || !errors.Is(d.Err, io.EOF) || d.RetryIn != 0 {
					t.Errorf("Dropped: %+v", d)
				}
				if s := one[sluice.SkippedInfo](t, l, "Skipped"); s.Record.Offset != 2 || s.Reason != "not ours" {
					t.Errorf("Skipped: %+v", s)
				}
				if f := one[sluice.FailedInfo](t, l, "Failed"); f.RetryIn != 0 || f.Record.Offset != 1 {
					t.Errorf("Failed: %+v", f)
				}
			},
		},
		"an outage's Failed": {
			handle: func(m sluice.Message[string]) error {
				if m.Value == "0" && time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < time.Minute {
					return sluice.Outage(io.EOF)
				}
				return nil
			},
			after: func(t *testing.T, l *told) {
				for _, f := range of[sluice.FailedInfo](l, "Failed") {
					if f.Attempts != 0 || f.RetryIn <= 0 || f.Record.Offset != 0 {
						t.Errorf("Failed: %+v", f)
					}
				}
			},
		},
		"CommitFailed": {
			begin: func(_ *testing.T, c *bubble.Cluster) {
				c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.InvalidCommitOffsetSize, Count: 1})
			},
			after: func(t *testing.T, l *told) {
				if f := one[sluice.CommitFailedInfo](t, l, "CommitFailed"); !errors.Is(f.Err, kerr.InvalidCommitOffsetSize) || !strings.Contains(f.Err.Error(), "orders[0]") {
					t.Errorf("CommitFailed: %+v", f)
				}
			},
		},
		"Halted": {
			policy: sluice.Policy{OnFailure: sluice.Halt{}},
			handle: func(m sluice.Message[string]) error {
				if m.Value == "3" {
					return sluice.Poison(io.EOF)
				}
				return nil
			},
			during: func(_ *testing.T, c *bubble.Cluster, _ *member, l *told) {
				c.Until("it halted, and committed", func() bool { return len(of[sluice.HaltedInfo](l, "Halted")) > 0 && c.Committed("g", "orders", 0) == 3 })
			},
			after: func(t *testing.T, l *told) {
				if h := one[sluice.HaltedInfo](t, l, "Halted"); h.Topic != "orders" || h.Partition != 0 || h.Offset != 3 || !errors.Is(h.Err, io.EOF) {
					t.Errorf("Halted: %+v", h)
				}
				if r := one[sluice.ReleasedInfo](t, l, "Released"); r.Frontier != 3 || r.Lost {
					t.Errorf("Released: %+v", r)
				}
			},
		},
		"DataLost": {
			begin: func(t *testing.T, c *bubble.Cluster) {
				var offsets kadm.Offsets
				offsets.AddOffset("orders", 0, 2, -1)
				if err := c.Admin().CommitAllOffsets(t.Context(), "g", offsets); err != nil {
					t.Fatal(err)
				}
				deleteBefore(t, c, 4)
			},
			during: func(t *testing.T, c *bubble.Cluster, _ *member, l *told) {
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
				if len(of[sluice.DataLostInfo](l, "DataLost")) == 0 {
					t.Fatal("a commit below the log's start was not told")
				}
			},
			after: func(t *testing.T, l *told) {
				want := sluice.DataLostInfo{Topic: "orders", Position: 2, Resume: 4, LogStart: 4, LogEnd: 5}
				if got := one[sluice.DataLostInfo](t, l, "DataLost"); got != want {
					t.Errorf("DataLost: %+v, want %+v", got, want)
				}
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, cluster *bubble.Cluster) {
				cluster.Produce("orders", 0, 0, 5, 0)
				if c.begin != nil {
					c.begin(t, cluster)
				}
				if c.handle == nil {
					c.handle = func(sluice.Message[string]) error { return nil }
				}
				var l told
				cfg := configFor(t, cluster, nil)
				cfg.Events = l.events()
				m := join(t, cfg, failing(c.policy, c.handle))
				if c.during != nil {
					c.during(t, cluster, m, &l)
				} else {
					cluster.Until("the commit", func() bool { return cluster.Committed("g", "orders", 0) == 5 })
				}
				m.leave(t)
				c.after(t, &l)
			})
		})
	}
}

func TestEventOfALostPartition(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, failing(sluice.Policy{}, func(sluice.Message[string]) error { return nil }))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID})
		c.Until("it is back", func() bool { return len(of[sluice.AssignedInfo](&l, "Assigned")) == 2 })
		if r := one[sluice.ReleasedInfo](t, &l, "Released"); r != (sluice.ReleasedInfo{Topic: "orders", Epoch: 1, Frontier: 5, Lost: true}) {
			t.Errorf("Released: %+v", r)
		}
		if a := of[sluice.AssignedInfo](&l, "Assigned")[1]; a.Epoch != 2 {
			t.Errorf("Assigned: %+v", a)
		}
		m.leave(t)
	})
}

func TestEventOfADrainThatOverran(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events, cfg.DrainTimeout = l.events(), 5*time.Second
		release := make(chan struct{})
		m := join(t, cfg, failing(sluice.Policy{}, func(m sluice.Message[string]) error {
			if m.Value == "2" {
				<-release
			}
			return nil
		}))
		c.Until("the third", func() bool {
			h := m.app.Snapshot()
			return len(h.Partitions) == 1 && h.Partitions[0].Running > 0 && h.Partitions[0].Committed == 2
		})
		m.stop()
		c.Until("the drain's end", func() bool { return len(of[sluice.DrainOverranInfo](&l, "DrainOverran")) > 0 })
		close(release)
		if err := <-m.done; !errors.Is(err, sluice.ErrDrainTimeout) {
			t.Fatalf("Run: %v", err)
		}
		if d := one[sluice.DrainOverranInfo](t, &l, "DrainOverran"); d.Topic != "orders" || d.Partition != 0 || len(d.Offsets) != 1 || d.Offsets[0] > 2 {
			t.Fatalf("DrainOverran: %+v", d)
		}
	})
}

func TestEventOfAReclaim(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		sink := newMemorySink()
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, sink.route("orders", sluice.Policy{}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
		sink.mu.Lock()
		sink.owner[0] = -1 // another's claim
		sink.mu.Unlock()
		c.Produce("orders", 0, 5, 5, 0)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		r := one[sluice.ReclaimedInfo](t, &l, "Reclaimed")
		if r.Topic != "orders" || r.Partition != 0 || r.Next != 5 || r.Err == nil || !strings.Contains(r.Err.Error(), "fenced") {
			t.Fatalf("Reclaimed: %+v", r)
		}
		sink.check(t, 10, nil)
	})
}

func TestEveryEventReachesTheEngine(t *testing.T) {
	var l told
	v := reflect.ValueOf(sluice.ObserverOf(l.events()))
	for i := range v.NumField() {
		f := v.Field(i)
		f.Call([]reflect.Value{reflect.Zero(f.Type().In(0))})
		if name := v.Type().Field(i).Name; len(l.all[name]) != 1 {
			t.Errorf("%s: told %v", name, l.all)
		}
	}
	if n := reflect.TypeFor[sluice.Events]().NumField(); n != v.NumField() {
		t.Errorf("%d events, and %d in the engine", n, v.NumField())
	}
	none := reflect.ValueOf(sluice.ObserverOf(sluice.Events{}))
	for i := range none.NumField() {
		if !none.Field(i).IsNil() {
			t.Errorf("%s is not nil, though nobody listens", none.Type().Field(i).Name)
		}
	}
}
