package tracing

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"
)

// LogHandler adds trace_id and span_id to the lines that are logged in a span's context (slog.InfoContext and so on), outside of all
// groups, and gives them to h.
func LogHandler(h slog.Handler) slog.Handler { return &logHandler{Handler: h, root: h} }

type logHandler struct {
	slog.Handler // root, with what was added

	root    slog.Handler
	added   []func(slog.Handler) slog.Handler
	grouped bool
}

// Handle implements slog.Handler.
func (l *logHandler) Handle(ctx context.Context, r slog.Record) error {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return l.Handler.Handle(ctx, r)
	}
	ids := []slog.Attr{slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String())}
	if !l.grouped {
		r = r.Clone()
		r.AddAttrs(ids...)
		return l.Handler.Handle(ctx, r)
	}
	h := l.root.WithAttrs(ids)
	for _, add := range l.added {
		h = add(h)
	}
	return h.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return l.with(l.grouped, func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (l *logHandler) WithGroup(name string) slog.Handler {
	return l.with(l.grouped || name != "", func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (l *logHandler) with(grouped bool, add func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{Handler: add(l.Handler), root: l.root, added: append(slices.Clip(l.added), add), grouped: grouped}
}
