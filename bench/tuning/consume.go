package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

func fetches(values ...int32) []point {
	var ps []point
	for _, v := range values {
		ps = append(ps, point{bytesLabel(int(v)), func(ctx context.Context, s *stage) (measure, error) { return follow(ctx, s, v) }})
	}
	return ps
}

func commits(label string, commit sluice.Commit) point {
	return point{label, func(ctx context.Context, s *stage) (measure, error) { return catchUp(ctx, s, commit) }}
}

// consumer runs an app whose handler does nothing but look.
func (s *stage) consumer(ctx context.Context, topic string, hook kgo.Hook, set func(*sluice.Config), commit sluice.Commit,
	look func(*kgo.Record),
) (stop func() error, err error) {
	cfg := sluice.Config{Brokers: s.seeds, Group: topic, ClientOptions: []kgo.Opt{kgo.WithHooks(hook)}}
	set(&cfg)
	app, err := sluice.New(cfg)
	if err != nil {
		return nil, err
	}
	err = sluice.Add(app, sluice.Route[[]byte]{
		Topics: []string{topic}, Decode: sluice.Raw, Policy: sluice.Policy{Commit: commit},
		Handle: func(_ context.Context, m sluice.Message[[]byte]) error { look(m.Record); return nil },
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	return func() error { cancel(); return <-done }, nil
}

// follow consumes behind a paced producer; the latency is from the producer's call to the handler's.
func follow(ctx context.Context, s *stage, minBytes int32) (m measure, err error) {
	topic, err := s.newTopic(ctx)
	if err != nil {
		return m, err
	}
	hook := &counted{key: kmsg.Fetch}
	var l latencies
	var seen atomic.Int64
	var measuring atomic.Bool
	stop, err := s.consumer(ctx, topic, hook, func(c *sluice.Config) {
		c.Fetch.MinBytes, c.Fetch.MaxBytes, c.Fetch.MaxPartitionBytes = minBytes, 50<<20, 5<<20
	}, sluice.Every(time.Second), func(r *kgo.Record) {
		if measuring.Load() {
			seen.Add(1)
			l.add(time.Since(sentAt(r)))
		}
	})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, stop()) }()

	p, err := sluice.NewProducer(s.producerConfig(&counted{key: kmsg.Produce}))
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()
	source := newOrders()
	const warmUp = time.Second
	began := time.Now()
	var from time.Time
	var requests, bytes int64
	for n := 0; ; n++ {
		at := time.Since(began)
		if at > warmUp && from.IsZero() {
			from, requests, bytes = time.Now(), hook.requests.Load(), hook.bytes.Load()
			measuring.Store(true)
		}
		if at > warmUp+s.time || ctx.Err() != nil {
			break
		}
		if ahead := time.Duration(n)*time.Second/pacedRate - at; ahead > time.Millisecond {
			time.Sleep(ahead)
		}
		r := source.next()
		r.Topic = topic
		p.Enqueue(ctx, r, func(*kgo.Record, error) {})
	}
	measuring.Store(false)
	took := time.Since(from).Seconds()
	return measure{
		Throughput: float64(seen.Load()) / took, P99: l.p99(),
		Requests: float64(hook.requests.Load()-requests) / took, Wire: float64(hook.bytes.Load()-bytes) / took / 1e6,
	}, nil
}

// backlogRecords are enough for the fastest point to have something to do.
const backlogRecords = 3_000_000

// catchUp consumes a backlog for the stage's time; the latency is that of a commit.
func catchUp(ctx context.Context, s *stage, commit sluice.Commit) (m measure, err error) {
	topic, err := s.backlog(ctx)
	if err != nil {
		return m, err
	}
	s.groups++
	hook := &counted{key: kmsg.OffsetCommit}
	var l latencies
	var seen atomic.Int64
	first := make(chan struct{})
	stop, err := s.consumer(ctx, topic, hook, func(c *sluice.Config) {
		c.Group = fmt.Sprintf("tuning-%d", s.groups)
		c.Events.Committed = func(i sluice.CommittedInfo) { l.add(i.Took) }
	}, commit, func(*kgo.Record) {
		if seen.Add(1) == 1 {
			close(first)
		}
	})
	if err != nil {
		return m, err
	}
	select {
	case <-first:
	case <-time.After(time.Minute):
		return m, errors.Join(errors.New("nothing was consumed within a minute"), stop())
	case <-ctx.Done():
		return m, errors.Join(ctx.Err(), stop())
	}
	began, requests, bytes := time.Now(), hook.requests.Load(), hook.bytes.Load()
	for time.Since(began) < s.time && seen.Load() < backlogRecords && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	n, took := seen.Load(), time.Since(began).Seconds()
	m = measure{
		Throughput: float64(n) / took, P99: l.p99(),
		Requests: float64(hook.requests.Load()-requests) / took, Wire: float64(hook.bytes.Load()-bytes) / took / 1e6,
	}
	if math.IsNaN(m.Throughput) {
		return m, errors.New("no time passed")
	}
	return m, stop()
}

// backlog makes a topic with a backlog, once.
func (s *stage) backlog(ctx context.Context) (string, error) {
	if s.full != "" {
		return s.full, nil
	}
	const name = "tuning-backlog"
	if _, err := s.admin.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		return "", err
	}
	p, err := sluice.NewProducer(s.producerConfig(&counted{key: kmsg.Produce}))
	if err != nil {
		return "", err
	}
	source := newOrders()
	var failed atomic.Pointer[error]
	for range backlogRecords {
		r := source.next()
		r.Topic = name
		p.Enqueue(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := p.Close(ctx); err != nil {
		return "", err
	}
	if err := failed.Load(); err != nil {
		return "", *err
	}
	s.full = name
	return name, nil
}
