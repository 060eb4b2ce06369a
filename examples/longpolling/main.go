// Command longpolling consumes a stream of 5,000 small records a second in two ways: with Kafka's defaults, where a broker
// answers as soon as there is anything, and with fetch.min.bytes = 100,000 and fetch.max.wait.ms = 500, where it waits until there
// is enough. The second makes far fewer round trips, and every record comes later, by up to half a second.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

func main() {
	topic := flag.String("topic", "ticks", "topic, which must exist")
	d := flag.Duration("time", 5*time.Second, "how long each way is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compare(ctx, *topic, *d)
	stop()
	if err != nil {
		slog.Error("longpolling", "err", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, topic string, d time.Duration) error {
	err := measure(ctx, "as soon as there is anything", sluice.Fetch{}, topic, d)
	if err != nil {
		return err
	}
	enough := sluice.Fetch{MinBytes: 100_000, MaxWait: 500 * time.Millisecond}
	return measure(ctx, "100,000 bytes or 500 ms", enough, topic, d)
}

// fetches counts the client's round trips.
type fetches struct{ n atomic.Int64 }

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (f *fetches) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if kmsg.Key(key) == kmsg.Fetch {
		f.n.Add(1)
	}
}

func measure(ctx context.Context, name string, fetch sluice.Fetch, topic string, d time.Duration) error {
	brokers := strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "localhost:9092"), ",")
	var trips fetches
	app, err := sluice.New(sluice.Config{
		Brokers: brokers, Group: "longpolling", Fetch: fetch, Start: sluice.Latest(),
		ClientOptions: []kgo.Opt{kgo.WithHooks(&trips)},
	})
	if err != nil {
		return err
	}
	var records, late atomic.Int64
	err = sluice.Add(app, sluice.Route[[]byte]{
		Topics: []string{topic}, Decode: sluice.Raw,
		Handle: func(_ context.Context, m sluice.Message[[]byte]) error {
			records.Add(1)
			late.Add(int64(time.Since(m.Timestamp())))
			return nil
		},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var wg sync.WaitGroup
	var produceErr error
	wg.Go(func() { produceErr = tick(ctx, brokers, topic) })
	err = errors.Join(app.Run(ctx), ctx.Err())
	wg.Wait()
	if err = errors.Join(ignoreDeadline(err), produceErr); err != nil {
		return err
	}
	n, round := max(1, records.Load()), max(1, trips.n.Load())
	fmt.Printf("%-30s %6d records in %5d fetches, %7.1f records a fetch, %v late on average\n",
		name+":", n, round, float64(n)/float64(round), time.Duration(late.Load()/n).Round(time.Millisecond))
	return nil
}

// tick produces 5,000 records of 100 bytes a second until ctx ends.
func tick(ctx context.Context, brokers []string, topic string) error {
	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: brokers})
	if err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	every := time.NewTicker(2 * time.Millisecond)
	defer every.Stop()
	for ctx.Err() == nil {
		for range 10 {
			p.Enqueue(context.WithoutCancel(ctx), &kgo.Record{Topic: topic, Value: make([]byte, 100)}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
			})
		}
		select {
		case <-ctx.Done():
		case <-every.C:
		}
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := p.Close(limit); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// ignoreDeadline: the time being up is how a measurement ends.
func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
