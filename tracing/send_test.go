package tracing_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
	"github.com/sluice-go/sluice/tracing"
)

// other is a hook of somebody else, which keeps something in the record's context, too.
type other struct{ found atomic.Int64 }

type otherKey struct{}

func (*other) OnProduceRecordBuffered(r *kgo.Record) {
	r.Context = context.WithValue(r.Context, otherKey{}, true)
}

func (o *other) OnProduceRecordUnbuffered(r *kgo.Record, _ error) {
	if r.Context.Value(otherKey{}) != nil {
		o.found.Add(1)
	}
}

// Whatever other hooks put around a record's context stays, and a record that is sent again has a span again, of each sending one.
func TestOtherHooksKeepTheirContext(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1})
	tr := newTraced(t, tracing.Config{})
	cfg := tr.Producer(tr.Producer(c.Config("").Producer())) // twice, as App and Producer may both be
	another := new(other)
	client, err := kgo.NewClient(append(cfg.ClientOptions, kgo.SeedBrokers(cfg.Brokers...), kgo.WithHooks(another))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := &kgo.Record{Topic: "orders"}
	for range 2 {
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if got := another.found.Load(); got != 2 {
		t.Errorf("the other hook found its own %d times, want 2", got)
	}
	tr.spans(t, c, "send orders", 2)
}

// A record that is given the context of another one, which is on its way, has a span of its own.
func TestARecordInTheContextOfAnother(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1})
	tr := newTraced(t, tracing.Config{})
	cfg := tr.Producer(c.Config("").Producer())
	client, err := kgo.NewClient(append(cfg.ClientOptions, kgo.SeedBrokers(cfg.Brokers...), kgo.ManualFlushing())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	first := &kgo.Record{Topic: "orders"}
	client.Produce(t.Context(), first, nil)
	client.Produce(t.Context(), &kgo.Record{Topic: "orders", Context: first.Context}, nil)
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	tr.spans(t, c, "send orders", 2)
}

// The markers of transactions are no messages: a poll does not count them, and one of nothing else has no span.
func TestPollsDoNotCountMarkers(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1})
	tr := newTraced(t, tracing.Config{})
	cfg := c.Config("")
	client, err := kgo.NewClient(append(cfg.ClientOptions, kgo.SeedBrokers(cfg.Brokers...), kgo.TransactionalID("t"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transaction := func(n int, commit kgo.TransactionEndTry) {
		t.Helper()
		err := client.BeginTransaction()
		for range n {
			if err == nil {
				err = client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders"}).FirstErr()
			}
		}
		if err == nil {
			err = client.EndTransaction(t.Context(), commit)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	tr.run(t, c, func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Handle: func(context.Context, sluice.Message[string]) error { return nil },
		})
	})
	transaction(3, kgo.TryCommit)
	c.WaitCommitted("g", "orders", 0, 3)
	transaction(2, kgo.TryAbort)
	transaction(1, kgo.TryCommit)
	c.WaitCommitted("g", "orders", 0, 8) // 3 and a marker, 2 and a marker, 1
	counted := int64(0)
	for _, s := range tr.named("poll orders") {
		for _, a := range s.Attributes() {
			if a.Key == "messaging.batch.message_count" {
				if counted += a.Value.AsInt64(); a.Value.AsInt64() == 0 {
					t.Error("a poll without messages has a span")
				}
			}
		}
	}
	if counted != 4 {
		t.Errorf("polls count %d messages, want 4", counted)
	}
}
