package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// through handles n records with some middleware until they are committed, and returns the app's counters.
func through(t *testing.T, n int, p sluice.Policy, handle func(context.Context, sluice.Message[string]) error) sluice.Stats {
	t.Helper()
	var s sluice.Stats
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, n, 0)
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Handle: handle, Policy: p})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == int64(n) })
		m.leave(t)
		s = m.app.Stats()
	})
	return s
}

func TestMiddlewareWrapsTheFirstOneOutermost(t *testing.T) {
	var mu sync.Mutex
	var log []string
	note := func(s string) { mu.Lock(); defer mu.Unlock(); log = append(log, s) }
	named := func(name string) sluice.Middleware {
		return func(next sluice.Handler) sluice.Handler {
			return func(ctx context.Context, d *sluice.Delivery) error {
				note(fmt.Sprintf("%s in %s %d records attempt %d", name, d.Group, len(d.Records), d.Attempt))
				err := next(ctx, d)
				note(fmt.Sprintf("%s out %v", name, err))
				return err
			}
		}
	}
	through(t, 1, sluice.Policy{Middleware: []sluice.Middleware{named("a"), named("b")}}, func(_ context.Context, m sluice.Message[string]) error {
		note("handler " + m.Value)
		if m.Attempt == 1 {
			return errors.New("again")
		}
		return nil
	})
	want := []string{
		"a in g 1 records attempt 1", "b in g 1 records attempt 1", "handler 0", "b out again", "a out again",
		"a in g 1 records attempt 2", "b in g 1 records attempt 2", "handler 0", "b out <nil>", "a out <nil>",
	}
	if !slices.Equal(log, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
	}
}

func TestMiddlewareWrapsABatchOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 7, 0)
		var sizes []int
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			r := goodBatchRoute("orders")
			r.MaxSize, r.MaxWait = 7, time.Second
			r.Policy.Middleware = []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
				return func(ctx context.Context, d *sluice.Delivery) error {
					sizes = append(sizes, len(d.Records))
					return next(ctx, d)
				}
			}}
			return sluice.AddBatch(app, r)
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 7 })
		m.leave(t)
		if !slices.Equal(sizes, []int{7}) {
			t.Fatalf("batches of %v", sizes)
		}
	})
}

func TestMiddlewareChangesTheOutcome(t *testing.T) {
	change := func(f func(d *sluice.Delivery, err error) error) sluice.Policy {
		return sluice.Policy{
			Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.DeadLetter{Topic: "dlq"},
			Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
				return func(ctx context.Context, d *sluice.Delivery) error { return f(d, next(ctx, d)) }
			}},
		}
	}
	fails := func(context.Context, sluice.Message[string]) error { return errors.New("no") }
	works := func(context.Context, sluice.Message[string]) error { return nil }
	if s := through(t, 3, change(func(_ *sluice.Delivery, err error) error {
		if err != nil {
			return sluice.Skip("not that bad")
		}
		return nil
	}), fails); s.Skipped != 3 || s.DeadLettered != 0 {
		t.Errorf("failed to skipped: %+v", s)
	}
	if s := through(t, 3, change(func(*sluice.Delivery, error) error { return sluice.Poison(errors.New("refused")) }), works); s.DeadLettered != 3 {
		t.Errorf("nil to poison: %+v", s)
	}
	if s := through(t, 3, change(func(*sluice.Delivery, error) error { return nil }), fails); s.Finished != 3 || s.Failed != 0 {
		t.Errorf("failed to nil: %+v", s)
	}
}

func TestMiddlewareMayKeepARecordFromItsHandler(t *testing.T) {
	s := through(t, 4, sluice.Policy{Middleware: []sluice.Middleware{func(sluice.Handler) sluice.Handler {
		return func(context.Context, *sluice.Delivery) error { return sluice.Skip("closed") }
	}}}, func(context.Context, sluice.Message[string]) error { t.Error("the handler was called"); return nil })
	if s.Skipped != 4 || s.Finished != 4 {
		t.Fatalf("%+v", s)
	}
}

func TestAPanicInMiddlewareIsPoison(t *testing.T) {
	for name, at := range map[string]int{"before the handler": 0, "after the handler": 1} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			called := 0
			s := through(t, 2, sluice.Policy{
				OnFailure: sluice.DeadLetter{Topic: "dlq"},
				Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
					return func(ctx context.Context, d *sluice.Delivery) error {
						if at == 0 {
							panic("early")
						}
						_ = next(ctx, d)
						panic("late")
					}
				}},
			}, func(context.Context, sluice.Message[string]) error {
				mu.Lock()
				defer mu.Unlock()
				called++
				return nil
			})
			if s.DeadLettered != 2 || s.Failed != 2 || called != 2*at {
				t.Fatalf("%+v, the handler was called %d times", s, called)
			}
		})
	}
}

func TestMiddlewareSeesAPanicOfTheHandlerAsAnError(t *testing.T) {
	var seen error
	s := through(t, 1, sluice.Policy{Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
		return func(ctx context.Context, d *sluice.Delivery) error {
			seen = next(ctx, d)
			return nil
		}
	}}}, func(context.Context, sluice.Message[string]) error { panic("seven") })
	var p *sluice.PanicError
	if !errors.As(seen, &p) || p.Value != "seven" || !strings.Contains(string(p.Stack), "middleware_test.go") || s.Finished != 1 {
		t.Fatalf("%v, %+v", seen, s)
	}
}

func TestMiddlewareHandsAContextOn(t *testing.T) {
	type key struct{}
	for name, derive := range map[string]func(context.Context) context.Context{
		"with a value":    func(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, "v") },
		"another context": func(context.Context) context.Context { return context.WithValue(context.Background(), key{}, "v") },
	} {
		t.Run(name, func(t *testing.T) {
			s := through(t, 1, sluice.Policy{Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
				return func(ctx context.Context, d *sluice.Delivery) error { return next(derive(ctx), d) }
			}}}, func(ctx context.Context, m sluice.Message[string]) error {
				if ctx.Value(key{}) != "v" || !strings.HasSuffix(m.ID(), "-0-0") {
					t.Errorf("value %v, ID %s", ctx.Value(key{}), m.ID())
				}
				return nil
			})
			if s.Finished != 1 {
				t.Fatalf("%+v", s)
			}
		})
	}
}

func TestMiddlewareSeesRecordsThatCannotBeDecoded(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		if err := c.Client().ProduceSync(t.Context(), textRecord("orders", "not a number")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		var seen error
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[int]{
				Topics: []string{"orders"}, Decode: number,
				Handle: func(context.Context, sluice.Message[int]) error { t.Error("handled"); return nil },
				Policy: sluice.Policy{OnFailure: sluice.Drop{}, Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
					return func(ctx context.Context, d *sluice.Delivery) error {
						if string(d.Records[0].Value) != "not a number" {
							t.Errorf("the raw record is %q", d.Records[0].Value)
						}
						seen = next(ctx, d)
						return seen
					}
				}}},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 1 })
		m.leave(t)
		if seen == nil || m.app.Stats().Dropped != 1 {
			t.Fatalf("%v, %+v", seen, m.app.Stats())
		}
	})
}
