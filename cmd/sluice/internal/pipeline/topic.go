package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// topicSink is the sink that is a topic of the same brokers.
type topicSink struct {
	spec     *Spec
	cfg      sluice.Config
	logger   *slog.Logger
	spans    *Spans
	producer *sluice.Producer // nil in transactions, whose client writes, too
}

func openTopic(spec *Spec, cfg sluice.Config, logger *slog.Logger, spans *Spans) (*topicSink, error) {
	t := &topicSink{spec: spec, cfg: cfg, logger: logger, spans: spans}
	var err error
	if spec.Delivery == AtLeastOnce {
		t.producer, err = sluice.NewProducer(cfg.Producer())
	}
	return t, err
}

// Add implements Sink.
func (t *topicSink) Add(app *sluice.App) error {
	decode := NewCopier(t.spec).Decode
	if t.spec.Delivery == AtLeastOnce {
		return sluice.AddBatch(app, sluice.BatchRoute[*kgo.Record]{
			Topics: t.spec.Topics, Decode: decode, Handle: t.send, Policy: t.spans.policy(t.spec.policy()),
		})
	}
	return sluice.AddTransact(app, sluice.TransactRoute[*kgo.Record]{
		Topics: t.spec.Topics, Decode: decode, Interval: t.spec.Interval, Policy: t.spans.policy(t.spec.policy()),
		Handle: func(_ context.Context, m sluice.Message[*kgo.Record]) ([]*kgo.Record, error) {
			if m.Value == nil {
				return nil, errRejected
			}
			return []*kgo.Record{m.Value}, nil
		},
	})
}

var errRejected = sluice.Skip(rejected)

// send writes the records of a batch and waits for their acknowledgements: their offsets are committed only after it. Where one of them
// fails through no fault of its own, all are written again, so that they keep their order.
func (t *topicSink) send(ctx context.Context, b sluice.Batch[*kgo.Record]) error {
	outcomes := map[int]error{}
	records := make([]*kgo.Record, 0, len(b.Messages))
	index := make([]int, 0, len(b.Messages)) // of a record among the messages
	for i, m := range b.Messages {
		if m.Value == nil {
			outcomes[i] = errRejected
			continue
		}
		records, index = append(records, m.Value), append(index, i)
	}
	for _, err := range Flatten(t.producer.Send(ctx, records...)) {
		failed, ok := errors.AsType[*sluice.ProduceError](err)
		if !ok {
			return err
		}
		_, refused := errors.AsType[*kerr.Error](err)
		switch {
		case !kafka.OwnFault(err):
			return sluice.Outage(failed.Err)
		case refused && len(records) > 1: // with a batch that others are in: one by one they tell whose fault it is
			return sluice.Poison(failed.Err)
		}
		outcomes[index[failed.Index]] = sluice.Poison(failed.Err)
	}
	if len(outcomes) > 0 {
		return &sluice.BatchError{Failed: outcomes}
	}
	return nil
}

// Prepare implements Sink. A topic is never created: its partitions are for whoever reads it to choose.
func (t *topicSink) Prepare(ctx context.Context) error {
	_, err := t.Check(ctx)
	return err
}

// Check implements Sink.
func (t *topicSink) Check(ctx context.Context) (found string, err error) {
	client, err := kafka.NewClient(ctx, t.cfg)
	if err != nil {
		return "", err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	name := t.spec.Topic.Name
	partitions, err := kafka.Writable(ctx, admin, name)
	if err == nil {
		err = t.checkSizes(ctx, admin)
	}
	if err != nil {
		return "", fmt.Errorf("sink.topic.name: %w", err)
	}
	return fmt.Sprintf("topic %s: %d partitions, %s", name, len(partitions), t.spec.Delivery), nil
}

// checkSizes demands that the topic takes batches of the size that we write, and warns where its records may be smaller than those of a
// topic of the source. What brokers do not tell us is no reason not to start.
func (t *topicSink) checkSizes(ctx context.Context, admin *kadm.Client) error {
	largest, err := kafka.MaxMessageBytes(ctx, admin, append([]string{t.spec.Topic.Name}, t.spec.Topics...)...)
	takes, told := largest[t.spec.Topic.Name]
	if err != nil || !told {
		return nil //nolint:nilerr // see above
	}
	if batch := t.batchBytes(); takes < batch {
		return fmt.Errorf("topic %s takes batches of up to %d bytes (max.message.bytes), and %d are written; raise that, "+
			"or put batch.size=%d into the properties (kafka.properties)", t.spec.Topic.Name, takes, batch, takes)
	}
	for _, source := range slices.Sorted(maps.Keys(largest)) {
		if largest[source] > takes {
			t.logger.Warn("max.message.bytes of the sink's topic is smaller than that of a topic of the source: a record may be too "+
				"large for it; raise it", "sink", t.spec.Topic.Name, "takes", takes, "source", source, "may_hold", largest[source])
		}
	}
	return nil
}

// batchBytes is how large a batch may be that is written.
func (t *topicSink) batchBytes() int {
	const batch, request = 1_000_000, 1 << 20 // the library's defaults
	p := t.cfg.Producer()
	return int(cmp.Or(p.BatchBytes, min(batch, cmp.Or(p.MaxRequestBytes, request))))
}

// Counts implements Sink. Records of a transaction that was aborted count again when they run again.
func (t *topicSink) Counts(stats sluice.Stats) Counts {
	return Counts{Unit: "written", Written: stats.Finished - stats.Skipped - stats.DeadLettered, Skipped: stats.Skipped}
}

// LogAttrs implements Sink.
func (t *topicSink) LogAttrs() []any {
	return []any{"sink", t.spec.Topic.Name, "delivery", t.spec.Delivery}
}

// Close implements Sink.
func (t *topicSink) Close(ctx context.Context) error {
	if t.producer == nil {
		return nil
	}
	return t.producer.Close(ctx)
}
