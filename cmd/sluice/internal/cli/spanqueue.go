package cli

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// spanQueue sends spans in the background, and waits for nobody: those that it has no room for, or that a collector does not take, are
// dropped. OpenTelemetry's batch processor, which does the work, drops without a word, so spanQueue counts what waits, gives it no more
// than it has room for, and logs every span that is not sent.
type spanQueue struct {
	sdk.SpanProcessor

	exporter sdk.SpanExporter
	logger   *slog.Logger
	room     int64        // of the processor's queue (OTEL_BSP_MAX_QUEUE_SIZE)
	waiting  atomic.Int64 // spans that have ended, and are neither sent nor dropped
	beyond   atomic.Int64 // dropped for want of room, and not logged yet
}

var (
	errNoRoom = errors.New("more spans end than the collector takes; sample fewer (OTEL_TRACES_SAMPLER)")
	errAtEnd  = errors.New("the run is over, and the collector has not taken them in time")
)

func newSpanQueue(exporter sdk.SpanExporter, logger *slog.Logger) *spanQueue {
	q := &spanQueue{exporter: exporter, logger: logger}
	q.SpanProcessor = sdk.NewBatchSpanProcessor(sending{q}, func(o *sdk.BatchSpanProcessorOptions) { q.room = int64(o.MaxQueueSize) })
	return q
}

// OnEnd implements sdk.SpanProcessor.
func (q *spanQueue) OnEnd(s sdk.ReadOnlySpan) {
	switch {
	case !s.SpanContext().IsSampled():
	case q.waiting.Add(1) > q.room:
		q.waiting.Add(-1)
		q.beyond.Add(1)
	default:
		q.SpanProcessor.OnEnd(s)
	}
}

// stop sends what waits, for as long as ctx allows.
func (q *spanQueue) stop(ctx context.Context) {
	_ = q.Shutdown(ctx) // what it would say is logged by span
	q.tellBeyond()
	q.dropped(q.waiting.Swap(0), errAtEnd)
}

func (q *spanQueue) tellBeyond() { q.dropped(q.beyond.Swap(0), errNoRoom) }

func (q *spanQueue) dropped(spans int64, err error) {
	if spans > 0 {
		q.logger.Warn("spans could not be sent; they are dropped", "event", "spans_dropped", "spans", spans, "err", err)
	}
}

// sending is the exporter that the processor has.
type sending struct{ q *spanQueue }

// ExportSpans implements sdk.SpanExporter.
func (s sending) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := s.q.exporter.ExportSpans(ctx, spans)
	n := int64(len(spans))
	if s.q.waiting.Add(-n) < 0 { // stop has told of them
		return nil
	}
	some, partial := rejected(err)
	switch {
	case partial && some <= 0:
		s.q.logger.Warn("a collector takes spans, and warns", "event", "spans_warning", "err", err)
	case partial:
		s.q.dropped(min(some, n), err)
	case err != nil:
		s.q.dropped(n, err)
	}
	s.q.tellBeyond()
	return nil
}

// partialSuccess is what the exporter's error says where the collector has answered that it does not take some of the spans, or only
// warns. The error's type is internal to its module.
var partialSuccess = regexp.MustCompile(`(?s)^traces export: OTLP partial success: .* \((-?\d+) spans rejected\)$`)

// rejected tells whether an error is a partial success, and how many spans the collector did not take then.
func rejected(err error) (spans int64, partial bool) {
	if err == nil {
		return 0, false
	}
	m := partialSuccess.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, false
	}
	spans, err = strconv.ParseInt(m[1], 10, 64)
	return spans, err == nil
}

// Shutdown implements sdk.SpanExporter.
func (s sending) Shutdown(ctx context.Context) error { return s.q.exporter.Shutdown(ctx) }
