package sluice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func textRecord(topic, value string) *kgo.Record {
	return &kgo.Record{Topic: topic, Value: []byte(value)}
}

func TestAMessageTellsItsRecord(t *testing.T) {
	at := time.Unix(5, 0)
	m := sluice.Message[string]{Record: &kgo.Record{Topic: "orders", Partition: 3, Offset: 9, Key: []byte("k"), Timestamp: at}}
	if string(m.Key()) != "k" || m.Topic() != "orders" || m.Partition() != 3 || m.Offset() != 9 || !m.Timestamp().Equal(at) {
		t.Fatalf("%+v", m)
	}
	if m.ID() != "orders-3-9" {
		t.Fatalf("ID without a topic id: %s", m.ID())
	}
	if id := sluice.WithTopicID(m, [16]byte{0xab, 15: 1}).ID(); id != "ab000000000000000000000000000001-3-9" {
		t.Fatalf("ID: %s", id)
	}
}

func TestALoggedMessageHoldsNoPayload(t *testing.T) {
	m := sluice.Message[string]{
		Value: "hunter2", Attempt: 4,
		Record: &kgo.Record{
			Topic: "orders", Partition: 3, Offset: 9, Key: []byte("hunter2"), Value: []byte("hunter2"),
			Headers: []kgo.RecordHeader{{Key: "hunter2", Value: []byte("hunter2")}},
		},
	}
	var b bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("handled", "message", m)
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("the payload is told: %s", b.String())
	}
	for _, want := range []string{
		"message.topic=orders message.partition=3 message.offset=9 message.attempt=4",
		`"message":{"topic":"orders","partition":3,"offset":9,"attempt":4}`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s\nhas no %s", b.String(), want)
		}
	}
}

// TestAnIDIsStable sees the same ID at every attempt, in another process and on a batch route, and another one for the
// topic's successor.
func TestAnIDIsStable(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		fill := func() {
			c.Produce("orders", 0, 0, 2, 0)
			c.Produce("orders", 1, 0, 1, 0)
		}
		fill()
		ids := func(group string, batch bool) []string {
			var mu sync.Mutex
			seen := map[string][]string{}
			note := func(m sluice.Message[string]) error {
				mu.Lock()
				defer mu.Unlock()
				at := fmt.Sprintf("%d-%d", m.Partition(), m.Offset())
				seen[at] = append(seen[at], m.ID())
				if m.Attempt < 3 {
					return errors.New("again")
				}
				return nil
			}
			cfg := configFor(t, c, nil)
			cfg.Group = group
			m := join(t, cfg, func(app *sluice.App) error {
				if batch {
					return sluice.AddBatch(app, sluice.BatchRoute[string]{
						Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 1,
						Handle: func(_ context.Context, b sluice.Batch[string]) error { return note(b.Messages[0]) },
					})
				}
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{"orders"}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) error { return note(m) },
				})
			})
			c.Until("the commits", func() bool { return c.Committed(group, "orders", 0) == 2 && c.Committed(group, "orders", 1) == 1 })
			m.leave(t)
			var out []string
			for at, all := range seen {
				if len(all) != 3 || len(slices.Compact(all)) != 1 {
					t.Errorf("%s has the IDs %v", at, all)
				}
				out = append(out, all[0])
				if !regexp.MustCompile(`^[0-9a-f]{32}-` + at + `$`).MatchString(all[0]) {
					t.Errorf("%s has the ID %s", at, all[0])
				}
			}
			slices.Sort(out)
			return out
		}
		one, two, batch := ids("one", false), ids("two", false), ids("three", true)
		if !slices.Equal(one, two) || !slices.Equal(one, batch) {
			t.Fatalf("IDs differ:\n%v\n%v\n%v", one, two, batch)
		}
		if _, err := c.Admin().DeleteTopics(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Admin().CreateTopic(t.Context(), 2, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
		c.Reconnect()
		fill()
		for _, id := range ids("four", false) {
			if slices.Contains(one, id) {
				t.Errorf("the topic's successor repeats %s", id)
			}
		}
	})
}
