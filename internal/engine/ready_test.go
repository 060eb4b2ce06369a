package engine_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

func TestARetryDoesNotWaitForWhatWasQueuedBeforeIt(t *testing.T) {
	const records, takes, backoff = 500, 10 * time.Millisecond, 100 * time.Millisecond
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, records, records) // a key each
		var failed, retried time.Time
		var done atomic.Int64
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 0 && failed.IsZero() {
				failed = time.Now()
				return engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: backoff}}
			}
			if r.Offset == 0 {
				retried = time.Now()
			}
			time.Sleep(takes)
			done.Add(1)
			return engine.Outcome{}
		})
		cfg.Routes[0].Ordering, cfg.Routes[0].Workers = engine.ByKey, 1
		_, stop := run(t, cfg)
		c.Until("the end", func() bool { return done.Load() == records })
		if late := retried.Sub(failed) - backoff; late < 0 || late > 3*takes {
			t.Errorf("a retry after %v came %v late, while one worker had %v of work before it", backoff, late, records*takes)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetriesDoNotHoldUpWhatNeverFailed(t *testing.T) {
	const records, failing, takes = 500, 400, 10 * time.Millisecond
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, records, records)
		var done atomic.Int64
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			time.Sleep(takes)
			if r.Offset < failing { // together they would keep the worker busy for ever
				return engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: takes}}
			}
			done.Add(1)
			return engine.Outcome{}
		})
		cfg.Routes[0].Ordering, cfg.Routes[0].Workers = engine.ByKey, 1
		_, stop := run(t, cfg)
		began := time.Now()
		for time.Since(began) < 30*time.Second && done.Load() < records-failing {
			time.Sleep(takes)
		}
		if n := done.Load(); n < records-failing {
			t.Errorf("%d of %d records that do not fail are finished after 30 s", n, records-failing)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
