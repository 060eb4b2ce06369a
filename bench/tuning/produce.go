package main

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

func sizes(values ...int32) []point {
	var ps []point
	for _, v := range values {
		ps = append(ps, point{bytesLabel(int(v)), func(ctx context.Context, s *stage) (measure, error) {
			return produce(ctx, s, 0, func(c *sluice.ProducerConfig) { c.BatchBytes = v })
		}})
	}
	return ps
}

func lingers(ms ...int) []point {
	var ps []point
	for _, n := range ms {
		ps = append(ps, point{strconv.Itoa(n), func(ctx context.Context, s *stage) (measure, error) {
			return produce(ctx, s, pacedRate, func(c *sluice.ProducerConfig) { c.Linger = time.Duration(n) * time.Millisecond })
		}})
	}
	return ps
}

func codecs(cs ...sluice.Compression) []point {
	var ps []point
	for _, codec := range cs {
		ps = append(ps, point{string(codec), func(ctx context.Context, s *stage) (measure, error) {
			return produce(ctx, s, 0, func(c *sluice.ProducerConfig) { c.Compression = codec })
		}})
	}
	return ps
}

// bytesLabel is a size as people say it.
func bytesLabel(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + " Mi"
	case n >= 1<<10 && n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + " Ki"
	case n >= 1_000_000:
		return strconv.Itoa(n/1_000_000) + " M"
	case n >= 1000:
		return strconv.Itoa(n/1000) + " k"
	}
	return strconv.Itoa(n)
}

// produce sends for the stage's time, at a rate or (0) as fast as it goes, and measures.
func produce(ctx context.Context, s *stage, rate int, set func(*sluice.ProducerConfig)) (m measure, err error) {
	topic, err := s.newTopic(ctx)
	if err != nil {
		return m, err
	}
	hook := &counted{key: kmsg.Produce}
	cfg := s.producerConfig(hook)
	set(&cfg)
	p, err := sluice.NewProducer(cfg)
	if err != nil {
		return m, err
	}
	var l latencies
	var acked atomic.Int64
	var failed atomic.Pointer[error]
	source := newOrders()
	pool := make([]*kgo.Record, 1<<14) // made before, so that making them is not measured
	for i := range pool {
		pool[i] = source.next()
	}
	began := time.Now()
	n := 0
	for ; time.Since(began) < s.time && failed.Load() == nil && ctx.Err() == nil; n++ {
		if rate > 0 {
			if ahead := time.Duration(n)*time.Second/time.Duration(rate) - time.Since(began); ahead > time.Millisecond {
				time.Sleep(ahead)
			}
		}
		r := *pool[n%len(pool)]
		r.Topic = topic
		sent := time.Now()
		p.Enqueue(ctx, &r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
				return
			}
			acked.Add(1)
			l.add(time.Since(sent))
		})
	}
	if err := p.Close(ctx); err != nil {
		return m, err
	}
	if err := failed.Load(); err != nil {
		return m, *err
	}
	took := time.Since(began).Seconds()
	return measure{
		Throughput: float64(acked.Load()) / took, P99: l.p99(), Requests: float64(hook.requests.Load()) / took,
		Wire: float64(hook.bytes.Load()) / took / 1e6,
	}, nil
}
