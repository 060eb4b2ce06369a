package tracing_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

// An app whose handlers send on. With otlptracehttp.New(ctx) for an exporter, the spans go to Jaeger, or any other collector.
func Example() {
	provider := sdk.NewTracerProvider() // with WithBatcher, and the exporter as its argument
	defer func() { _ = provider.Shutdown(context.Background()) }()
	tracer, err := tracing.New(tracing.Config{
		TracerProvider: provider,
		Propagator:     propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg := sluice.Config{
		Brokers: []string{"127.0.0.1:9092"}, Group: "billing",
		Logger: slog.New(tracing.LogHandler(slog.NewJSONHandler(os.Stderr, nil))),
	}
	producer, err := sluice.NewProducer(tracer.Producer(cfg.Producer()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = producer.Close(context.Background()) }()
	app, err := sluice.New(tracer.App(cfg))
	if err != nil {
		fmt.Println(err)
		return
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text,
		Handle: func(ctx context.Context, m sluice.Message[string]) error {
			slog.InfoContext(ctx, "billed", "order", m) // with trace_id and span_id
			return producer.Send(ctx, &kgo.Record{Topic: "bills", Key: m.Key()})
		},
		Policy: sluice.Policy{Middleware: []sluice.Middleware{tracer.Process()}},
	})
	fmt.Println(err) // then app.Run runs until its context ends

	// Output: <nil>
}
