package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const (
	manyParts    = 6
	manyRecords  = 4_000_000
	oneRecords   = 2_000_000
	fixedRounds  = 5
	noOpRounds   = 9
	noOpWorkers  = 64
	handlerTakes = 5 * time.Millisecond
)

// partitionJob compares handlers that do nothing with the raw loop, over 6 partitions.
func partitionJob() job {
	all := span{Records: manyRecords}
	return job{
		name: "partition", rounds: noOpRounds,
		arms: []arm{
			reads("raw loop", manyParts, manyRecords, task{Do: doRaw, span: all}),
			reads("by partition", manyParts, manyRecords, task{Do: doSluice, Ordering: sluice.ByPartition, span: all}),
			reads("by partition, scraped", manyParts, manyRecords,
				task{Do: doSluice, Ordering: sluice.ByPartition, Scraped: true, span: all}),
			reads("by partition, traced", manyParts, manyRecords,
				task{Do: doSluice, Ordering: sluice.ByPartition, Traced: true, span: all}),
			reads("by key", manyParts, manyRecords, task{Do: doSluice, Ordering: sluice.ByKey, Workers: noOpWorkers, span: all}),
		},
		figures: []figure{
			ratio("by partition / raw loop: rate", rate, "by partition", "raw loop").least(0.95),
			ratio("by partition / raw loop: CPU", cpuMicros, "by partition", "raw loop").most(1.15),
			ratio("by partition, scraped / by partition: rate", rate, "by partition, scraped", "by partition").least(0.97),
			ratio("by partition, traced / by partition: rate", rate, "by partition, traced", "by partition").least(0.95),
			ratio("by key / raw loop: rate", rate, "by key", "raw loop").least(0.5),
		},
	}
}

// keyJob compares keys of one partition with Parallel Consumer.
func keyJob() job {
	all := span{Records: oneRecords}
	return job{
		name: "key", rounds: noOpRounds,
		arms: []arm{
			reads("raw loop", 1, oneRecords, task{Do: doRaw, span: all}),
			reads("sluice", 1, oneRecords, task{Do: doSluice, Ordering: sluice.ByKey, Workers: noOpWorkers, span: all}),
			parallelConsumer("parallel consumer", task{Workers: noOpWorkers, span: span{WarmUp: 5 * time.Second, Window: 5 * time.Second}}),
		},
		figures: []figure{ratio("sluice / parallel consumer: rate", rate, "sluice", "parallel consumer").least(10)},
	}
}

// workersJob compares handlers of 5 ms with goroutines that sleep as long.
func workersJob() job {
	j := job{name: "workers", rounds: fixedRounds}
	for _, one := range []struct {
		workers int
		bound   float64
	}{{100, 0.97}, {1000, 0.85}} {
		workers, bound := one.workers, one.bound
		window := span{WarmUp: 2 * time.Second, Window: 4 * time.Second}
		t := task{Ordering: sluice.ByKey, Workers: workers, Takes: handlerTakes, span: window}
		label := func(what string) string { return fmt.Sprintf("%s, %d", what, workers) }
		asleep := t
		asleep.Do, t.Do = doSleepers, doSluice
		j.arms = append(j.arms,
			arm{label("sleepers"), func(ctx context.Context, s *stage) (values, error) { return s.do(ctx, asleep) }},
			reads(label("sluice"), 1, oneRecords, t),
			parallelConsumer(label("parallel consumer"), t),
		)
		j.figures = append(j.figures,
			ratio(label("sluice / sleepers"), rate, label("sluice"), label("sleepers")).least(bound),
			ratio(label("parallel consumer / sleepers"), rate, label("parallel consumer"), label("sleepers")),
		)
	}
	return j
}

// reads is an arm that reads a backlog. What it commits is looked at afterwards: all of it, where it was to read all.
func reads(name string, partitions int32, records int64, t task) arm {
	return arm{name, func(ctx context.Context, s *stage) (values, error) {
		topic, err := s.backlog(ctx, partitions, records)
		if err != nil {
			return nil, err
		}
		t.Topic, t.Group = topic, s.name("group")
		v, err := s.do(ctx, t)
		if err != nil {
			return nil, err
		}
		sum, err := s.committed(ctx, t.Group, topic)
		if err == nil && (sum == 0 || sum < t.Records) {
			err = fmt.Errorf("%d records were committed, want at least %d", sum, max(1, t.Records))
		}
		return v, err
	}}
}

// rawLoop is what one would write by hand, with the options that sluice's client has.
func rawLoop(ctx context.Context, t task) (v values, err error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(t.Brokers...), kgo.ConsumerGroup(t.Group), kgo.ConsumeTopics(t.Topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(time.Second),
	)
	if err != nil {
		return nil, err
	}
	const most = 10_000
	var seen, bytes atomic.Int64
	polling, stop := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() {
		for polling.Err() == nil {
			fetches := client.PollRecords(polling, most)
			n, size := 0, 0
			fetches.EachPartition(func(p kgo.FetchTopicPartition) {
				for _, r := range p.Records {
					size += len(r.Value)
				}
				if n += len(p.Records); len(p.Records) > 0 {
					client.MarkCommitRecords(p.Records[len(p.Records)-1])
				}
			})
			seen.Add(int64(n))
			bytes.Add(int64(size))
		}
	})
	v, err = t.measure(ctx, seen.Load)
	stop()
	loop.Wait()
	err = errors.Join(err, client.CommitMarkedOffsets(context.WithoutCancel(ctx)))
	client.Close()
	if want := seen.Load() * valueBytes; bytes.Load() != want {
		err = errors.Join(err, fmt.Errorf("%d bytes came, want %d", bytes.Load(), want))
	}
	return v, err
}

// sluiceConsumer has a handler that does nothing, or nothing but sleep.
func sluiceConsumer(ctx context.Context, t task) (values, error) {
	var handle handler = func(context.Context, sluice.Message[[]byte]) error { return nil }
	if t.Takes > 0 {
		handle = func(context.Context, sluice.Message[[]byte]) error { time.Sleep(t.Takes); return nil }
	}
	app, stop, err := t.consumer(ctx, nil, handle)
	if err != nil {
		return nil, err
	}
	stopScrapes := func() error { return nil }
	if t.Scraped {
		if stopScrapes, err = scraped(ctx, app); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	v, err := t.measure(ctx, func() int64 { return app.Stats().Finished })
	return v, errors.Join(err, stopScrapes(), stop())
}

// sleepers do nothing but sleep: the most that so many handlers can do here.
func sleepers(ctx context.Context, t task) (values, error) {
	counts := make([]struct {
		atomic.Int64
		_ [56]byte // a cache line of its own
	}, t.Workers)
	asleep, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	for i := range counts {
		all.Go(func() {
			for asleep.Err() == nil {
				time.Sleep(t.Takes)
				counts[i].Add(1)
			}
		})
	}
	v, err := t.measure(ctx, func() int64 {
		var sum int64
		for i := range counts {
			sum += counts[i].Load()
		}
		return sum
	})
	stop()
	all.Wait()
	return v, err
}
