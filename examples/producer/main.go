// Command producer writes orders to a topic: keyed by customer, so that a customer's orders stay in order, in the background,
// with every failure told. Ctrl-C ends it; what was enqueued by then is delivered.
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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func main() {
	topic := flag.String("topic", "orders", "topic, which must exist")
	count := flag.Int("n", 10_000, "orders to write; -1: until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := produce(ctx, *topic, *count)
	stop()
	if err != nil {
		slog.Error("producer", "err", err)
		os.Exit(1)
	}
}

func produce(ctx context.Context, topic string, count int) (err error) {
	p, err := sluice.NewProducer(sluice.ProducerConfig{
		Brokers:     strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "localhost:9092"), ","),
		Compression: sluice.LZ4,
		Linger:      5 * time.Millisecond, // larger batches, and every order 5 ms later
	})
	if err != nil {
		return err
	}
	if err := p.Ping(ctx); err != nil { // a wrong address or login shows now, not as records that time out
		return err
	}
	var delivered, failed atomic.Int64
	for i := 0; i != count && ctx.Err() == nil; i++ {
		order := &kgo.Record{
			Topic: topic,
			Key:   fmt.Appendf(nil, "customer-%d", i%100),
			Value: fmt.Appendf(nil, `{"id":%d,"customer":"customer-%d","amount":%d}`, i, i%100, i%500+1),
		}
		// Not with ctx: what was enqueued is to be delivered, also after Ctrl-C.
		p.Enqueue(context.WithoutCancel(ctx), order, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
				slog.Error("order not delivered", "err", err) // says which, and why
				return
			}
			delivered.Add(1)
		})
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err = p.Close(limit)
	fmt.Printf("%d delivered, %d failed\n", delivered.Load(), failed.Load())
	if failed.Load() > 0 {
		err = errors.Join(err, errors.New("some orders were not delivered"))
	}
	return err
}
