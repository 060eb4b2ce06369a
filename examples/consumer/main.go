// Command consumer is a member of a group that handles orders. Start it more than once, and the partitions are shared out; the
// records of partitions that stay go on meanwhile. The first Ctrl-C lets what runs end, commits and leaves; the second does not
// wait.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sluice-go/sluice"
)

// Order is what a record holds.
type Order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Amount   int64  `json:"amount"`
}

func main() {
	topic := flag.String("topic", "orders", "topic, which must exist")
	group := flag.String("group", "billing", "consumer group")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := consume(ctx, *topic, *group)
	stop()
	if err != nil {
		slog.Error("consumer", "err", err)
		os.Exit(1)
	}
}

func consume(ctx context.Context, topic, group string) error {
	app, err := sluice.New(sluice.Config{
		Brokers:      strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "localhost:9092"), ","),
		Group:        group,
		DrainTimeout: 10 * time.Second,
		Events: sluice.Events{ // what the guide's Setup and Cleanup are for
			Assigned: func(i sluice.AssignedInfo) { slog.Info("assigned", "topic", i.Topic, "partition", i.Partition) },
			Released: func(i sluice.ReleasedInfo) {
				slog.Info("released", "topic", i.Topic, "partition", i.Partition, "next", i.Frontier)
			},
		},
	})
	if err != nil {
		return err
	}
	var orders, total atomic.Int64
	err = sluice.Add(app, sluice.Route[Order]{
		Topics: []string{topic},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			orders.Add(1)
			total.Add(m.Value.Amount)
			return nil
		},
	})
	if err != nil {
		return err
	}
	go func() { // a second signal
		<-ctx.Done()
		again, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		<-again.Done()
		app.Abort()
	}()
	err = app.Run(ctx) // nil after a clean drain
	fmt.Printf("%d orders, %d in all\n", orders.Load(), total.Load())
	return err
}
