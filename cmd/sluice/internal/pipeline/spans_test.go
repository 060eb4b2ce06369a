package pipeline

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

// A transaction whose handler panics, or ends its goroutine, has not succeeded.
func TestATransactionThatDoesNotReturnIsAnError(t *testing.T) {
	for name, leave := range map[string]func(){"goexit": runtime.Goexit, "panic": func() { panic("secret") }} {
		t.Run(name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
			tracer, err := tracing.New(tracing.Config{TracerProvider: provider})
			if err != nil {
				t.Fatal(err)
			}
			spans := &Spans{Tracer: tracer, SQL: provider.Tracer("sql"), Group: "g"}
			handle := spans.batches(&Spec{}, func(context.Context, sluice.Batch[Row]) error { leave(); return nil })
			var left sync.WaitGroup
			left.Go(func() {
				defer func() { _ = recover() }()
				_ = handle(t.Context(), sluice.Batch[Row]{Messages: []sluice.Message[Row]{{Record: &kgo.Record{Topic: "orders"}, Attempt: 1}}})
			})
			left.Wait()
			ended := recorder.Ended()
			if len(ended) != 2 {
				t.Fatalf("%d spans, want that of the transaction and that of the process", len(ended))
			}
			for _, s := range ended {
				if got := s.Status(); got.Code != codes.Error || got.Description != "panic" {
					t.Errorf("%s: %v", s.Name(), got)
				}
			}
		})
	}
}
