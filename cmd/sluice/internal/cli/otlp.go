package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
	"github.com/sluice-go/sluice/internal/fold"
	"github.com/sluice-go/sluice/tracing"
)

// otlpURL is where spans go: --otlp, or what OpenTelemetry's own variables say; empty: nowhere.
func (p *Process) otlpURL(flag string) (string, error) {
	target, from := flag, "--otlp"
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if value, ok := p.Env(name); target == "" && ok {
			target, from = value, name
		}
	}
	if target == "" {
		return "", nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" { // what it holds may be a secret
		return "", usagef("%s is no URL like http://127.0.0.1:4318, where a collector takes OTLP by HTTP", from)
	}
	if u.Path == "" || u.Path == "/" || from == "OTEL_EXPORTER_OTLP_ENDPOINT" {
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// trace sets a pipeline's spans up. They are sent in the background: while they cannot be, they are dropped, which is logged. stop sends
// what is left, for as long as its context allows. Sampler, headers, certificates and the service's name come from OpenTelemetry's
// variables (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_SERVICE_NAME …).
func (p *Process) trace(ctx context.Context, target, name, group string, logger *slog.Logger) (
	spans *pipeline.Spans, stop func(context.Context), err error,
) {
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target))
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", name)), resource.WithTelemetrySDK(),
		resource.WithFromEnv()) // the last one counts
	if err != nil {
		return nil, nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	logger = slog.New(fold.New(logger.Handler()))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(&lossyExporter{exporter, logger}), sdk.WithResource(about))
	tracer, err := tracing.New(tracing.Config{
		Propagator:     propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		TracerProvider: provider,
	})
	if err != nil {
		return nil, nil, err
	}
	return &pipeline.Spans{Tracer: tracer, Group: group, SQL: provider.Tracer("github.com/sluice-go/sluice/cmd/sluice")},
		func(ctx context.Context) { _ = provider.Shutdown(ctx) }, nil // what it would say is logged
}

// lossyExporter logs that spans were not sent.
type lossyExporter struct {
	sdk.SpanExporter

	logger *slog.Logger
}

// ExportSpans implements sdk.SpanExporter.
func (e *lossyExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.logger.Warn("spans could not be sent; they are dropped", "event", "spans_dropped", "spans", len(spans), "err", err)
	}
	return nil
}
