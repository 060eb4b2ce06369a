package tracing

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"reflect"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// maxLinks is how many links a span gets: more are what OpenTelemetry's SDK drops (OTEL_SPAN_LINK_COUNT_LIMIT).
const maxLinks = 128

// Process makes a span of every call of a route's handler, each attempt its own. What is in front of it in Policy.Middleware is not in the
// span. A BatchRoute with it does not decode ahead; see ProcessBatch.
//
// Of a StreamRoute the span is from the hand-over of a message to its outcome; its handler has one context for all messages, which
// cannot hold it.
func (t *Tracer) Process() sluice.Middleware {
	return func(next sluice.Handler) sluice.Handler {
		return func(ctx context.Context, d *sluice.Delivery) (err error) {
			records := d.Records
			var from sender
			if rest := t.leavesOut(ctx, records[0], len(records), &from); rest != nil {
				return next(rest, d)
			}
			ctx, span := t.begin(ctx, from, call{
				group: d.Group, attempt: d.Attempt, first: records[0], n: len(records), at: func(i int) *kgo.Record { return records[i] },
			})
			if span == nil {
				return next(ctx, d)
			}
			err = errUnwound
			defer ended(span, &err)
			return next(ctx, d)
		}
	}
}

// ProcessBatch makes a span of every call of a BatchRoute's handler, as Process does, for routes that decode ahead. Records that cannot be
// decoded are not in it. group is the app's.
func ProcessBatch[V any](
	t *Tracer, group string, handle func(context.Context, sluice.Batch[V]) error,
) func(context.Context, sluice.Batch[V]) error {
	return func(ctx context.Context, b sluice.Batch[V]) (err error) {
		if len(b.Messages) == 0 {
			return handle(ctx, b)
		}
		var from sender
		if rest := t.leavesOut(ctx, b.Messages[0].Record, len(b.Messages), &from); rest != nil {
			return handle(rest, b)
		}
		ctx, span := t.begin(ctx, from, call{
			group: group, attempt: b.Messages[0].Attempt, first: b.Messages[0].Record, n: len(b.Messages),
			at: func(i int) *kgo.Record { return b.Messages[i].Record },
		})
		if span == nil {
			return handle(ctx, b)
		}
		err = errUnwound
		defer ended(span, &err)
		return handle(ctx, b)
	}
}

// call is one of a handler, with n records.
type call struct {
	group   string
	attempt int
	first   *kgo.Record
	n       int
	at      func(int) *kgo.Record
}

// sender is what a record says of who sent it.
type sender struct {
	remote context.Context // the call's, with what the headers say; nil: there is nothing
	span   trace.SpanContext
}

// leavesOut decides whether the sampler is asked about a call with n records. If not, rest is the context to go on with, which says that it
// is not sampled; else it is nil, and from what the first record says, if it is the only one.
func (t *Tracer) leavesOut(ctx context.Context, first *kgo.Record, n int, from *sender) (rest context.Context) {
	if n == 1 && len(first.Headers) > 0 {
		from.remote = t.of(ctx, (*carrier)(first))
		if from.span = trace.SpanContextFromContext(from.remote); !from.span.IsRemote() {
			from.span = trace.SpanContext{}
		}
	}
	if from.span.IsSampled() || t.cfg.Sample == 1 || rand.Float64() < t.cfg.Sample {
		return nil
	}
	if from.remote == nil {
		return t.skipped.of(ctx, first)
	}
	switch own := trace.SpanFromContext(ctx); {
	case own.SpanContext().IsValid(): // somebody's middleware has decided
		return trace.ContextWithSpan(from.remote, own) // with the baggage
	case !from.span.IsValid():
		return t.skipped.of(from.remote, first)
	}
	return from.remote
}

// begin begins the span of a call; nil when it is not recorded.
func (t *Tracer) begin(ctx context.Context, from sender, c call) (context.Context, trace.Span) {
	kept := [3]trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(t.about(c)...)}
	options := kept[:2]
	switch {
	case from.remote == nil:
	case t.cfg.Parent || !from.span.IsValid():
		ctx = from.remote // with the baggage
	default: // the baggage, but not the sender's span
		ctx = trace.ContextWithSpanContext(from.remote, trace.SpanContextFromContext(ctx))
		options = append(options, trace.WithLinks(trace.Link{SpanContext: from.span}))
	}
	ctx, span := t.tracer.Start(ctx, opProcess.span(c.first.Topic), options...)
	if !span.IsRecording() {
		return ctx, nil
	}
	if c.n > 1 {
		t.link(span, c.n, c.at)
	}
	return ctx, span
}

func (t *Tracer) about(c call) []attribute.KeyValue {
	a := append(opProcess.attributes(c.first.Topic, c.group, ""), partitionID(c.first.Partition))
	if c.n > 1 {
		a = append(a, keyBatch.Int(c.n))
	} else {
		a = t.message(append(a, keyOffset.Int64(c.first.Offset)), c.first)
	}
	if c.attempt > 1 {
		a = append(a, keyAttempt.Int(c.attempt))
	}
	return a
}

// link adds links to what sent the records of a batch, each once.
func (t *Tracer) link(span trace.Span, n int, at func(int) *kgo.Record) {
	seen := make(map[trace.SpanID]struct{}, min(n, maxLinks))
	for i := 0; i < n && len(seen) < maxLinks; i++ {
		r := at(i)
		if len(r.Headers) == 0 {
			continue
		}
		sender := trace.SpanContextFromContext(t.of(nothing{}, (*carrier)(r)))
		if _, ok := seen[sender.SpanID()]; ok || !sender.IsValid() {
			continue
		}
		seen[sender.SpanID()] = struct{}{}
		span.AddLink(trace.Link{SpanContext: sender})
	}
}

// errUnwound is what a call has for an error until it returns. One that panics, or ends its goroutine (runtime.Goexit, as t.FailNow does),
// never does; an app takes both for the same.
var errUnwound = &sluice.PanicError{Value: "the handler did not return"}

// ended is deferred, and ends a span with an outcome.
func ended(span trace.Span, err *error) {
	switch kind := sluice.OutcomeKind(*err); kind {
	case "finished":
	case "skipped", "handed back":
		span.SetAttributes(keyOutcome.String(kind))
	default:
		span.SetAttributes(keyOutcome.String(kind))
		failed(span, *err)
	}
	span.End()
}

// contexts are those that calls without a span get, which say that they are not sampled: so nothing that is called in them begins a trace
// of its own. All calls of an assignment have the same context, so one made for it serves them all.
type contexts [64]atomic.Pointer[pair]

type pair struct{ given, made context.Context }

var seed = maphash.MakeSeed()

func (c *contexts) of(ctx context.Context, r *kgo.Record) context.Context {
	slot := &c[(maphash.String(seed, r.Topic)+uint64(r.Partition))%uint64(len(c))]
	if p := slot.Load(); p != nil && p.given == ctx { // what is kept is a pointer, so that nothing panics that cannot be compared
		return p.made
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		return ctx // somebody's middleware has decided
	}
	made := notSampled(ctx)
	if reflect.TypeOf(ctx).Kind() == reflect.Pointer {
		slot.Store(&pair{ctx, made})
	}
	return made
}
