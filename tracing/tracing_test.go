package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/baggage"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
	"github.com/sluice-go/sluice/tracing"
)

// One record, from a request over a handler that fails at first to a second topic: each span, attribute by attribute.
func TestSpansOfARecord(t *testing.T) {
	for _, parent := range []bool{false, true} {
		t.Run(fmt.Sprintf("parent %v", parent), func(t *testing.T) {
			c := sluicetest.NewCluster(t, map[string]int32{"orders": 1, "bills": 1})
			tr := newTraced(t, tracing.Config{Parent: parent, Keys: true})
			p := tr.producer(t, c)

			member, _ := baggage.NewMember("tenant", "acme")
			bag, _ := baggage.New(member)
			ctx, request := tr.provider.Tracer("test").Start(baggage.ContextWithBaggage(t.Context(), bag), "request")
			record := &kgo.Record{Topic: "orders", Key: []byte("k1")}
			if err := p.Send(ctx, record); err != nil {
				t.Fatal(err)
			}
			request.End()
			if len(record.Headers) != 0 {
				t.Error("the caller's record has headers", record.Headers)
			}
			var tenant atomic.Value
			tr.run(t, c, func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{"orders"}, Decode: sluice.Text,
					Handle: func(ctx context.Context, m sluice.Message[string]) error {
						tenant.Store(baggage.FromContext(ctx).Member("tenant").Value())
						if m.Attempt == 1 {
							return kerr.NotEnoughReplicas
						}
						return p.Send(ctx, &kgo.Record{Topic: "bills", Value: []byte("v")})
					},
					Policy: sluice.Policy{Middleware: []sluice.Middleware{tr.Process()}},
				})
			})
			sent := tr.spans(t, c, "send orders", 1)[0]
			poll := tr.spans(t, c, "poll orders", 1)[0]
			process := tr.spans(t, c, "process orders", 2)
			bill := tr.spans(t, c, "send bills", 1)[0]
			commit := tr.spans(t, c, "commit orders", 1)[0]

			want(t, sent, "producer Unset", "messaging.client.id=string sluice", "messaging.destination.name=string orders",
				"messaging.destination.partition.id=string 0", "messaging.kafka.message.key=string k1", "messaging.kafka.message.tombstone=bool true",
				"messaging.kafka.offset=int64 0", "messaging.operation.name=string send", "messaging.operation.type=string send", "messaging.system=string kafka")
			want(t, poll, "client Unset", "messaging.batch.message_count=int64 1", "messaging.client.id=string sluice",
				"messaging.consumer.group.name=string g", "messaging.destination.name=string orders", "messaging.destination.partition.id=string 0",
				"messaging.operation.name=string poll", "messaging.operation.type=string receive", "messaging.system=string kafka")
			about := []string{
				"messaging.consumer.group.name=string g", "messaging.destination.name=string orders",
				"messaging.destination.partition.id=string 0", "messaging.kafka.message.key=string k1", "messaging.kafka.message.tombstone=bool true",
				"messaging.kafka.offset=int64 0", "messaging.operation.name=string process", "messaging.operation.type=string process", "messaging.system=string kafka",
			}
			want(t, process[0], append(append([]string{"consumer Error NOT_ENOUGH_REPLICAS", "error.type=string NOT_ENOUGH_REPLICAS"}, about...),
				"sluice.outcome=string retry")...)
			want(t, process[1], append(append([]string{"consumer Unset"}, about...), "sluice.attempt=int64 2")...)
			want(t, commit, "client Unset", "messaging.client.id=string sluice", "messaging.consumer.group.name=string g",
				"messaging.destination.name=string orders", "messaging.destination.partition.id=string 0", "messaging.kafka.offset=int64 1",
				"messaging.operation.name=string commit", "messaging.operation.type=string settle", "messaging.system=string kafka")

			if sent.Parent().SpanID() != request.SpanContext().SpanID() {
				t.Error("send is no child of the request")
			}
			if got := links(poll); !slices.Equal(got, []trace.SpanID{sent.SpanContext().SpanID()}) || poll.Parent().IsValid() {
				t.Errorf("poll has links %v, parent %v", got, poll.Parent().SpanID())
			}
			for _, s := range process {
				switch sender := sent.SpanContext().SpanID(); {
				case parent && (s.Parent().SpanID() != sender || len(s.Links()) > 0 || s.SpanContext().TraceID() != sent.SpanContext().TraceID()):
					t.Errorf("process has parent %v, links %v", s.Parent().SpanID(), links(s))
				case !parent && (s.Parent().IsValid() || !slices.Equal(links(s), []trace.SpanID{sender}) || s.SpanContext().TraceID() == sent.SpanContext().TraceID()):
					t.Errorf("process has parent %v, links %v", s.Parent().SpanID(), links(s))
				}
			}
			if bill.Parent().SpanID() != process[1].SpanContext().SpanID() {
				t.Error("what the handler sends is no child of its span")
			}
			if got := tenant.Load(); got != "acme" {
				t.Errorf("the handler sees the tenant %v", got)
			}
			r := c.Read("bills")[0]
			if header(r, "traceparent") != traceparent(bill) || header(r, "baggage") != "tenant=acme" {
				t.Errorf("headers %v", r.Headers)
			}
			if scope := bill.InstrumentationScope(); scope.SchemaURL != "https://opentelemetry.io/schemas/1.44.0" {
				t.Errorf("schema %s", scope.SchemaURL)
			}
		})
	}
}

// What a record says already is never written over, not even what cannot be read.
func TestARecordsOwnContextStays(t *testing.T) {
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1})
	tr := newTraced(t, tracing.Config{})
	p := tr.producer(t, c)
	room := make([]kgo.RecordHeader, 1, 8) // the caller's, with room that must stay his
	room[0] = kgo.RecordHeader{Key: "a", Value: []byte("b")}
	member, _ := baggage.NewMember("tenant", "acme")
	bag, _ := baggage.New(member)
	ctx, span := tr.provider.Tracer("test").Start(baggage.ContextWithBaggage(t.Context(), bag), "request")
	defer span.End()
	err := p.Send(ctx,
		&kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(own)}}},
		&kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("nonsense")}}},
		&kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{{Key: "baggage", Value: []byte("x=y")}}},
		&kgo.Record{Topic: "orders", Headers: room},
	)
	if err == nil {
		err = p.Send(t.Context(), &kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(own)}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := room[:2][1]; got.Key != "" {
		t.Errorf("the caller's array got %v", got)
	}
	spans := tr.spans(t, c, "send orders", 5)
	slices.SortFunc(spans, func(a, b sdk.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	rs := c.Read("orders")
	for i, want := range []string{own, "nonsense", traceparent(spans[2]), traceparent(spans[3]), own} {
		if got := header(rs[i], "traceparent"); got != want {
			t.Errorf("record %d has %q, want %q", i, got, want)
		}
	}
	for i, want := range []string{"", "", "x=y", "tenant=acme", ""} { // it goes with a context, and with none of somebody else's
		if got := header(rs[i], "baggage"); got != want {
			t.Errorf("record %d has the baggage %q, want %q", i, got, want)
		}
	}
	if s := spans[0]; s.SpanKind() != trace.SpanKindClient || links(s)[0].String() != "b7ad6b7169203331" || s.Parent().SpanID() != span.SpanContext().SpanID() {
		t.Errorf("%v, links %v, parent %v", s.SpanKind(), links(s), s.Parent().SpanID())
	}
	if s := spans[4]; s.Parent().SpanID().String() != "b7ad6b7169203331" || !s.Parent().IsRemote() {
		t.Errorf("without another parent it has %v", s.Parent().SpanID())
	}
}

// A dead letter is in the trace of its source, and so is what a TransactRoute's handler returns.
func TestDeadLettersKeepTheirTrace(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1, "dlq": 1})
	tr := newTraced(t, tracing.Config{})
	p := tr.producer(t, c)
	for _, value := range []string{"poison", "panic", "7"} {
		if err := p.Send(t.Context(), &kgo.Record{Topic: "orders", Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	tr.run(t, c, func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"},
			Decode: func(r *kgo.Record) (string, error) {
				if len(r.Value) == 1 {
					return "", errors.New("secret text")
				}
				return string(r.Value), nil
			},
			Handle: func(_ context.Context, m sluice.Message[string]) error {
				if m.Value == "panic" {
					panic("secret text")
				}
				return sluice.Poison(fmt.Errorf("secret text: %w", context.DeadlineExceeded))
			},
			Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}, Middleware: []sluice.Middleware{tr.Process()}},
		})
	})
	dead := tr.spans(t, c, "send dlq", 3)
	sent := tr.spans(t, c, "send orders", 3)
	kinds := []string{"context.deadlineExceededError", "panic", "decode"}
	outcomes := []string{"poison", "panic", "decode"}
	for i, s := range tr.spans(t, c, "process orders", 3) {
		for _, line := range []string{"consumer Error " + kinds[i], "error.type=string " + kinds[i], "sluice.outcome=string " + outcomes[i]} {
			if !slices.Contains(strings.Split(text(s), "\n"), line) {
				t.Errorf("without %q:\n%s", line, text(s))
			}
		}
		if strings.Contains(text(s), "secret") || len(s.Events()) > 0 {
			t.Errorf("an error's text is told:\n%s\n%v", text(s), s.Events())
		}
		if got := header(c.Read("dlq")[i], "traceparent"); got != traceparent(sent[i]) {
			t.Errorf("the dead letter has %q, want %q", got, traceparent(sent[i]))
		}
		if dead[i].Parent().SpanID() != sent[i].SpanContext().SpanID() {
			t.Errorf("the dead letter's span has the parent %v", dead[i].Parent().SpanID())
		}
	}
}

func TestWhatATransactionWritesIsOfItsHandlersTrace(t *testing.T) {
	c := sluicetest.NewCluster(t, map[string]int32{"orders": 1, "bills": 1})
	tr := newTraced(t, tracing.Config{})
	c.Produce(&kgo.Record{Topic: "orders", Value: []byte("v")})
	tr.run(t, c, func(app *sluice.App) error {
		return sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
				return []*kgo.Record{{Topic: "bills", Value: []byte(m.Value)}}, nil
			},
			Policy: sluice.Policy{Middleware: []sluice.Middleware{tr.Process()}},
		})
	})
	process, bill := tr.spans(t, c, "process orders", 1)[0], tr.spans(t, c, "send bills", 1)[0]
	tr.spans(t, c, "poll orders", 1)
	if bill.Parent().SpanID() != process.SpanContext().SpanID() {
		t.Errorf("parent %v", bill.Parent().SpanID())
	}
	c.WaitCommitted("g", "orders", 0, 1)
	if got := header(c.Read("bills")[0], "traceparent"); got != traceparent(bill) {
		t.Errorf("the record has %q, want %q", got, traceparent(bill))
	}
}

// A batch has one span, which links to each sender once.
func TestABatchHasOneSpan(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		t.Run(fmt.Sprintf("decodes ahead %v", ahead), func(t *testing.T) {
			c := sluicetest.NewCluster(t, map[string]int32{"orders": 1})
			tr := newTraced(t, tracing.Config{Parent: true})
			p := tr.producer(t, c)
			for range 3 {
				if err := p.Send(t.Context(), &kgo.Record{Topic: "orders"}); err != nil {
					t.Fatal(err)
				}
			}
			c.Produce(&kgo.Record{Topic: "orders"}) // of somebody without traces
			var sampled atomic.Bool
			tr.run(t, c, func(app *sluice.App) error {
				r := sluice.BatchRoute[string]{
					Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 4, MaxWait: 10e9,
					Handle: func(ctx context.Context, b sluice.Batch[string]) error {
						sampled.Store(trace.SpanContextFromContext(ctx).IsSampled())
						return &sluice.BatchError{Failed: map[int]error{1: sluice.Skip("no"), 2: kerr.NotEnoughReplicas}}
					},
				}
				if ahead {
					r.Handle = tracing.ProcessBatch(tr.Tracer, "g", r.Handle)
				} else {
					r.Policy.Middleware = []sluice.Middleware{tr.Process()}
				}
				return sluice.AddBatch(app, r)
			})
			c.WaitFor("a span", func() (string, bool) { return "none", len(tr.named("process orders")) > 0 })
			s := tr.named("process orders")[0]
			want(t, s, "consumer Error NOT_ENOUGH_REPLICAS", "error.type=string NOT_ENOUGH_REPLICAS", "messaging.batch.message_count=int64 4",
				"messaging.consumer.group.name=string g", "messaging.destination.name=string orders", "messaging.destination.partition.id=string 0",
				"messaging.operation.name=string process", "messaging.operation.type=string process", "messaging.system=string kafka", "sluice.outcome=string retry")
			var senders []trace.SpanID
			for _, s := range tr.spans(t, c, "send orders", 3) {
				senders = append(senders, s.SpanContext().SpanID())
			}
			if got := links(s); !slices.Equal(got, senders) || s.Parent().IsValid() {
				t.Errorf("links %v, want %v; parent %v", got, senders, s.Parent().SpanID())
			}
			if !sampled.Load() {
				t.Error("the handler is not in the span")
			}
		})
	}
}
