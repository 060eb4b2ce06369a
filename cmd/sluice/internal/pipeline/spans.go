package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

// Spans is how a pipeline is traced. Nil: not at all.
type Spans struct {
	Tracer *tracing.Tracer
	SQL    trace.Tracer // of the sink's transactions
	Group  string
}

// policy is a route's with its process spans.
func (s *Spans) policy(p sluice.Policy) sluice.Policy {
	if s != nil {
		p.Middleware = append(p.Middleware, s.Tracer.Process())
	}
	return p
}

// batches gives a table's handler its process spans, and the CLIENT span of its transaction, by OpenTelemetry's conventions for databases.
// No statement is told, and no value.
func (s *Spans) batches(spec *Spec, handle func(context.Context, sluice.Batch[Row]) error) func(context.Context, sluice.Batch[Row]) error {
	if s == nil {
		return handle
	}
	about := databaseAttributes(spec.SQL)
	name := spec.SQL.Mode + " " + spec.SQL.Table
	return tracing.ProcessBatch(s.Tracer, s.Group, func(ctx context.Context, b sluice.Batch[Row]) (err error) {
		if len(b.Messages) == 0 { // only to step over what was settled
			return handle(ctx, b)
		}
		ctx, span := s.SQL.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(about...),
			trace.WithAttributes(attribute.Int("db.operation.batch.size", len(b.Messages))))
		err = errUnwound
		defer func() {
			if err != nil && span.IsRecording() {
				kind := sluice.OutcomeKind(err)
				span.SetAttributes(attribute.String("error.type", kind))
				span.SetStatus(codes.Error, kind)
			}
			span.End()
		}()
		return handle(ctx, b)
	})
}

// errUnwound is the error of a call that does not return: it panics, or ends its goroutine.
var errUnwound = &sluice.PanicError{Value: "the sink did not return"}

func databaseAttributes(s SQL) []attribute.KeyValue {
	system := map[string]string{schemeMySQL: "mysql", schemePostgres: "postgresql", schemeSQLite: "sqlite"}[s.DSN.Scheme]
	about := []attribute.KeyValue{
		attribute.String("db.system.name", system), attribute.String("db.collection.name", s.Table),
		attribute.String("db.operation.name", s.Mode), attribute.String("db.namespace", s.DSN.Database),
	}
	if s.DSN.Host != "" {
		about = append(about, attribute.String("server.address", s.DSN.Host), attribute.Int("server.port", s.DSN.Port))
	}
	return about
}
