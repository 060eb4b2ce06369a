package main

import (
	"context"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

const sampled = 0.01

// traced has an app traced as docs/tracing.md says for many records a second, with an exporter that sends nothing. flush ends the SDK.
func traced(cfg *sluice.Config, policy *sluice.Policy) (flush func(context.Context) error, err error) {
	spans := new(counting)
	provider := sdk.NewTracerProvider(sdk.WithBatcher(spans), sdk.WithSampler(sdk.ParentBased(sdk.AlwaysSample())))
	tracer, err := tracing.New(tracing.Config{Sample: sampled, TracerProvider: provider, Propagator: propagation.TraceContext{}})
	if err != nil {
		return nil, err
	}
	*cfg = tracer.App(*cfg)
	policy.Middleware = append(policy.Middleware, tracer.Process())
	return func(ctx context.Context) error {
		err := provider.Shutdown(ctx)
		if err == nil && spans.n.Load() == 0 {
			err = errors.New("no span was made")
		}
		return err
	}, nil
}

// counting is an exporter.
type counting struct{ n atomic.Int64 }

// ExportSpans implements sdk.SpanExporter.
func (c *counting) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	c.n.Add(int64(len(spans)))
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (c *counting) Shutdown(context.Context) error { return nil }
