package tracing_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
	"github.com/sluice-go/sluice/tracing"
)

// traced is a tracer and what it recorded.
type traced struct {
	*tracing.Tracer

	recorder *tracetest.SpanRecorder
	provider *sdk.TracerProvider
}

func newTraced(t *testing.T, cfg tracing.Config) *traced {
	t.Helper()
	r := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(r))
	cfg.TracerProvider = provider
	cfg.Propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &traced{tracer, r, provider}
}

// spans waits for n spans of a name, and returns them in the order of their ends.
func (tr *traced) spans(t *testing.T, c *sluicetest.Cluster, name string, n int) (found []sdk.ReadOnlySpan) {
	t.Helper()
	c.WaitFor(fmt.Sprintf("%d spans %q", n, name), func() (string, bool) {
		found = tr.named(name)
		return fmt.Sprintf("%d spans", len(found)), len(found) >= n
	})
	if len(found) != n {
		t.Fatalf("%d spans %q, want %d", len(found), name, n)
	}
	return found
}

// named are the spans of a name that have ended.
func (tr *traced) named(name string) (found []sdk.ReadOnlySpan) {
	for _, s := range tr.recorder.Ended() {
		if s.Name() == name {
			found = append(found, s)
		}
	}
	return found
}

// text is what a span says, a line each.
func text(s sdk.ReadOnlySpan) string {
	var lines []string
	for _, a := range s.Attributes() {
		lines = append(lines, fmt.Sprintf("%s=%s %s", a.Key, strings.ToLower(a.Value.Type().String()), a.Value.String()))
	}
	slices.Sort(lines)
	status := s.Status().Code.String() + " " + s.Status().Description
	return s.SpanKind().String() + " " + strings.TrimSpace(status) + "\n" + strings.Join(lines, "\n")
}

func want(t *testing.T, s sdk.ReadOnlySpan, lines ...string) {
	t.Helper()
	if got, want := text(s), strings.Join(lines, "\n"); got != want {
		t.Errorf("span %s says\n%s\nwant\n%s", s.Name(), got, want)
	}
}

// links are the spans that a span has links to.
func links(s sdk.ReadOnlySpan) (ids []trace.SpanID) {
	for _, l := range s.Links() {
		ids = append(ids, l.SpanContext.SpanID())
	}
	return ids
}

// producer is a traced producer of the cluster.
func (tr *traced) producer(t *testing.T, c *sluicetest.Cluster) *sluice.Producer {
	t.Helper()
	cfg := c.Config("")
	p, err := sluice.NewProducer(tr.Producer(cfg.Producer()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// run runs a traced app.
func (tr *traced) run(t *testing.T, c *sluicetest.Cluster, add func(*sluice.App) error) (stop func() error) {
	t.Helper()
	app, err := sluice.New(tr.App(c.Config("g")))
	if err == nil {
		err = add(app)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c.Run(app)
}

// header is the value of a record's header; of two it is both.
func header(r *kgo.Record, name string) string {
	var values []string
	for _, h := range r.Headers {
		if h.Key == name {
			values = append(values, string(h.Value))
		}
	}
	return strings.Join(values, "|")
}

// traceparent is what goes into the header for a span.
func traceparent(s sdk.ReadOnlySpan) string {
	return fmt.Sprintf("00-%s-%s-01", s.SpanContext().TraceID(), s.SpanContext().SpanID())
}
