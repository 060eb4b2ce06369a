package tracing

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// Producer returns cfg with a span for each record that is sent, from its place in the buffer to its acknowledgement, and with the span's
// context in the record's headers, which take some 70 bytes. Its parent is what the context of Send or Enqueue holds. A record that has a
// context already keeps it: its span has a link to it, or, where there is no other parent, is its child.
func (t *Tracer) Producer(cfg sluice.ProducerConfig) sluice.ProducerConfig {
	cfg.ClientOptions = append(slices.Clip(cfg.ClientOptions), kgo.WithHooks(&sendHook{t, clientID(cfg.ClientID)}))
	return cfg
}

// sendHook makes the spans of a client that writes.
type sendHook struct {
	t      *Tracer
	client string
}

var (
	_ kgo.HookProduceRecordBuffered   = (*sendHook)(nil)
	_ kgo.HookProduceRecordUnbuffered = (*sendHook)(nil)
)

// sending is in the context of a record that is on its way.
type sending struct {
	context.Context

	record *kgo.Record
	span   trace.Span
	ended  bool // before its outcome is told, so whoever sends the record again sees it
}

type sendingKey struct{}

// Value implements context.Context.
func (s *sending) Value(key any) any {
	if key == (sendingKey{}) {
		return s
	}
	return s.Context.Value(key)
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (h *sendHook) OnProduceRecordBuffered(r *kgo.Record) {
	ctx := r.Context
	if s, ok := ctx.Value(sendingKey{}).(*sending); ok && s.record == r && !s.ended {
		return // of App and Producer both
	}
	propagator, c := h.t.propagator(), (*carrier)(r)
	options := []trace.SpanStartOption{
		trace.WithAttributes(h.t.message(opSend.attributes(r.Topic, "", h.client), r)...), trace.WithSpanKind(trace.SpanKindProducer),
	}
	carried := c.hasContext(propagator.Fields())
	parent := ctx
	if carried {
		options[1] = trace.WithSpanKind(trace.SpanKindClient) // whose context is not what is sent
		its := trace.SpanContextFromContext(h.t.of(nothing{}, c))
		switch {
		case !its.IsValid():
		case trace.SpanContextFromContext(ctx).IsValid():
			options = append(options, trace.WithLinks(trace.Link{SpanContext: its}))
		default:
			parent = trace.ContextWithRemoteSpanContext(ctx, its)
		}
	}
	parent, span := h.t.tracer.Start(parent, opSend.span(r.Topic), options...)
	if !carried {
		propagator.Inject(parent, c)
	}
	r.Context = &sending{Context: ctx, record: r, span: span}
}

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (h *sendHook) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	s, ok := r.Context.Value(sendingKey{}).(*sending)
	if !ok || s.record != r || s.ended {
		return
	}
	s.ended = true
	if r.Context == context.Context(s) { // else another hook has put its own around it
		r.Context = s.Context
	}
	if s.span.IsRecording() {
		if err != nil {
			failed(s.span, err)
		} else {
			s.span.SetAttributes(partitionID(r.Partition), keyOffset.Int64(r.Offset))
		}
	}
	s.span.End()
}
