package sluice_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func TestTheNextBatchIsDecodedMeanwhile(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 40, 0)
		var mu sync.Mutex
		decoded := map[int]int{}
		twenty := make(chan struct{})
		sink := newMemorySink()
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Offsets: sink, MaxSize: 10,
				Decode: func(r *kgo.Record) (int, error) {
					v, err := number(r)
					mu.Lock()
					defer mu.Unlock()
					if decoded[v]++; v == 19 && decoded[v] == 1 {
						close(twenty)
					}
					return v, err
				},
				Handle: func(ctx context.Context, b sluice.Batch[int]) error {
					if b.Messages[0].Value == 0 {
						select {
						case <-twenty:
						case <-time.After(time.Minute):
							t.Error("the first batch waited for the second to be decoded, in vain")
						}
					}
					return sink.Handle(ctx, b)
				},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 40 })
		m.leave(t)
		sink.check(t, 40, nil)
		for v, n := range decoded {
			if n != 1 {
				t.Errorf("record %d was decoded %d times", v, n)
			}
		}
	})
}

// What was decoded ahead is not mistaken for another record when batches are tried again without some of theirs.
func TestDecodingAheadSurvivesPoison(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 500, 0)
		sink := newMemorySink()
		sink.poison = func(v int) bool {
			runtime.Gosched() // to the decoding of the next batch
			return v%7 == 0
		}
		m := join(t, configFor(t, c, nil), sink.route("orders", sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}}))
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 500 })
		m.leave(t)
		sink.check(t, 500, sink.poison)
	})
}

// A middleware may change a record, to decrypt it for one: so nothing is decoded before it.
func TestMiddlewareComesBeforeDecoding(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		sink := newMemorySink()
		secret := func(next sluice.Handler) sluice.Handler {
			return func(ctx context.Context, d *sluice.Delivery) error {
				for _, r := range d.Records {
					r.Value = append([]byte("1"), r.Value...)
				}
				return next(ctx, d)
			}
		}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[int]{
				Topics: []string{"orders"}, Decode: number, Offsets: sink, MaxSize: 10,
				Handle: func(ctx context.Context, b sluice.Batch[int]) error {
					time.Sleep(time.Second) // the time to decode ahead
					return sink.Handle(ctx, b)
				},
				Policy: sluice.Policy{Middleware: []sluice.Middleware{secret}},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		for _, v := range sink.rows {
			if v < 10 || (v > 19 && v < 110) || v > 199 {
				t.Fatalf("value %d was decoded before the middleware saw it", v)
			}
		}
	})
}
