package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice"
)

// A record that may need longer comes back after a while, and those behind it are handled meanwhile.
func ExamplePolicy_retryTopics() {
	brokers, stopBroker := exampleCluster("orders", "orders.dlq")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sluice.Add(app, sluice.Route[Order]{
		Topics: []string{"orders"},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			fmt.Printf("%s, attempt %d\n", m.Value.Customer, m.Attempt)
			if m.Value.Customer == "bob" && m.Attempt == 1 {
				return errors.New("the account is locked")
			}
			if m.Attempt == 2 {
				stop()
			}
			return nil
		},
		Policy: sluice.Policy{
			Retry:       sluice.Retry{MaxAttempts: 1}, // in place
			RetryTopics: []time.Duration{time.Second, time.Hour},
			OnFailure:   sluice.DeadLetter{Topic: "orders.dlq"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Run(ctx))
	// Output:
	// ann, attempt 1
	// bob, attempt 1
	// cid, attempt 1
	// bob, attempt 2
	// <nil>
}
