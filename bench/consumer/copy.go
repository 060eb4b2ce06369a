package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const (
	doTransact = "transact"
	doResend   = "resend"
	doEnqueue  = "enqueue"
	doSession  = "session"

	copyRecords = 1_000_000
)

// copyJob writes what it reads to another topic: in transactions, or at least once; and in the transactions of the client's own session,
// one a poll, as its documentation does.
func copyJob() job {
	all := span{Records: copyRecords}
	return job{
		name: "copy", rounds: fixedRounds,
		arms: []arm{
			copies("exactly once", task{Do: doTransact, span: all}),
			copies("at least once", task{Do: doResend, span: all}),
			copies("at least once, by callback", task{Do: doEnqueue, span: all}),
			copies("client's session", task{Do: doSession, span: all}),
		},
		figures: []figure{
			ratio("exactly once / at least once: rate", rate, "exactly once", "at least once").least(0.8),
			ratio("exactly once / at least once: CPU", cpuMicros, "exactly once", "at least once"),
			ratio("exactly once / at least once, by callback: rate", rate, "exactly once", "at least once, by callback"),
			ratio("exactly once / client's session: rate", rate, "exactly once", "client's session"),
		},
	}
}

// copies is an arm that copies a backlog. What is there afterwards is counted, as a reader sees it who reads what is committed.
func copies(name string, t task) arm {
	return arm{name, func(ctx context.Context, s *stage) (values, error) {
		from, err := s.backlog(ctx, manyParts, t.Records)
		if err != nil {
			return nil, err
		}
		t.Topic, t.Group, t.Output = from, s.name("group"), s.name("copy")
		if err := s.newTopic(ctx, t.Output, manyParts, nil); err != nil {
			return nil, err
		}
		v, err := s.do(ctx, t)
		if err != nil {
			return nil, err
		}
		n, err := s.count(ctx, t.Output)
		if err == nil && n != t.Records {
			err = fmt.Errorf("%d records were written, want %d", n, t.Records)
		}
		sum, commitErr := s.committed(ctx, t.Group, from)
		if commitErr == nil && sum != t.Records {
			commitErr = fmt.Errorf("%d records were committed, want %d", sum, t.Records)
		}
		_, deleteErr := s.admin.DeleteTopics(ctx, t.Output)
		return v, errors.Join(err, commitErr, deleteErr)
	}}
}

// count reads a topic to its end, and counts the records that are committed.
func (s *stage) count(ctx context.Context, topic string) (n int64, err error) {
	ends, err := s.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.seeds...), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	at := map[int32]int64{}
	for behind := true; behind; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return 0, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() && len(r.Value) == valueBytes && r.Value[0] == changed {
				n++
			}
		})
		behind = false
		ends.Each(func(o kadm.ListedOffset) { behind = behind || at[o.Partition] < o.Offset })
	}
	return n, nil
}

// changed is what every arm makes of a value's first byte.
const changed = 'O'

func (t task) change(r *kgo.Record) *kgo.Record {
	value := bytes.Clone(r.Value)
	value[0] = changed
	return &kgo.Record{Topic: t.Output, Key: r.Key, Value: value}
}

// running runs an app until stop is called, which returns what Run does.
func (t task) running(ctx context.Context, set func(*sluice.Config), add func(*sluice.App) error) (stop func() error, err error) {
	cfg := t.config()
	if set != nil {
		set(&cfg)
	}
	app, err := sluice.New(cfg)
	if err != nil {
		return nil, err
	}
	if err := add(app); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	return func() error { cancel(); return <-done }, nil
}

func (t task) config() sluice.Config {
	return sluice.Config{
		Brokers: t.Brokers, Group: t.Group,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// transact counts what transactions have committed.
func transact(ctx context.Context, t task) (values, error) {
	var mu sync.Mutex
	at := map[int32]int64{}
	stop, err := t.running(ctx, func(cfg *sluice.Config) {
		cfg.Events.Committed = func(i sluice.CommittedInfo) {
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(at, i.Offsets[t.Topic])
		}
	}, func(app *sluice.App) error {
		return sluice.AddTransact(app, sluice.TransactRoute[[]byte]{
			Topics: []string{t.Topic}, Decode: sluice.Raw, Interval: 100 * time.Millisecond,
			Handle: func(_ context.Context, m sluice.Message[[]byte]) ([]*kgo.Record, error) {
				return []*kgo.Record{t.change(m.Record)}, nil
			},
		})
	})
	if err != nil {
		return nil, err
	}
	v, err := t.measure(ctx, func() (sum int64) {
		mu.Lock()
		defer mu.Unlock()
		for _, offset := range at {
			sum += offset
		}
		return sum
	})
	return v, errors.Join(err, stop())
}

// resend writes batch by batch and waits for the acknowledgements, as the program does with delivery: at_least_once.
func resend(ctx context.Context, t task) (values, error) {
	var acknowledged atomic.Int64
	return t.producing(ctx, &acknowledged, func(app *sluice.App, p *sluice.Producer) error {
		return sluice.AddBatch(app, sluice.BatchRoute[[]byte]{
			Topics: []string{t.Topic}, Decode: sluice.Raw,
			Handle: func(ctx context.Context, b sluice.Batch[[]byte]) error {
				records := make([]*kgo.Record, len(b.Messages))
				for i, m := range b.Messages {
					records[i] = t.change(m.Record)
				}
				err := p.Send(ctx, records...)
				if err == nil {
					acknowledged.Add(int64(len(records)))
				}
				return err
			},
		})
	})
}

// enqueue writes record by record and waits for none; each is done when it is acknowledged.
func enqueue(ctx context.Context, t task) (values, error) {
	var acknowledged atomic.Int64
	var failed atomic.Pointer[error]
	v, err := t.producing(ctx, &acknowledged, func(app *sluice.App, p *sluice.Producer) error {
		return sluice.Add(app, sluice.Route[[]byte]{
			Topics: []string{t.Topic}, Decode: sluice.Raw, Policy: sluice.Policy{Commit: sluice.Manual()},
			Handle: func(_ context.Context, m sluice.Message[[]byte]) error {
				p.Enqueue(context.WithoutCancel(ctx), t.change(m.Record), func(_ *kgo.Record, err error) {
					if err != nil {
						failed.CompareAndSwap(nil, &err)
						return
					}
					m.Done()
					acknowledged.Add(1)
				})
				return nil
			},
		})
	})
	if e := failed.Load(); e != nil {
		err = errors.Join(err, *e)
	}
	return v, err
}

// producing runs an app with a producer, and counts what is acknowledged.
func (t task) producing(ctx context.Context, acknowledged *atomic.Int64, add func(*sluice.App, *sluice.Producer) error) (values, error) {
	p, err := sluice.NewProducer(t.config().Producer())
	if err != nil {
		return nil, err
	}
	stop, err := t.running(ctx, nil, func(app *sluice.App) error { return add(app, p) })
	if err != nil {
		return nil, errors.Join(err, p.Close(ctx))
	}
	v, err := t.measure(ctx, acknowledged.Load)
	return v, errors.Join(err, stop(), p.Close(context.WithoutCancel(ctx)))
}

// session is the loop of the client's documentation, with the options that our client has.
func session(ctx context.Context, t task) (values, error) {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(t.Brokers...), kgo.ConsumerGroup(t.Group), kgo.ConsumeTopics(t.Topic), kgo.TransactionalID(t.Group),
		kgo.TransactionTimeout(10*time.Second), kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(50<<20), kgo.FetchMaxPartitionBytes(1<<20), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return nil, err
	}
	var ended atomic.Int64
	var failed error
	polling, stop := context.WithCancel(ctx)
	var loop sync.WaitGroup
	loop.Go(func() {
		for {
			fetches := s.PollFetches(polling)
			if polling.Err() != nil {
				return
			}
			if failed = s.Begin(); failed != nil {
				return
			}
			first := kgo.AbortingFirstErrPromise(s.Client())
			fetches.EachRecord(func(r *kgo.Record) { s.Produce(ctx, t.change(r), first.Promise()) })
			committed, err := s.End(ctx, first.Err() == nil)
			if failed = err; failed != nil {
				return
			}
			if committed {
				ended.Add(int64(fetches.NumRecords()))
			}
		}
	})
	v, err := t.measure(ctx, ended.Load)
	stop()
	loop.Wait()
	s.Close()
	return v, errors.Join(err, failed)
}
