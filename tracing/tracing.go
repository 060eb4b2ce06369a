// Package tracing makes OpenTelemetry's spans of what an app and a producer do, by the conventions for messaging (1.44): send, poll,
// process and commit.
//
//	tracer, err := tracing.New(tracing.Config{})        // the global TracerProvider and propagator
//	app, err := sluice.New(tracer.App(cfg))             // poll and commit, and send for what an app writes by itself
//	policy.Middleware = []sluice.Middleware{tracer.Process()}  // process, on each route
//	producer, err := sluice.NewProducer(tracer.Producer(cfg))  // send
//
// The context of a span travels in the headers of its record, as the propagator writes it: W3C's traceparent, tracestate and baggage, where
// it is set up so. A record that has a context already keeps it, whoever sends it: a dead letter and a copy for a retry topic stay in
// the trace of their source.
//
// A process span is the root of a trace of its own, and has a link to the span that sent its record, as the conventions have it: there may
// be many readers, days later. Config.Parent makes it the child instead, and all of it one trace. A batch has one span, with links to what
// sent its records.
//
// This package needs OpenTelemetry's API alone. What samples and sends spans, the SDK, is set up by the program. docs/tracing.md shows how.
package tracing

import (
	"context"
	"math"
	"strconv"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

const (
	scope  = "github.com/sluice-go/sluice/tracing"
	schema = "https://opentelemetry.io/schemas/1.44.0"
)

// Config says how spans are made. Zero values are the defaults.
type Config struct {
	// Keys puts the records' keys into spans (messaging.kafka.message.key), where they are text. They often name persons. Zero: left out.
	Keys bool

	// Parent makes the process span of a single record the child of the span that sent it, so that both are of one trace. Spans of
	// batches keep links: they would have many parents. Zero: a link.
	Parent bool

	// Propagator writes contexts to headers and reads them. Nil: otel.GetTextMapPropagator(), as it is when a record goes by: by
	// default one that does nothing, so set one up.
	Propagator propagation.TextMapPropagator

	// Sample is the share of the calls of handlers for which a sampler is asked at all, from 0 to 1, for topics of many thousand
	// records a second: the SDK's sampler alone takes a good part of a microsecond. The others get no span, and what they send
	// is not sampled either, unless a middleware in front has begun a span. A record whose sender was sampled always gets one. With
	// Sample give the SDK a sampler that keeps roots: 1 % is Sample 0.01 and AlwaysSample. Zero: 1, the sampler is always asked.
	Sample float64

	// TracerProvider makes the spans. Nil: otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
}

// Tracer makes spans. It may be used by any number of apps, routes and producers at the same time.
type Tracer struct {
	cfg     Config
	tracer  trace.Tracer
	skipped contexts
}

// New makes a Tracer. Its error is a *sluice.ConfigError.
func New(cfg Config) (*Tracer, error) {
	if math.IsNaN(cfg.Sample) || cfg.Sample < 0 || cfg.Sample > 1 {
		return nil, &sluice.ConfigError{
			Field: "Config.Sample", Value: strconv.FormatFloat(cfg.Sample, 'g', -1, 64),
			Problem: "is no share; give one from 0 to 1, or 0 for 1: the sampler is always asked",
		}
	}
	if cfg.Sample == 0 {
		cfg.Sample = 1
	}
	provider := cfg.TracerProvider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return &Tracer{cfg: cfg, tracer: provider.Tracer(scope, trace.WithSchemaURL(schema))}, nil
}

func (t *Tracer) propagator() propagation.TextMapPropagator {
	if t.cfg.Propagator != nil {
		return t.cfg.Propagator
	}
	return otel.GetTextMapPropagator()
}

// of is a context that goes with a record: what its headers say, added to ctx.
func (t *Tracer) of(ctx context.Context, c *carrier) context.Context {
	if len(c.Headers) == 0 {
		return ctx
	}
	return t.propagator().Extract(ctx, c)
}
