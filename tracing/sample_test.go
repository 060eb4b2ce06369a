package tracing_test

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

// call calls a handler in a tracer's middleware, and returns its context.
func call(tr *tracing.Tracer, ctx context.Context, r *kgo.Record) (seen context.Context) { //nolint:revive // the record is what it is about
	handler := tr.Process()(func(ctx context.Context, _ *sluice.Delivery) error { seen = ctx; return nil }) //nolint:fatcontext // to be looked at
	_ = handler(ctx, &sluice.Delivery{Group: "g", Records: []*kgo.Record{r}, Attempt: 1})
	return seen
}

func TestSample(t *testing.T) {
	const sampled, not = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	tr := newTraced(t, tracing.Config{Sample: 0.1})
	for range 10_000 {
		call(tr.Tracer, t.Context(), &kgo.Record{Topic: "orders"})
	}
	if n := len(tr.recorder.Ended()); n < 800 || n > 1200 { // six standard deviations
		t.Errorf("%d of 10,000 have a span", n)
	}

	tr = newTraced(t, tracing.Config{Sample: 1e-12})
	plain := trace.SpanContextFromContext(call(tr.Tracer, t.Context(), &kgo.Record{Topic: "orders"}))
	if !plain.IsValid() || plain.IsSampled() {
		t.Errorf("what a call without a span does is in %v", plain)
	}
	_, inner := tr.provider.Tracer("http").Start(call(tr.Tracer, t.Context(), &kgo.Record{Topic: "orders"}), "GET")
	if inner.IsRecording() {
		t.Error("a call without a span begins a trace of its own")
	}
	cut := trace.SpanContextFromContext(call(tr.Tracer, t.Context(), carrying(not)))
	if cut.TraceID().String() != "1af7651916cd43dd8448eb211c80319c" || cut.IsSampled() {
		t.Errorf("a call whose sender is not sampled is in %v", cut)
	}
	if n := len(tr.recorder.Ended()); n > 0 {
		t.Errorf("%d spans", n)
	}
	call(tr.Tracer, t.Context(), carrying(sampled))
	if n := len(tr.recorder.Ended()); n != 1 {
		t.Errorf("%d spans for a sender that is sampled", n)
	}
	mine := trace.ContextWithSpanContext(t.Context(), plain)
	if got := call(tr.Tracer, mine, &kgo.Record{Topic: "orders"}); trace.SpanContextFromContext(got).SpanID() != plain.SpanID() {
		t.Error("a span that was there already is hidden")
	}
}

func carrying(traceparent string) *kgo.Record {
	return &kgo.Record{Topic: "orders", Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(traceparent)}}}
}

// A call that is left out stays in the span that a middleware in front of it began, whatever the sender says.
func TestALeftOutCallKeepsAMiddlewaresSpan(t *testing.T) {
	tr := newTraced(t, tracing.Config{Sample: 1e-12, Parent: true})
	for name, headers := range map[string][]kgo.RecordHeader{
		"no header":              nil,
		"a sender, not sampled":  carrying("00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00").Headers,
		"baggage alone":          {{Key: "baggage", Value: []byte("tenant=acme")}},
		"a context that is none": carrying("nonsense").Headers,
	} {
		mine, span := tr.provider.Tracer("middleware").Start(t.Context(), "mine")
		seen := call(tr.Tracer, mine, &kgo.Record{Topic: "orders", Headers: headers})
		if trace.SpanFromContext(seen) != span {
			t.Errorf("%s: the handler is in %v", name, trace.SpanContextFromContext(seen))
		}
		if got := baggage.FromContext(seen).Member("tenant").Value(); name == "baggage alone" && got != "acme" {
			t.Errorf("%s: the handler sees the tenant %q", name, got)
		}
		span.End()
	}
	if n := len(tr.named("process orders")); n > 0 {
		t.Errorf("%d spans", n)
	}
}

// A call that is left out allocates nothing: the cost of a topic with a million records a second.
func TestACallThatIsLeftOutAllocatesNothing(t *testing.T) {
	tr := newTraced(t, tracing.Config{Sample: 1e-12})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	handler := tr.Process()(func(context.Context, *sluice.Delivery) error { return nil })
	d := &sluice.Delivery{Group: "g", Records: []*kgo.Record{{Topic: "orders"}}, Attempt: 1}
	if n := testing.AllocsPerRun(1000, func() { _ = handler(ctx, d) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestABadShareIsRefused(t *testing.T) {
	_, err := tracing.New(tracing.Config{Sample: 1.5})
	if err == nil || !strings.Contains(err.Error(), "Config.Sample") {
		t.Error(err)
	}
}

func BenchmarkProcess(b *testing.B) {
	for name, cfg := range map[string]struct {
		sample  float64
		sampler sdk.Sampler
		header  string
	}{
		"left out":                {0.0001, sdk.AlwaysSample(), ""},
		"the SDK samples 0.01 %":  {1, sdk.TraceIDRatioBased(0.0001), ""},
		"sender not sampled":      {0.0001, sdk.AlwaysSample(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
		"sender not sampled, SDK": {1, sdk.TraceIDRatioBased(0.0001), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"},
	} {
		b.Run(name, func(b *testing.B) {
			tr, err := tracing.New(tracing.Config{
				Sample: cfg.sample, Propagator: propagation.TraceContext{}, TracerProvider: sdk.NewTracerProvider(sdk.WithSampler(cfg.sampler)),
			})
			if err != nil {
				b.Fatal(err)
			}
			r := &kgo.Record{Topic: "orders"}
			if cfg.header != "" {
				r = carrying(cfg.header)
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			handler := tr.Process()(func(context.Context, *sluice.Delivery) error { return nil })
			d := &sluice.Delivery{Group: "g", Records: []*kgo.Record{r}, Attempt: 1}
			b.ReportAllocs()
			for b.Loop() {
				_ = handler(ctx, d)
			}
		})
	}
}
