package sluice_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestHealthIsReadyOnlyForAMember(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		link := c.NewLink()
		app, err := sluice.New(configFor(t, c, link))
		if err != nil {
			t.Fatal(err)
		}
		if err := sluice.Add(app, goodRoute("orders")); err != nil {
			t.Fatal(err)
		}
		h := app.Health()
		if h.Ready || !h.Live || fmt.Sprint(h.Problems) != "[the app does not run yet]" || app.Stats() != (sluice.Stats{}) {
			t.Fatalf("before Run: %+v, %+v", h, app.Stats())
		}
		link.Freeze()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		c.Until("it runs", func() bool { return !strings.Contains(fmt.Sprint(app.Health().Problems), "does not run") })
		if h := app.Health(); h.Ready || !h.Live || fmt.Sprint(h.Problems) != "[not a member of the group g yet]" {
			t.Fatalf("before it joined: %+v", h)
		}
		link.Thaw()
		c.Until("it is ready", func() bool { return app.Health().Ready })
		if h = app.Health(); !h.Live || len(h.Problems) != 0 || h.Problems == nil {
			t.Fatalf("%+v", h)
		}
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestHealthTellsAnOutageForAsLongAsItLasts(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 5)
		var away atomic.Bool
		away.Store(true)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Ordering: sluice.ByKey}, func(m sluice.Message[string]) error {
			if away.Load() && m.Value == "2" {
				return sluice.Outage(io.EOF)
			}
			return nil
		}))
		c.Until("the others", func() bool { return m.app.Stats().Finished == 4 })
		h := m.app.Health()
		if h.Ready || !h.Live || len(h.Problems) != 1 || !strings.HasPrefix(h.Problems[0], "orders: outage since ") || !strings.Contains(h.Problems[0], "outage: EOF") {
			t.Fatalf("%+v", h)
		}
		p := m.app.Snapshot().Partitions[0]
		if p.Frontier != 2 || p.Position != 5 || p.Queued+p.Running != 1 || !strings.Contains(p.LastError, "EOF") {
			t.Fatalf("%+v", p)
		}
		away.Store(false)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 5 })
		if h := m.app.Health(); !h.Ready || len(h.Problems) != 0 {
			t.Fatalf("after the outage: %+v", h)
		}
		m.leave(t)
	})
}

func TestHealthTellsARecordThatNobodySettles(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 5, 0)
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{}, func(m sluice.Message[string]) error {
			if m.Value == "3" {
				return sluice.Poison(io.EOF)
			}
			return nil
		}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 3 })
		time.Sleep(time.Minute) // virtual
		if h := m.app.Health(); h.Ready || len(h.Problems) != 1 || !strings.Contains(h.Problems[0], "offset 3 cannot be handled") {
			t.Fatalf("%+v", h)
		}
		m.leave(t)
	})
}

func TestJSONOfHealthAndStats(t *testing.T) {
	h := sluice.Health{
		Live: true, Problems: []string{"orders[0]: outage: EOF"},
	}
	var s sluice.Stats
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(i + 1))
	}
	text, err := json.MarshalIndent(map[string]any{"health": h, "stats": s, "no health": sluice.Health{}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "health.golden", string(text)+"\n")
	text, err = json.Marshal(newApp(t).Health())
	if err != nil || string(text) != `{"live":true,"ready":false,"problems":["the app does not run yet"]}` {
		t.Fatalf("lists must not be null: %s, %v", text, err)
	}
}
