package sluice_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

func ExampleProducer_Send() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx := context.Background()
	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: brokers})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }()

	err = p.Send(ctx,
		&kgo.Record{Topic: "orders", Key: []byte("dee"), Value: []byte(`{"cents":5}`)},
		&kgo.Record{Topic: "oders", Key: []byte("eve"), Value: []byte(`{"cents":7}`)},
		&kgo.Record{Topic: "orders", Key: []byte("fay"), Value: make([]byte, 2<<20)},
	)
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var failed *sluice.ProduceError
		errors.As(e, &failed)
		fmt.Printf("%d %s: unknown topic %t, too large %t\n", failed.Index, failed.Record.Key,
			errors.Is(e, sluice.ErrUnknownTopic), errors.Is(e, sluice.ErrTooLarge))
	}
	// Output:
	// 1 eve: unknown topic true, too large false
	// 2 fay: unknown topic false, too large true
}

func ExampleTopic() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx := context.Background()
	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: brokers})
	if err != nil {
		fmt.Println(err)
		return
	}
	orders, err := sluice.NewTopic(p, sluice.TopicConfig[Order]{
		Name:   "orders",
		Encode: sluice.EncodeJSON[Order],
		Key:    func(o Order) []byte { return []byte(o.Customer) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(orders.Send(ctx, Order{"dee", 500}, Order{"eve", 700})) // waits
	orders.Enqueue(ctx, Order{"fay", 900}, func(r *kgo.Record, err error) {
		fmt.Println(string(r.Key), r.Offset, err)
	})
	fmt.Println(p.Flush(ctx))
	fmt.Println(orders.Tombstone(ctx, []byte("dee"))) // what a compacted topic has of dee goes
	fmt.Println(p.Close(ctx))
	// Output:
	// <nil>
	// fay 5 <nil>
	// <nil>
	// <nil>
	// <nil>
}
