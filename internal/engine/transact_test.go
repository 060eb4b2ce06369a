package engine_test

import (
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

// slowWord is told late how a write ended.
type slowWord struct{ late atomic.Int64 }

func (s *slowWord) OnProduceRecordUnbuffered(_ *kgo.Record, err error) {
	if errors.Is(err, kerr.MessageTooLarge) {
		s.late.Add(1)
		time.Sleep(time.Second)
	}
}

// A record that the client does not even take is no part of the transaction, and the client's flush does not wait for the word of it.
func TestInvariant12AWriteThatIsNotTakenAbortsItsTransaction(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n, large = 20, 7
		word := new(slowWord)
		var calls atomic.Int64
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			out := &kgo.Record{Topic: "bills", Value: slices.Clone(r.Value)}
			if r.Offset == large && calls.Add(1) < 3 {
				out.Headers = []kgo.RecordHeader{{Key: "large", Value: make([]byte, 2<<10)}}
			}
			return engine.Outcome{More: &engine.More{Records: []*kgo.Record{out}}}
		})
		cfg.Options = append(cfg.Options, kgo.MaxBufferedBytes(1<<10), kgo.WithHooks(word))
		cfg.Transact = &engine.Transact{ID: "g.one", Interval: 100 * time.Millisecond, Timeout: 10 * time.Second}
		_, stop := run(t, cfg)
		from := 0
		for _, next := range []int{large, large + 1, n} { // it is alone in its transaction: the word of others would come after that of it
			c.Produce("orders", 0, from, next-from, 0)
			c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == int64(next) })
			from = next
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if word.late.Load() == 0 {
			t.Error("everything was taken")
		}
		for i, r := range c.Read("bills") {
			if string(r.Value) != strconv.Itoa(i) {
				t.Fatalf("invariant 12: %s is there in the place of %d", r.Value, i)
			}
		}
		if got := len(c.Read("bills")); got != n {
			t.Errorf("invariant 12: %d are there, want %d", got, n)
		}
	})
}
