package sluice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice"
)

// A handler of a stream has one partition for itself, and may keep what it adds up in a variable.
func ExampleAddStream() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "totals"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sluice.AddStream(app, sluice.StreamRoute[Order]{
		Topics: []string{"orders"},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, s *sluice.Stream[Order]) error {
			cents := 0
			for m := range s.Messages() {
				cents += m.Value.Cents
				fmt.Printf("partition %d, offset %d: %d cents so far\n", s.Partition(), m.Offset(), cents)
				if m.Offset() == 2 {
					stop()
				}
			}
			return nil // the partition leaves, or the app stops
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Run(ctx))
	// Output:
	// partition 0, offset 0: 500 cents so far
	// partition 0, offset 1: 499 cents so far
	// partition 0, offset 2: 1399 cents so far
	// <nil>
}

// An operator has a running app handle a partition's records again, from one offset on, and holds a topic up meanwhile.
func ExampleApp_Seek() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing"})
	if err != nil {
		fmt.Println(err)
		return
	}
	handled := make(chan int64, 10)
	err = sluice.Add(app, sluice.Route[Order]{
		Topics: []string{"orders"},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			handled <- m.Offset()
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- app.Run(ctx) }()
	fmt.Println("handled", <-handled, <-handled, <-handled)

	fmt.Println("pause:", app.Pause("orders"))
	fmt.Println("seek:", app.Seek(ctx, "orders", 0, 1))
	fmt.Println("resume:", app.Resume("orders"))
	fmt.Println("handled", <-handled, <-handled)

	var seek *sluice.SeekError
	if err := app.Seek(ctx, "orders", 0, 1000); errors.As(err, &seek) {
		fmt.Println(seek)
	}
	stop()
	fmt.Println(<-ended)
	// Output:
	// handled 0 1 2
	// pause: <nil>
	// seek: <nil>
	// resume: <nil>
	// handled 1 2
	// seek orders[0] to 1000: the offset lies outside the log; give 0 to 3
	// <nil>
}

// What an app holds and does can be had as a value, or as JSON, at any time.
func ExampleApp_Snapshot() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	failed := make(chan struct{}, 10)
	err = sluice.Add(app, sluice.Route[Order]{
		Topics: []string{"orders"},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			if m.Value.Cents >= 0 {
				return nil
			}
			defer func() { failed <- struct{}{} }()
			return sluice.RetryAfter(errors.New("a negative amount"), time.Hour)
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- app.Run(ctx) }()
	<-failed

	var p sluice.PartitionSnapshot
	for p.Parked == 0 { // the handler has returned, and its outcome is about to be noted
		if all := app.Snapshot().Partitions; len(all) == 1 {
			p = all[0]
		}
	}
	text, err := json.Marshal(struct {
		Frontier int64  `json:"frontier"`
		Parked   int    `json:"parked"`
		Error    string `json:"last_error"`
	}{p.Frontier, p.Parked, p.LastError})
	fmt.Println(string(text), err)
	fmt.Println("ready:", app.Health().Ready)
	stop()
	fmt.Println(<-ended)
	// Output:
	// {"frontier":1,"parked":1,"last_error":"retry later: a negative amount"} <nil>
	// ready: true
	// <nil>
}
