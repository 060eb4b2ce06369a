package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
	"github.com/sluice-go/sluice/internal/fold"
	"github.com/sluice-go/sluice/tracing"
)

// otlpURL is where spans go: --otlp, or what OpenTelemetry's own variables say; empty: nowhere. Those may be set for other programs, so
// what cannot be used of them is logged, and the pipeline goes without spans.
func (p *Process) otlpURL(flag string) (string, error) {
	if flag != "" {
		target, err := otlpTarget(flag, false)
		if err != nil {
			return "", usagef("--otlp %w", err)
		}
		return target, nil
	}
	value := func(name string) string {
		v, _ := p.Env(name)
		return v
	}
	name, general := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", false
	if value(name) == "" {
		name, general = "OTEL_EXPORTER_OTLP_ENDPOINT", true
	}
	if value(name) == "" || strings.EqualFold(value("OTEL_SDK_DISABLED"), "true") || value("OTEL_TRACES_EXPORTER") == "none" {
		return "", nil
	}
	target, err := otlpTarget(value(name), general)
	protocol := cmp.Or(value("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), value("OTEL_EXPORTER_OTLP_PROTOCOL"))
	if protocol == "grpc" {
		err = errors.New("is for gRPC (OTEL_EXPORTER_OTLP_PROTOCOL), and spans are sent by HTTP")
	}
	if err != nil {
		p.logger().Warn("no spans are sent; --otlp says where to", "event", "spans_off", "why", name+" "+err.Error())
		target = ""
	}
	return target, nil
}

// otlpTarget is the URL that spans are sent to. general: it is of all signals, and each has a path of its own. What it holds may be a
// secret, so no error repeats it.
func otlpTarget(text string, general bool) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("is no URL like http://127.0.0.1:4318, where a collector takes OTLP by HTTP")
	}
	if u.User != nil || u.RawQuery != "" {
		return "", errors.New("has a user or a query, which are not sent; give what it needs in OTEL_EXPORTER_OTLP_HEADERS")
	}
	if u.Path == "" || u.Path == "/" || general {
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
	logs := fold.New(logger.Handler())
	queue := newSpanQueue(exporter, slog.New(logs))
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(queue), sdk.WithResource(about))
	tracer, err := tracing.New(tracing.Config{
		Propagator:     propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
		TracerProvider: provider,
	})
	if err != nil {
		return nil, nil, err
	}
	stop = func(ctx context.Context) {
		queue.stop(ctx)
		logs.Flush()
	}
	return &pipeline.Spans{Tracer: tracer, Group: group, SQL: provider.Tracer("github.com/sluice-go/sluice/cmd/sluice")}, stop, nil
}
