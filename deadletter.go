package sluice

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// DeadLetter copies a failed record to a topic. The record is finished only when the copy was acknowledged by all in-sync
// replicas; until then it stays and the copy is tried again. Key, value, headers and timestamp are kept, and headers are
// added that tell where the record comes from and what was wrong. Those that an earlier hop added are replaced, so that
// they do not grow. Dead letters are at least once: count them by source topic, partition and offset.
type DeadLetter struct {
	// Topic must exist. Required.
	Topic string

	// Headers says whose names the added headers have. Zero: NativeHeaders.
	Headers DeadLetterHeaders
}

func (d DeadLetter) withDefaults(bad *mistakes) DeadLetter {
	if d.Topic == "" {
		bad.add("Policy.OnFailure", "", "DeadLetter.Topic is empty; name the topic that failed records are copied to")
	}
	d.Headers = cmp.Or(d.Headers, NativeHeaders)
	if _, ok := headerSets[d.Headers]; !ok {
		known := slices.Sorted(maps.Keys(headerSets))
		bad.add("Policy.OnFailure", string(d.Headers), fmt.Sprintf("DeadLetter.Headers is none of %v", known))
	}
	return d
}

type enqueueFunc func(ctx context.Context, r *kgo.Record, done func(*kgo.Record, error))

// deadLetter writes copies to d's topic.
func (a *App) deadLetter(d DeadLetter) func(engine.Failure, func(error)) {
	enqueue := a.enqueue
	return func(f engine.Failure, done func(error)) {
		// Not the assignment's context: a copy that is under way when a partition leaves may still be acknowledged.
		ctx := context.Background() //nolint:forbidigo // see above
		enqueue(ctx, deadLetterRecord(d, a.cfg.Group, f), func(_ *kgo.Record, err error) { done(err) })
	}
}

// deadLetterTimeout is how long one attempt to write a dead letter may take before it is told as failed and tried again.
const deadLetterTimeout = 30 * time.Second
