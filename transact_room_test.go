package sluice_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// What a topic takes is asked for again, as its operator may have changed it: more, and as much as the client makes.
func TestInvariant12WhatATopicTakesIsAskedAgain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 100
		var log warnings
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					more := []kgo.RecordHeader{{Key: "k", Value: make([]byte, 1000)}}
					return []*kgo.Record{{Topic: "bills", Value: []byte(m.Value), Headers: more}}, nil
				},
			})
		})
		from := 0
		for _, takes := range []string{"10000", "20000", "1000000"} {
			takesAtMost(t, c, "bills", takes)
			for range 3 {
				c.Produce("orders", 0, from, n, 0)
				from += n
				c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == int64(from) })
				time.Sleep(40 * time.Second)
			}
			notes := strings.Join(m.app.Health().Notes, "; ")
			if want := takes != "1000000"; want != strings.Contains(notes, "bills takes batches of up to "+takes+" bytes") || !want && notes != "" {
				t.Errorf("it takes %s: health notes %q", takes, notes)
			}
		}
		m.leave(t)
		if s := m.app.Stats(); s.CommitsFailed != 1 || log.count("event=batches_limited ") != 2 || log.count("event=batches_unlimited ") != 1 {
			t.Errorf("invariant 12: %d transactions were refused, and the log says: %s", s.CommitsFailed, log.text.String())
		}
		once(t, c, from)
	})
}

// heading is a hook that gives each record a header, as package tracing's does.
type heading struct{}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (heading) OnProduceRecordBuffered(r *kgo.Record) {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: make([]byte, 55)})
}

// What hooks add to records counts as well in what a topic takes.
func TestInvariant12WhatHooksAddIsCounted(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		takesAtMost(t, c, "bills", "10000")
		const n = 400
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = append(cfg.ClientOptions, kgo.WithHooks(heading{}))
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					return []*kgo.Record{{Topic: "bills", Value: []byte(m.Value)}}, nil
				},
			})
		})
		for i := range 4 {
			c.Produce("orders", 0, i*n, n, 0)
			c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == int64(i+1)*n })
		}
		m.leave(t)
		if s := m.app.Stats(); s.CommitsFailed != 1 {
			t.Errorf("invariant 12: %d transactions were refused, want one", s.CommitsFailed)
		}
		once(t, c, 4*n)
	})
}

// bulky is a hook that gives some records large headers, and counts the batches for bills.
type bulky struct {
	once    atomic.Bool // the next one for bills
	batches atomic.Int64
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (b *bulky) OnProduceRecordBuffered(r *kgo.Record) {
	size := 40
	if r.Topic == "notes" {
		size = 70_000
	} else if b.once.Swap(false) {
		size = 9700
	}
	value := make([]byte, size)
	_, _ = rand.Read(value) // that cannot be compressed
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "more", Value: value})
}

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (b *bulky) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, _ kgo.ProduceBatchMetrics) {
	if topic == "bills" {
		b.batches.Add(1)
	}
}

// What hooks add to the records of a topic has no other one's go by themselves, and what they added once is not counted for ever.
func TestWhatHooksAddIsCountedByTopicAndForgotten(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "notes": 1}, func(t *testing.T, c *bubble.Cluster) {
		takesAtMost(t, c, "bills", "10000")
		const n = 400
		hook := &bulky{}
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = append(cfg.ClientOptions, kgo.WithHooks(hook))
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					rs := []*kgo.Record{{Topic: "bills", Value: []byte(m.Value)}}
					if m.Offset()%n == 0 {
						rs = append(rs, &kgo.Record{Topic: "notes"})
					}
					return rs, nil
				},
			})
		})
		from := 0
		batches := func() int64 {
			before := hook.batches.Load()
			c.Produce("orders", 0, from, n, 0)
			from += n
			c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == int64(from) })
			return hook.batches.Load() - before
		}
		for range 3 {
			batches() // one is refused
		}
		if got := batches(); got > n/2 { // a batch for each record, if they counted
			t.Errorf("after large headers of another topic's record %d records go in %d batches", n, got)
		}
		hook.once.Store(true)
		batches()
		time.Sleep(61 * time.Second) // it is asked again
		if got := batches(); got > n/2 {
			t.Errorf("a large header is counted for ever: %d batches", got)
		}
		m.leave(t)
		if s := m.app.Stats(); s.CommitsFailed != 1 {
			t.Errorf("%d transactions were refused, want one", s.CommitsFailed)
		}
		once(t, c, from)
	})
}
