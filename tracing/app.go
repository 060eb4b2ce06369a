package tracing

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// App returns cfg with spans for polls and commits, and for what the app writes by itself: dead letters, copies for retry topics, and what
// the handler of a TransactRoute returns. The producer of cfg.Producer() is traced as well. What handlers do is for Process.
//
// A poll's span lasts from its call to its records, and links to what sent them; polls without records have none. Polls and commits are of
// many records, and so children of none. They end where all of the app waits, as Events.Polled says, so the TracerProvider's span
// processors must not block: give it WithBatcher, and neither WithBlocking nor WithSyncer.
func (t *Tracer) App(cfg sluice.Config) sluice.Config {
	polled, committed, commitFailed := cfg.Events.Polled, cfg.Events.Committed, cfg.Events.CommitFailed
	client := clientID(cfg.ClientID)
	cfg.Events.Polled = func(i sluice.PolledInfo) {
		t.polled(cfg.Group, client, i)
		if polled != nil {
			polled(i)
		}
	}
	cfg.Events.Committed = func(i sluice.CommittedInfo) {
		t.committed(cfg.Group, client, i)
		if committed != nil {
			committed(i)
		}
	}
	cfg.Events.CommitFailed = func(i sluice.CommitFailedInfo) {
		_, span := t.tracer.Start(nothing{}, opCommit.span(""), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithTimestamp(time.Now().Add(-i.Took)), trace.WithAttributes(opCommit.attributes("", cfg.Group, client)...))
		failed(span, i.Err)
		span.End()
		if commitFailed != nil {
			commitFailed(i)
		}
	}
	cfg.ClientOptions = append(slices.Clip(cfg.ClientOptions), kgo.WithHooks(&sendHook{t, client}))
	return cfg
}

// clientID is what a Config's ClientID comes to.
func clientID(given string) string {
	if given == "" {
		return "sluice"
	}
	return given
}

func (t *Tracer) polled(group, client string, i sluice.PolledInfo) {
	topic, partition, partitions, records := "", int32(0), 0, 0
	several := false
	i.Fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		n := 0
		for _, r := range p.Records {
			if !r.Attrs.IsControl() { // those are the ends of transactions
				n++
			}
		}
		if n > 0 {
			several = several || partitions > 0 && p.Topic != topic
			topic, partition = p.Topic, p.Partition
			partitions++
			records += n
		}
	})
	if partitions == 0 {
		return
	}
	if several {
		topic = ""
	}
	a := append(opPoll.attributes(topic, group, client), keyBatch.Int(records))
	if partitions == 1 {
		a = append(a, partitionID(partition))
	}
	_, span := t.tracer.Start(nothing{}, opPoll.span(topic), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(time.Now().Add(-i.Took)), trace.WithAttributes(a...))
	if span.IsRecording() {
		const looked = 4 * maxLinks // a poll may bring 10,000
		var first []*kgo.Record
		for iter := i.Fetches.RecordIter(); !iter.Done() && len(first) < looked; {
			first = append(first, iter.Next())
		}
		t.link(span, len(first), func(n int) *kgo.Record { return first[n] })
	}
	span.End()
}

func (t *Tracer) committed(group, client string, i sluice.CommittedInfo) {
	topic := ""
	var only []attribute.KeyValue
	for name, offsets := range i.Offsets {
		if len(i.Offsets) > 1 {
			break
		}
		topic = name
		for p, offset := range offsets {
			if len(offsets) == 1 {
				only = []attribute.KeyValue{partitionID(p), keyOffset.Int64(offset)}
			}
		}
	}
	_, span := t.tracer.Start(nothing{}, opCommit.span(topic), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(time.Now().Add(-i.Took)), trace.WithAttributes(append(opCommit.attributes(topic, group, client), only...)...))
	span.End()
}
