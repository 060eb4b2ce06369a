package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// notSampled is ctx within a trace that nobody looks at.
func notSampled(ctx context.Context) context.Context {
	var traceID trace.TraceID
	var spanID trace.SpanID
	binary.LittleEndian.PutUint64(traceID[:8], rand.Uint64()|1) // never all zeros, which is no id
	binary.LittleEndian.PutUint64(traceID[8:], rand.Uint64())
	binary.LittleEndian.PutUint64(spanID[:], rand.Uint64()|1)
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: spanID}))
}

// nothing is a context that holds nothing and never ends: what a record's headers say is all.
type nothing struct{}

// Deadline implements context.Context.
func (nothing) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements context.Context.
func (nothing) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (nothing) Err() error { return nil }

// Value implements context.Context.
func (nothing) Value(any) any { return nil }
