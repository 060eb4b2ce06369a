package sluice_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// lingering is a producer whose batches wait for ten seconds.
func lingering(t *testing.T, c *bubble.Cluster, change func(*sluice.ProducerConfig)) (*sluice.Producer, written) {
	t.Helper()
	sent := make(written, 1000)
	cfg := configFor(t, c, nil).Producer()
	cfg.ClientOptions = append(cfg.ClientOptions, kgo.WithHooks(sent))
	cfg.Linger = 10 * time.Second
	change(&cfg)
	p := newProducer(t, cfg)
	if err := p.Send(t.Context(), textRecord("orders", "first")); err != nil {
		t.Fatal(err)
	}
	<-sent
	return p, sent
}

func TestLingerMakesOneBatch(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p, sent := lingering(t, c, func(*sluice.ProducerConfig) {})
		began := time.Now()
		for range 20 {
			p.Enqueue(context.Background(), textRecord("orders", "x"), nil)
			time.Sleep(100 * time.Millisecond)
		}
		if b := <-sent; b.NumRecords != 20 || time.Since(began) < 10*time.Second {
			t.Errorf("a batch of %d records after %v", b.NumRecords, time.Since(began))
		}
		began = time.Now()
		if err := p.Send(t.Context(), textRecord("orders", "x")); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("Send took %v: %v", time.Since(began), err)
		}
		closeProducer(t, p)
	})
}

func TestBatchRecordsEndLinger(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p, sent := lingering(t, c, func(cfg *sluice.ProducerConfig) { cfg.BatchRecords = 50 })
		p.Enqueue(context.Background(), textRecord("orders", "x"), nil) // beside the first
		began := time.Now()
		for i := range 148 {
			p.Enqueue(context.Background(), textRecord("orders", "x"), nil)
			if i%50 == 47 { // the 50th, and so on
				if b := <-sent; b.NumRecords < 49 || b.NumRecords > 50 {
					t.Errorf("a batch of %d records", b.NumRecords)
				}
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		closeProducer(t, p)
	})
}

func TestAFullBufferEndsLinger(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p, _ := lingering(t, c, func(cfg *sluice.ProducerConfig) { cfg.MaxRequestBytes, cfg.MaxBufferedBytes = 50_000, 50_000 })
		began := time.Now()
		for range 300 {
			p.Enqueue(context.Background(), textRecord("orders", strings.Repeat("x", 1000)), nil)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
		closeProducer(t, p)
	})
}

func TestFlushEndsLinger(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p, _ := lingering(t, c, func(cfg *sluice.ProducerConfig) { cfg.BatchBytes = 2_000 })
		began := time.Now()
		for range 55 { // several batches, the last one not full
			p.Enqueue(context.Background(), textRecord("orders", strings.Repeat("x", 100)), nil)
		}
		if err := p.Flush(t.Context()); err != nil || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		closeProducer(t, p)
	})
}
