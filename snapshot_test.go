package sluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestSnapshotTellsWhatIsHeld(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 5)
		cfg := configFor(t, c, nil)
		release := make(chan struct{})
		m := join(t, cfg, failing(sluice.Policy{Ordering: sluice.ByKey, Workers: 4, Retry: sluice.Retry{Backoff: time.Hour, MaxBackoff: time.Hour}},
			func(m sluice.Message[string]) error {
				switch m.Value {
				case "1":
					<-release
				case "3":
					return io.EOF
				}
				return nil
			}))
		c.Until("all that can be", func() bool { s := m.app.Stats(); return s.Finished == 6 && s.Failed == 1 })
		time.Sleep(10 * time.Second)
		s := m.app.Snapshot()
		if len(s.Partitions) != 2 || len(s.Routes) != 1 || s.Group != "g" || s.MemberID == "" || s.Generation < 1 || s.BufferFull {
			t.Fatalf("%+v", s)
		}
		p := s.Partitions[0]
		if p.OldestAge < 10*time.Second || p.OldestAge > 11*time.Second || s.Time.Sub(p.LastErrorAt) < 10*time.Second {
			t.Errorf("age %v, last error at %v, now %v", p.OldestAge, p.LastErrorAt, s.Time)
		}
		if p.Running != 1 && p.Running != 2 { // 6 may have been taken with 1
			t.Errorf("%d run", p.Running)
		}
		if p.TimeLag < 10*time.Second || p.TimeLag > 20*time.Second {
			t.Errorf("time lag %v", p.TimeLag)
		}
		p.OldestAge, p.TimeLag, p.LastErrorAt, p.Queued, p.Running = 0, 0, time.Time{}, p.Queued+p.Running, 0
		want := sluice.PartitionSnapshot{
			Topic: "orders", Epoch: p.Epoch, State: "open", Frontier: 1, Committed: 1, Position: 10, LogEnd: 10, Ahead: 5, Queued: 4, Parked: 1, Bytes: 4 * 203,
			LastError: "EOF",
		}
		if p != want {
			t.Errorf("%+v, want\n%+v", p, want)
		}
		if idle := s.Partitions[1]; idle.Partition != 1 || idle.OldestAge != 0 || idle.Frontier != 0 || idle.Paused != "" {
			t.Errorf("%+v", idle)
		}
		if r := s.Routes[0]; !slices.Equal(r.Topics, []string{"orders"}) || r.Ordering != "key" || r.Running != 1 || r.Workers != 4 || r.State != "working" {
			t.Errorf("%+v", r)
		}
		close(release)
		c.Until("1 and 6", func() bool { return m.app.Stats().Finished == 8 })
		c.Until("the workers", func() bool { return m.app.Snapshot().Routes[0].State == "idle" })
		if p := m.app.Snapshot().Partitions[0]; p.Frontier != 3 || p.Ahead != 5 || p.Running != 0 {
			t.Errorf("%+v", p)
		}
		m.leave(t)
	})
}

func TestSnapshotSaysWhyAPartitionIsPaused(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(4) {
			c.Produce("orders", p, 0, 100, 0)
		}
		cfg := configFor(t, c, nil)
		cfg.MaxBufferedBytes = 64 << 10
		ctx, release := context.WithCancel(t.Context())
		m := join(t, cfg, failing(sluice.Policy{Workers: 4, OnFailure: sluice.Halt{}}, func(m sluice.Message[string]) error {
			switch {
			case m.Partition() == 3:
				return sluice.Poison(errors.New("no"))
			case m.Partition() == 0:
				<-ctx.Done()
			}
			return nil
		}))
		c.Until("the rest", func() bool { return m.app.Stats().Finished == 200 })
		var paused []string
		for _, p := range m.app.Snapshot().Partitions {
			paused = append(paused, p.Paused)
		}
		if want := []string{"share", "", "", "halted"}; !slices.Equal(paused, want) {
			t.Errorf("paused for %q, want %q", paused, want)
		}
		release()
		c.Until("all", func() bool { return m.app.Stats().Finished == 300 })
		if p := m.app.Snapshot().Partitions[0]; p.Paused != "" {
			t.Errorf("%+v", p)
		}
		m.leave(t)
	})
}

func TestJSONOfASnapshot(t *testing.T) {
	at := time.Date(2026, 11, 1, 2, 3, 4, 5, time.UTC)
	s := sluice.Snapshot{
		Time: at, Group: "g", MemberID: "m", Generation: 7, BufferFull: true,
		Routes: []sluice.RouteSnapshot{{Topics: []string{"orders"}, Ordering: "key", Running: 1, Workers: 2, State: "working", Outage: "since then"}},
		Partitions: []sluice.PartitionSnapshot{
			{
				Topic: "orders", Partition: 1, Epoch: 2, State: "open", Frontier: 3, Committed: 4, Position: 5, LogEnd: 6, Ahead: 7, Queued: 8,
				Running: 9, Parked: 10, Paused: "share", Bytes: 11, OldestAge: time.Second, TimeLag: time.Minute,
				Stalled: "nobody knows why", LastError: "EOF", LastErrorAt: at,
			},
			{Topic: "orders", Partition: 2},
		},
		Overruns: []sluice.Overrun{{
			Topic: "orders", Partition: 1, Offset: 2, Key: `"k"`, Records: 3, Age: time.Minute, Timeout: time.Second, Stack: "main.handle main.go:1",
		}},
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.golden", string(text)+"\n")
	s = newApp(t).Snapshot()
	s.Time = time.Time{}
	text, err = json.Marshal(s)
	if err != nil || string(text) != `{"time":"0001-01-01T00:00:00Z","group":"g","generation":-1,"buffer_full":false,"routes":[],"partitions":[],"overruns":[]}` {
		t.Fatalf("lists must not be null: %s, %v", text, err)
	}
}
