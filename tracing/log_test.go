package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice/tracing"
)

func TestLinesCarryTheSpan(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(tracing.LogHandler(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
				return slog.Attr{}
			}
			return a
		},
	})))
	in := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}}))
	const ids = "trace_id=01000000000000000000000000000000 span_id=0200000000000000"
	grouped := logger.With("x", 1).WithGroup("g").With("y", 2)
	for _, c := range []struct {
		ctx    context.Context
		logger *slog.Logger
		want   string
	}{
		{t.Context(), logger, "msg=m a=b"},
		{in, logger, "msg=m a=b " + ids},
		{in, logger.With("x", 1), "msg=m x=1 a=b " + ids},
		{in, grouped, "msg=m " + ids + " x=1 g.y=2 g.a=b"},
		{t.Context(), grouped, "msg=m x=1 g.y=2 g.a=b"},
	} {
		out.Reset()
		c.logger.InfoContext(c.ctx, "m", "a", "b")
		if got := strings.TrimSpace(out.String()); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
