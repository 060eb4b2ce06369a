package engine_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/tracker"
)

// Records finish, and move the frontier, while a commit waits to be sent: its metadata must be that of the offset which it carries,
// or it is of no use to whoever reads it.
func TestInvariant9OffsetAndMetadataAreOfOneMoment(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var handled atomic.Int64
		var held atomic.Bool
		send, first, last := make(chan struct{}), make(chan struct{}), make(chan struct{})
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			switch r.Offset {
			case 10:
				<-first
			case 50:
				<-last
			}
			handled.Add(1)
			return engine.Outcome{}
		})
		cfg.CommitMetadata = 4096
		cfg.Routes[0].Ordering, cfg.Routes[0].Workers = engine.Unordered, 4
		cfg.BeforeCommit = func() {
			if handled.Load() == 98 && held.CompareAndSwap(false, true) {
				<-send
			}
		}
		_, stop := run(t, cfg)
		c.Until("a commit that is held", held.Load)
		close(first)
		c.Until("record 10", func() bool { return handled.Load() == 99 })
		time.Sleep(time.Second)
		close(send)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 50 })
		offsets, err := c.Admin().FetchOffsets(context.Background(), "g")
		if err != nil {
			t.Fatal(err)
		}
		o, _ := offsets.Lookup("orders", 0)
		topics, err := c.Admin().ListTopics(context.Background(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		ahead, err := tracker.Decode(o.Metadata, tracker.Base{Offset: o.At, TopicID: topics["orders"].ID})
		if err != nil || ahead.Empty() {
			t.Errorf("invariant 9: the commit of %d says %q, which is not of its offset: %v", o.At, o.Metadata, err)
		}
		close(last)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}
