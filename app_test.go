package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// member is one app under test.
type member struct {
	app  *sluice.App
	stop context.CancelFunc
	done chan error
}

// configFor is a configuration that reaches the cluster.
func configFor(t testing.TB, c *bubble.Cluster, link *bubble.Link) sluice.Config {
	dial := c.Dial
	if link != nil {
		dial = link.Dial
	}
	return sluice.Config{
		Brokers: c.ListenAddrs(), Group: "g",
		ClientOptions: c.Options(dial)[1:],
		Logger:        slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// join runs an app until stop.
func join(t testing.TB, cfg sluice.Config, add func(*sluice.App) error) *member {
	t.Helper()
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := add(app); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{app: app, stop: cancel, done: make(chan error, 1)}
	go func() { m.done <- app.Run(ctx); close(m.done) }()
	t.Cleanup(func() {
		cancel()
		for range m.done { // ended, or ends now
		}
	})
	return m
}

// leave stops the member and demands a clean drain.
func (m *member) leave(t testing.TB) {
	t.Helper()
	m.stop()
	if err := <-m.done; err != nil {
		t.Fatalf("Run: %v", err)
	}
}

// ledger notes what handlers saw.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int // topic[partition]@offset to times
	list []string       // in order
}

func (l *ledger) note(m sluice.Message[string]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = make(map[string]int)
	}
	at := fmt.Sprintf("%s[%d]@%d", m.Topic(), m.Partition(), m.Offset())
	l.seen[at]++
	l.list = append(l.list, at)
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

func (l *ledger) times(at string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[at]
}

func TestEveryRecordOnceWithoutFaults(t *testing.T) {
	for _, ordering := range []sluice.Ordering{sluice.ByPartition, sluice.ByKey, sluice.Unordered} {
		t.Run(ordering.String(), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(3) {
					c.Produce("orders", p, 0, 1000, 7)
				}
				var l ledger
				m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
					return sluice.Add(app, sluice.Route[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
						Policy: sluice.Policy{Ordering: ordering},
					})
				})
				c.Until("all records", func() bool { return l.count() == 3000 })
				m.leave(t)
				for at, n := range l.seen {
					if n != 1 {
						t.Fatalf("%s was handled %d times", at, n)
					}
				}
				for p := range int32(3) {
					if got := c.Committed("g", "orders", p); got != 1000 {
						t.Fatalf("committed %d in partition %d, want 1000", got, p)
					}
				}
			})
		})
	}
}

func TestDeadLetterIsAcknowledgedAndTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "orders.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 3)
		var l ledger
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					l.note(m)
					switch m.Value {
					case "3":
						return sluice.Poison(errors.New("bad order"))
					case "5":
						return errors.New("never works")
					case "7":
						panic("seven")
					}
					return nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "orders.dlq"}},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		if n := l.times("orders[0]@5"); n != 3 {
			t.Fatalf("record 5 was tried %d times, want 3", n)
		}
		var got []string // dead letters of a lane are written side by side, in no order
		for _, r := range c.Read("orders.dlq") {
			h := map[string]string{}
			for _, x := range r.Headers {
				h[x.Key] = string(x.Value)
			}
			got = append(got, fmt.Sprintf("%s %s %s@%s %s %s %s", r.Key, r.Value, h[sluice.HeaderTopic], h[sluice.HeaderOffset],
				h[sluice.HeaderAttempts], h[sluice.HeaderErrorClass], h[sluice.HeaderError]))
		}
		slices.Sort(got)
		want := []string{
			"k0 3 orders@3 1 poison poison: bad order",
			"k1 7 orders@7 1 panic panic: seven",
			"k2 5 orders@5 3 attempts never works",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("dead letters:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
