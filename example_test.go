package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// Order is what the examples' topics hold.
type Order struct {
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// exampleCluster is a broker inside this process, on 127.0.0.1. Its topics have one partition and hold some orders.
func exampleCluster(topics ...string) (brokers []string, stop func()) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics...))
	if err != nil {
		panic(err)
	}
	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: cluster.ListenAddrs()})
	if err != nil {
		panic(err)
	}
	for _, value := range []string{`{"customer":"ann","cents":500}`, `{"customer":"bob","cents":-1}`, `{"customer":"cid","cents":900}`} {
		if err := p.Send(context.Background(), &kgo.Record{Topic: topics[0], Value: []byte(value)}); err != nil {
			panic(err)
		}
	}
	if err := p.Close(context.Background()); err != nil {
		panic(err)
	}
	return cluster.ListenAddrs(), cluster.Close
}

func Example() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background()) // a program: signal.NotifyContext
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
			fmt.Println(m.Offset(), m.Value.Customer, m.Value.Cents)
			if m.Value.Customer == "cid" {
				stop()
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Run(ctx)) // nil after a clean drain
	// Output:
	// 0 ann 500
	// 1 bob -1
	// 2 cid 900
	// <nil>
}

func ExampleAddBatch() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing"})
	if err != nil {
		fmt.Println(err)
		return
	}
	sum := 0
	err = sluice.AddBatch(app, sluice.BatchRoute[Order]{
		Topics:  []string{"orders"},
		Decode:  sluice.JSON[Order],
		MaxSize: 3,
		MaxWait: time.Second,
		Handle: func(_ context.Context, b sluice.Batch[Order]) error {
			failed := map[int]error{}
			for i, m := range b.Messages {
				if m.Value.Cents < 0 {
					failed[i] = sluice.Skip("a refund")
					continue
				}
				sum += m.Value.Cents
			}
			if b.Next == 3 {
				stop()
			}
			if len(failed) > 0 {
				return &sluice.BatchError{Failed: failed} // the others succeeded
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Run(ctx), sum, app.Stats().Skipped)
	// Output: <nil> 1400 1
}

func ExampleDeadLetter() {
	brokers, stopBroker := exampleCluster("orders", "orders.dlq")
	defer stopBroker()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: "billing", Events: sluice.Events{
		DeadLettered: func(i sluice.FailedInfo) {
			fmt.Printf("offset %d after %d attempt: %v\n", i.Record.Offset, i.Attempts, i.Err)
			stop()
		},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sluice.Add(app, sluice.Route[Order]{
		Topics: []string{"orders"},
		Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			if m.Value.Cents < 0 {
				return sluice.Poison(errors.New("a negative amount")) // no attempt can help
			}
			return nil
		},
		Policy: sluice.Policy{
			Retry:     sluice.Retry{MaxAttempts: 8},
			OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Run(ctx))
	// Output:
	// offset 1 after 1 attempt: poison: a negative amount
	// <nil>
}

func ExampleFromProperties() {
	cfg, err := sluice.FromProperties(strings.NewReader(`
# As Kafka's own tools have it.
bootstrap.servers = broker-1:9093, broker-2:9093
security.protocol = SASL_SSL
sasl.mechanism    = SCRAM-SHA-512
sasl.jaas.config  = org.apache.kafka.common.security.scram.ScramLoginModule required \
    username="billing" \
    password="secret";
`))
	fmt.Println(cfg.Brokers, cfg.SASL, cfg.TLS != nil, err)

	_, err = sluice.FromProperties(strings.NewReader("bootstrap.server=broker-1:9092\nsession.timeout.ms=45s\n"))
	fmt.Println(err)
	// Output:
	// [broker-1:9093 broker-2:9093] SCRAM-SHA-512 as "billing" true <nil>
	// line 1: bootstrap.server: not known; did you mean bootstrap.servers?
	// line 2: session.timeout.ms (SessionTimeout): "45s": accepted are whole numbers from 100 to 2147483647, in milliseconds
}

func ExampleProducer() {
	brokers, stopBroker := exampleCluster("orders")
	defer stopBroker()
	ctx := context.Background()

	p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: brokers})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = p.Close(ctx) }()

	err = p.Send(ctx, &kgo.Record{Topic: "orders", Key: []byte("dee"), Value: []byte(`{}`)})
	fmt.Println("sent:", err)

	p.Enqueue(ctx, &kgo.Record{Topic: "orders", Key: []byte("eve"), Value: []byte(`{}`)}, func(r *kgo.Record, err error) {
		fmt.Println("acknowledged at offset", r.Offset, err)
	})
	fmt.Println("flushed:", p.Flush(ctx))
	// Output:
	// sent: <nil>
	// acknowledged at offset 4 <nil>
	// flushed: <nil>
}
