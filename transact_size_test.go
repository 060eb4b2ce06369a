package sluice_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A record that no client would ever write is its own handler's fault: it aborts nothing, and the others land.
func TestInvariant12WhatIsTooLargeIsPoison(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					r := &kgo.Record{Topic: "bills", Value: []byte(m.Value)}
					if m.Offset() == 5 {
						r.Value = []byte(strings.Repeat("x", 2<<20))
					}
					return []*kgo.Record{r}, nil
				},
				Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}},
			})
		})
		c.Produce("orders", 0, 0, 10, 1)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
		if s := m.app.Stats(); s.CommitsFailed != 0 || s.DeadLettered != 1 {
			t.Errorf("invariant 12: %d transactions were aborted, and there are %d dead letters", s.CommitsFailed, s.DeadLettered)
		}
		m.leave(t)
		once(t, c, 10, 5)
		if dead := c.Read("dead"); len(dead) != 1 || string(dead[0].Value) != "5" {
			t.Errorf("%d dead letters", len(dead))
		}
	})
}

// What is wrong with how it writes is told when the route is added.
func TestTransactRouteChecksItsProducer(t *testing.T) {
	cfg, err := sluice.FromProperties(strings.NewReader("bootstrap.servers=localhost:1\ngroup.id=g\nbatch.size=500000\nmax.request.size=400000\n"))
	if err == nil {
		var app *sluice.App
		if app, err = sluice.New(cfg); err == nil {
			err = forward(sluice.Policy{}, nil)(app)
		}
	}
	if !errors.Is(err, sluice.ErrConfig) || !strings.Contains(err.Error(), "batch.size") {
		t.Errorf("it says %v", err)
	}
}

// A record that is too large only with what hooks add to it is poison as well: its transactions are searched, and it is found.
func TestInvariant12WhatHooksMakeTooLargeIsPoison(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = append(cfg.ClientOptions, kgo.WithHooks(heading{}))
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					r := &kgo.Record{Topic: "bills", Value: []byte(m.Value)}
					if m.Offset() == 5 {
						r.Value = []byte(strings.Repeat("x", 999_880)) // of BatchBytes, a million, with some 80 around it
					}
					return []*kgo.Record{r}, nil
				},
				Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}},
			})
		})
		c.Produce("orders", 0, 0, 10, 1)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
		if s := m.app.Stats(); s.CommitsFailed == 0 || s.CommitsFailed > 5 || s.DeadLettered != 1 {
			t.Errorf("invariant 12: %d transactions were aborted, and there are %d dead letters", s.CommitsFailed, s.DeadLettered)
		}
		m.leave(t)
		once(t, c, 10, 5)
	})
}
