package sluice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// book takes what is logged.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// A thousand records that are dropped make eleven lines that say how many they were. Each line says which event it is, and none quotes a
// record.
func TestAFloodOfEqualLinesIsFolded(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n, payload = 1000, "s3cret"
		for range n {
			c.Client().Produce(t.Context(), &kgo.Record{
				Topic: "orders", Value: []byte(payload), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(payload)}},
			}, nil)
		}
		if err := c.Client().Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		var b book
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewJSONHandler(&b, nil))
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: sluice.Policy{OnFailure: sluice.Drop{}},
				Handle: func(context.Context, sluice.Message[string]) error { return sluice.Poison(errors.New("no")) },
			})
		})
		c.Until("all", func() bool { return m.app.Stats().Dropped == n })
		m.leave(t)
		if text := b.text.String(); strings.Contains(text, payload) {
			t.Errorf("a payload is logged: %s", text)
		}
		lines, told := 0, 0
		for line := range strings.Lines(b.text.String()) {
			var of struct {
				Event    string `json:"event"`
				Repeated int    `json:"repeated"`
			}
			if err := json.Unmarshal([]byte(line), &of); err != nil || of.Event == "" {
				t.Errorf("%s: %v", line, err)
			}
			if of.Event == "record_dropped" {
				lines, told = lines+1, told+max(1, of.Repeated)
			}
		}
		if lines != 11 || told != n {
			t.Errorf("%d lines tell of %d records", lines, told)
		}
	})
}
