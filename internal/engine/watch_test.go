package engine_test

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

func TestAnIdleEngineCostsNoLooks(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var looked atomic.Int64
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 10 {
				time.Sleep(6 * time.Minute)
			}
			return engine.Outcome{}
		})
		cfg.Looked = func() { looked.Add(1) }
		e, stop := run(t, cfg)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		time.Sleep(time.Minute)
		before := looked.Load()
		time.Sleep(30 * time.Minute)
		if n := looked.Load() - before; n != 0 {
			t.Errorf("the watchdog of an idle engine looked %d times in 30 minutes", n)
		}
		c.Produce("orders", 0, 10, 1, 0)
		time.Sleep(5*time.Minute + time.Second) // it works
		if n := looked.Load() - before; n < 10 || n > 100 || len(e.Snapshot().Overruns) != 1 {
			t.Errorf("the watchdog looked %d times at 5 minutes of work, found %+v", n, e.Snapshot().Overruns)
		}
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 11 })
		time.Sleep(time.Minute)
		before = looked.Load()
		time.Sleep(30 * time.Minute)
		if n := looked.Load() - before; n != 0 {
			t.Errorf("the watchdog looked %d times in 30 minutes after the work was over", n)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A record deep in a run of fast ones that hangs is found as well, and named by its own offset.
func TestInvariant8ARecordInTheMiddleOfARunIsNamed(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 64, 0)
		release := make(chan struct{})
		overran := make(chan engine.HandlerOverranInfo, 10)
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 40 {
				<-release
			}
			return engine.Outcome{}
		})
		cfg.Observer.HandlerOverran = func(i engine.HandlerOverranInfo) { overran <- i }
		e, stop := run(t, cfg)
		time.Sleep(7 * time.Minute)
		select {
		case i := <-overran:
			if i.Offset != 40 || i.Records != 1 || i.Age < 5*time.Minute || i.Age > 6*time.Minute {
				t.Errorf("invariant 8: told %+v", i)
			}
		default:
			t.Errorf("invariant 8: a handler that hangs is not told; health says %v", e.Health().Problems)
		}
		close(release)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 64 })
		if h := e.Health(); len(h.Problems) != 0 || len(overran) != 0 {
			t.Errorf("invariant 8: after it ended: %v", h.Problems)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

// A stack is told for each of several handlers that hang, its own.
func TestInvariant8EachHandlerHasItsOwnStack(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(2) {
			c.Produce("orders", p, 0, 1, 0)
		}
		release := make(chan struct{})
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Partition == 0 {
				hangsHere(release)
			} else {
				hangsThere(release)
			}
			return engine.Outcome{}
		})
		e, stop := run(t, cfg)
		c.Until("both", func() bool { return len(e.Snapshot().Overruns) == 2 })
		for _, o := range e.Snapshot().Overruns {
			own, other := "hangsHere", "hangsThere"
			if o.Partition == 1 {
				own, other = other, own
			}
			if !strings.Contains(o.Stack, own) || strings.Contains(o.Stack, other) {
				t.Errorf("invariant 8: the stack of partition %d: %s", o.Partition, o.Stack)
			}
		}
		close(release)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	})
}

func hangsHere(release <-chan struct{})  { <-release }
func hangsThere(release <-chan struct{}) { <-release }

// compacted is a batch of the offsets up to last, of which compaction has left those below kept.
func compacted(kept, last int32) []byte {
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: last, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: kept}
	for i := range kept {
		r := kmsg.Record{OffsetDelta: i, Value: []byte("v")}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		b.Records = r.AppendTo(b.Records)
	}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// Compaction may take the last records of a log, tombstones, out of a batch of which others are left. Then nothing comes up to the log's
// end, and nothing is missing: the partition does not stand still.
func TestALogWhoseLastRecordsWereCompactedAwayIsNoStall(t *testing.T) {
	for name, kept := range map[string]int32{"some of the batch": 5, "all of it": 0} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (answer kmsg.Response, err error, handled bool) {
					c.KeepControl()
					q := r.(*kmsg.FetchRequest)
					if len(q.Topics) != 1 || q.Topics[0].Partitions[0].FetchOffset >= 10 {
						return answer, err, handled
					}
					resp := q.ResponseKind().(*kmsg.FetchResponse)
					topic, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
					topic.Topic, topic.TopicID = q.Topics[0].Topic, q.Topics[0].TopicID
					p.HighWatermark, p.LastStableOffset, p.RecordBatches = 10, 10, compacted(kept, 9)
					topic.Partitions = append(topic.Partitions, p)
					resp.Topics = append(resp.Topics, topic)
					return resp, nil, true
				})
				cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
				e, stop := run(t, cfg)
				c.Until("the work", func() bool { return e.Stats().Finished == int64(kept) })
				c.Until("the commit of all that is gone", func() bool { return c.Committed("g", "orders", 0) == 10 })
				if h := e.Health(); len(h.Problems) > 0 {
					t.Errorf("%v", h.Problems)
				}
				if err := stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}
