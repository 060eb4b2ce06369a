package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

const budget = 1 << 20

// fill writes batches of records of 1 KB that compress well, keyed by their place among so many keys.
func fill(t *testing.T, c *bubble.Cluster, partition int32, batches, records, keys int) {
	t.Helper()
	for range batches {
		var rs []*kgo.Record
		for i := range records {
			rs = append(rs, &kgo.Record{
				Topic: "orders", Partition: partition, Key: fmt.Appendf(nil, "k%d", i%keys), Value: bytes.Repeat([]byte{byte(i)}, 1000),
			})
		}
		if err := c.Client().ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func budgetConfig(t *testing.T, c *bubble.Cluster, handle func(*kgo.Record) engine.Outcome) engine.Config {
	t.Helper()
	cfg := engineConfig(t, c, handle)
	cfg.MaxBytes, cfg.Fetch = budget, engine.FetchSizes{Most: 50 << 20, MostOfPartition: 1 << 20}
	return cfg
}

// Handlers that are slower than the brokers fill the budget, and what compresses 20 times comes in fetches that fit.
func TestInvariant7WhatIsHeldStaysWithinTheBudget(t *testing.T) {
	for name, size := range map[string]struct{ partitions, batches, records int }{
		"many small batches":             {4, 100, 10},
		"a batch that is nearly a fetch": {16, 3, 100},
	} {
		t.Run(name, func(t *testing.T) { staysWithin(t, int32(size.partitions), size.batches, size.records) })
	}
}

func staysWithin(t *testing.T, partitions int32, batches, records int) {
	t.Helper()
	bubble.Run(t, map[string]int32{"orders": partitions}, func(t *testing.T, c *bubble.Cluster) {
		total := int64(partitions) * int64(batches*records)
		for p := range partitions {
			fill(t, c, p, batches, records, records)
		}
		cfg := budgetConfig(t, c, func(*kgo.Record) engine.Outcome { time.Sleep(10 * time.Millisecond); return engine.Outcome{} })
		e, stop := run(t, cfg)
		var most int64
		c.Until("every record", func() bool {
			s := e.Stats()
			most = max(most, s.BufferedBytes)
			return s.Finished == total
		})
		if most > budget+budget/8 { // a fetch beyond, where a batch is as large as one
			t.Errorf("invariant 7: %d bytes were held within a budget of %d", most, budget)
		}
		if most < budget/4 {
			t.Errorf("only %d bytes were ever held: the handlers were not slow", most)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestInvariant7APartitionThatStandsStillDoesNotStopTheOthers(t *testing.T) {
	for name, batch := range map[string]int{"small batches": 10, "a batch beyond the budget": 3000} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
				fill(t, c, 0, 6000/batch, batch, 1)
				for p := range int32(3) {
					fill(t, c, p+1, 100, 10, 1)
				}
				var still atomic.Bool
				still.Store(true)
				cfg := budgetConfig(t, c, func(r *kgo.Record) engine.Outcome {
					if r.Partition == 0 && still.Load() {
						return engine.Outcome{Kind: engine.Outage, Err: errBad}
					}
					return engine.Outcome{}
				})
				e, stop := run(t, cfg)
				time.Sleep(5 * time.Minute)
				if s := e.Stats(); s.Finished != 3000 {
					t.Errorf("invariant 7: one partition stands still and holds %d records; of the others' 3000, %d were handled",
						s.Buffered, s.Finished)
				} else if batch == 10 && s.BufferedBytes > budget/2 {
					t.Errorf("invariant 7: a partition that stands still holds %d of %d bytes", s.BufferedBytes, budget)
				}
				still.Store(false)
				c.Until("all of it", func() bool { return e.Stats().Finished == 9000 })
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A record that stays keeps no batch alive: not when it is parked, nor when it waits behind one that is, nor when a handler holds
// it until Done.
func TestInvariant7ARecordThatStaysKeepsNoBatch(t *testing.T) {
	for _, name := range []string{"parked", "behind a parked one", "not done", "failed in a batch"} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				const records = 100
				fill(t, c, 0, 1, records, 10) // one batch; "k3" of 3, 13, … stays, where the test is about keys
				var mu sync.Mutex
				var kept []*kgo.Record
				var neighbour weak.Pointer[kgo.Record]
				var value weak.Pointer[byte]
				stays := func(r *kgo.Record) bool { return r.Offset == 3 }
				see := func(r *kgo.Record) {
					if r.Offset == 2 {
						mu.Lock()
						defer mu.Unlock()
						neighbour, value = weak.Make(r), weak.Make(&r.Value[500])
					}
				}
				cfg := budgetConfig(t, c, nil)
				route := cfg.Routes[0]
				route.Ordering, route.Workers = engine.ByKey, 1
				finished := int64(records - 1)
				route.Handle = func(_ context.Context, w *engine.Work, r *kgo.Record, _ int) engine.Outcome {
					see(r)
					switch {
					case name == "not done" && stays(r):
						mu.Lock()
						defer mu.Unlock()
						kept = append(kept, r)
					case name == "not done":
						w.Finish(r)
					case stays(r):
						return engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: 24 * time.Hour}}
					}
					return engine.Outcome{}
				}
				switch name {
				case "behind a parked one":
					finished = records - records/10
				case "parked":
					route.Ordering = engine.Unordered
				case "not done":
					route.Ordering, route.CommitManually, route.CommitInterval = engine.Unordered, true, 0
				case "failed in a batch":
					route.Ordering, route.MaxSize, route.Handle = engine.Unordered, 10, nil
					route.HandleBatch = func(_ context.Context, b *engine.Batch) engine.BatchOutcome {
						out := engine.BatchOutcome{Each: make([]engine.Outcome, len(b.Records))}
						for i, r := range b.Records {
							see(r)
							if stays(r) {
								out.Each[i] = engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: 24 * time.Hour}}
							}
						}
						return out
					}
				}
				e, _ := run(t, cfg)
				c.Until("the others", func() bool { return e.Stats().Finished == finished })
				if name == "behind a parked one" { // they are owned as others go by
					fill(t, c, 0, 100, 2, 2)
					c.Until("what goes by", func() bool { return e.Stats().Finished == finished+200 })
				}
				for range 3 {
					runtime.GC()
				}
				mu.Lock()
				defer mu.Unlock()
				if neighbour.Value() != nil || value.Value() != nil {
					t.Errorf("invariant 7: a record that stays (%s) keeps the records or the bytes of its batch", name)
				}
				runtime.KeepAlive(kept)
			})
		})
	}
}

// The client's pause outlives the assignment. A partition that comes back is fetched all the same.
func TestInvariant7APauseEndsWithItsAssignment(t *testing.T) {
	for _, name := range []string{"lost", "revoked"} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				for p := range int32(2) {
					fill(t, c, p, 200, 10, 1)
				}
				var still atomic.Bool
				still.Store(true)
				handle := func(*kgo.Record) engine.Outcome {
					if still.Load() {
						return engine.Outcome{Kind: engine.Failed, Err: errBad, More: &engine.More{After: time.Minute}}
					}
					return engine.Outcome{}
				}
				cfg := budgetConfig(t, c, handle)
				cfg.Routes[0].Ordering = engine.Unordered
				e, stop := run(t, cfg)
				paused := func() bool {
					ps := e.Snapshot().Partitions
					return len(ps) == 2 && !slices.ContainsFunc(ps, func(p engine.PartitionSnapshot) bool { return p.Paused != "share" })
				}
				c.Until("both are paused", paused)
				time.Sleep(time.Second)
				still.Store(false)
				if name == "lost" {
					loseOnce(c)
				} else {
					_, leave := run(t, budgetConfig(t, c, handle))
					c.Until("one is revoked", func() bool { return len(e.Snapshot().Partitions) == 1 })
					if err := leave(); err != nil {
						t.Fatal(err)
					}
				}
				deadline := time.Now().Add(5 * time.Minute)
				for c.Committed("g", "orders", 0) != 2000 || c.Committed("g", "orders", 1) != 2000 {
					if time.Now().After(deadline) {
						t.Fatalf("invariant 7: partitions that were %s and came back are not fetched: committed %d and %d of 2000", name,
							c.Committed("g", "orders", 0), c.Committed("g", "orders", 1))
					}
					time.Sleep(time.Second)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
