package sluicetest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
)

// Order is what the examples' records hold.
type Order struct {
	Customer string `json:"customer"`
	Cents    int    `json:"cents"`
}

// billing is the route under test: it charges orders, and refuses those that have no amount.
func billing(charge func(Order) error) sluice.Route[Order] {
	return sluice.Route[Order]{
		Topics: []string{"orders"}, Decode: sluice.JSON[Order],
		Handle: func(_ context.Context, m sluice.Message[Order]) error {
			if m.Value.Cents <= 0 {
				return sluice.Poison(errors.New("no amount"))
			}
			return charge(m.Value)
		},
		Policy: sluice.Policy{
			Ordering: sluice.ByKey, Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
		},
	}
}

func fine(Order) error { return nil }

func TestBadOrdersGoToTheDeadLetters(t *testing.T) {
	got := sluicetest.Deliver(t, billing(fine),
		&kgo.Record{Value: []byte(`{"customer":"ann","cents":500}`)},
		&kgo.Record{Value: []byte(`{"customer":"bob"}`)})
	if got[0].Kind != sluicetest.Finished {
		t.Error(got[0]) // orders[0]@0 retried after 10 attempts: …
	}
	if got[1].Kind != sluicetest.DeadLettered || got[1].Header(sluice.HeaderError) != "poison: no amount" {
		t.Error(got[1])
	}
}

func TestAnAppBillsEachOrder(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 3, "orders.dlq": 1})
	app, err := sluice.New(c.Config("billing")) // or your own Config, with c.Config("").Brokers
	if err == nil {
		err = sluice.Add(app, billing(fine))
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Run(app) // until the test ends
	c.Produce(&kgo.Record{Topic: "orders", Partition: 2, Value: []byte(`{"customer":"ann","cents":500}`)})
	c.NotEnoughReplicas("orders.dlq", 1) // the dead letter has to be written again
	c.Produce(&kgo.Record{Topic: "orders", Partition: 2, Value: []byte(`not JSON`)})
	c.WaitCommitted("billing", "orders", 2, 2)
	if dead := c.Read("orders.dlq"); len(dead) != 1 || string(dead[0].Value) != "not JSON" {
		t.Error(dead)
	}
}

func TestACrashLosesNoOrder(t *testing.T) {
	sluicetest.Bubble(t, map[string]int32{"orders": 1, "orders.dlq": 1}, func(t *testing.T, c *sluicetest.Cluster) {
		var charged atomic.Int64
		start := func(link *sluicetest.Link) {
			app, err := sluice.New(link.Config("billing"))
			if err == nil {
				err = sluice.Add(app, billing(func(Order) error {
					time.Sleep(time.Minute) // virtual: takes no time
					charged.Add(1)
					return nil
				}))
			}
			if err != nil {
				t.Fatal(err)
			}
			link.Run(app)
		}
		first := c.NewLink()
		start(first)
		for range 3 {
			c.Produce(&kgo.Record{Topic: "orders", Key: []byte("ann"), Value: []byte(`{"customer":"ann","cents":500}`)})
		}
		c.WaitCommitted("billing", "orders", 0, 1)
		first.Cut()   // it crashes: nobody leaves the group
		start(c.Link) // another process
		c.WaitCommitted("billing", "orders", 0, 3)
		if n := charged.Load(); n < 3 || n > 4 {
			t.Errorf("%d charges of 3 orders, one of which was under way", n)
		}
	})
}

func ExampleDeliver() {
	t := new(aTest) // yours is a *testing.T
	for _, outcome := range sluicetest.Deliver(t, billing(fine),
		&kgo.Record{Value: []byte(`{"customer":"ann","cents":500}`)},
		&kgo.Record{Value: []byte(`{"customer":"bob"}`)},
	) {
		fmt.Println(outcome)
	}
	// Output:
	// orders[0]@0 finished
	// orders[0]@1 dead-lettered to orders.dlq: poison: no amount
}

func ExampleDeliver_retries() {
	t := new(aTest)
	away := errors.New("the bank is away")
	outcomes := sluicetest.Deliver(t, billing(func(o Order) error {
		if o.Customer == "ann" {
			return sluice.RetryAfter(away, time.Hour)
		}
		return nil
	}),
		&kgo.Record{Key: []byte("ann"), Value: []byte(`{"customer":"ann","cents":500}`)},
		&kgo.Record{Key: []byte("bob"), Value: []byte(`{"customer":"bob","cents":500}`)},
	)
	fmt.Println(outcomes[0].Kind, outcomes[0].Attempts, outcomes[0].Waits, outcomes[0].Header(sluice.HeaderErrorClass))
	fmt.Println(outcomes[1].Kind)
	// Output:
	// dead-lettered 3 [1h0m0s 1h0m0s] attempts
	// finished
}

func ExampleDeliverBatch() {
	t := new(aTest)
	route := sluice.BatchRoute[Order]{
		Topics: []string{"orders"}, Decode: sluice.JSON[Order], MaxSize: 2,
		Handle: func(_ context.Context, b sluice.Batch[Order]) error {
			fmt.Println("a batch of", len(b.Messages))
			return nil
		},
		Policy: sluice.Policy{OnFailure: sluice.Drop{}},
	}
	for _, outcome := range sluicetest.DeliverBatch(t, route,
		&kgo.Record{Value: []byte(`{"customer":"ann","cents":500}`)},
		&kgo.Record{Value: []byte(`not JSON`)},
		&kgo.Record{Value: []byte(`{"customer":"bob","cents":500}`)},
	) {
		fmt.Println(outcome.Kind)
	}
	// Output:
	// a batch of 1
	// a batch of 1
	// finished
	// dropped
	// finished
}

func ExampleNewCluster() {
	t := new(aTest)
	defer t.end()
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1, "orders.dlq": 1})
	app, err := sluice.New(c.Config("billing"))
	if err == nil {
		err = sluice.Add(app, billing(fine))
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	c.Run(app)
	c.Produce(&kgo.Record{Topic: "orders", Value: []byte(`{"customer":"bob"}`)})
	for _, dead := range c.WaitRecords("orders.dlq", 1) {
		fmt.Printf("%s\n", dead.Value)
	}
	c.WaitCommitted("billing", "orders", 0, 1)
	fmt.Println("committed at", c.Committed("billing", "orders", 0))
	// Output:
	// {"customer":"bob"}
	// committed at 1
}

// aTest stands for the *testing.T of a test function, which an example has not.
type aTest struct {
	testing.TB
	cleanups []func()
}

func (*aTest) Context() context.Context          { return context.Background() }
func (*aTest) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (*aTest) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (*aTest) Helper()                           {}
func (*aTest) Output() io.Writer                 { return io.Discard }
func (t *aTest) Cleanup(f func())                { t.cleanups = append(t.cleanups, f) }

func (t *aTest) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
