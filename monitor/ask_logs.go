package monitor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// askMetadata asks for the cluster and all its topics. kadm is not used here nor in what follows: it gives up all of an answer for one
// topic or group that we may not see.
func (r *round) askMetadata(ctx context.Context) {
	resp, err := single(ctx, r.Monitor, func() (*kmsg.MetadataResponse, error) {
		return r.client.RequestCachedMetadata(ctx, kmsg.NewPtrMetadataRequest(), r.cfg.Interval/2)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.problem("metadata", err)
		return
	}
	r.cluster.Controller = resp.ControllerID
	if resp.ClusterID != nil {
		r.cluster.ID = *resp.ClusterID
	}
	for _, b := range resp.Brokers {
		known := Broker{ID: b.NodeID, Host: b.Host, Port: b.Port}
		if b.Rack != nil {
			known.Rack = *b.Rack
		}
		r.cluster.Brokers = append(r.cluster.Brokers, known)
	}
	there := make(map[string]bool, len(resp.Topics))
	clear(r.book.names)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.Topic != nil {
			there[*t.Topic] = true
			r.book.names[t.TopicID] = *t.Topic
			if err := r.book.learn(*t.Topic, t); err != nil {
				r.problem("partitions", err)
			}
		}
	}
	for name := range r.book.topics {
		if !there[name] {
			delete(r.book.topics, name)
		}
	}
}

// learn takes a topic over from the metadata, and returns what is wrong with it, or with one of its partitions.
func (b *book) learn(name string, m *kmsg.MetadataResponseTopic) (wrong error) {
	t := b.topics[name]
	if t == nil || t.id != m.TopicID && m.ErrorCode == 0 { // made again: nothing of what was known is true
		t = &topicBook{name: name, id: m.TopicID, logs: map[int32]*log{}}
		b.topics[name] = t
	}
	t.internal, t.err = m.IsInternal, kerr.ErrorForCode(m.ErrorCode)
	for _, l := range t.logs {
		l.blank()
		l.leader, l.err = -1, cmp.Or(t.err, error(kerr.UnknownTopicOrPartition)) // unless it is named below
	}
	for _, p := range m.Partitions {
		l := t.logs[p.Partition]
		if l == nil {
			l = &log{place: place{name, p.Partition}}
			l.blank()
			t.logs[p.Partition] = l
		}
		l.leader, l.replicas, l.inSync, l.err = p.Leader, p.Replicas, p.ISR, kerr.ErrorForCode(p.ErrorCode)
		if l.err == nil && l.leader < 0 {
			l.err = kerr.LeaderNotAvailable
		}
		if l.err != nil {
			wrong = fmt.Errorf("%s[%d]: %w", name, p.Partition, l.err)
		}
	}
	if t.err != nil {
		return fmt.Errorf("%s: %w", name, t.err)
	}
	return wrong
}

// askOffsets are the requests for an offset of every log.
func (r *round) askOffsets(what string, isolation int8, timestamp int64) (tasks []func(context.Context)) {
	for logs := range slices.Chunk(r.logs(), logsARequest) {
		tasks = append(tasks, func(ctx context.Context) {
			r.listOffsets(ctx, isolation, logs, func(int) int64 { return timestamp }, func(l *log, a offsetAnswer) {
				switch {
				case a.err != nil:
					l.err = fmt.Errorf("%s of %s[%d]: %w", what, l.topic, l.partition, a.err)
					r.problem(what, l.err)
				case timestamp == timestampStart:
					l.start = a.offset
				case isolation == readCommitted:
					l.stable = a.offset
				default:
					l.end = a.offset
					l.history.observe(a.asked, a.answered, a.offset)
				}
			})
		})
	}
	return tasks
}

// offsetAnswer is an answer to ListOffsets for one log.
type offsetAnswer struct {
	offset, timestamp int64
	asked, answered   time.Time
	err               error
}

// listOffsets asks for one offset of each log, and tells the answers under the round's lock. The logs are in the order of their topics.
func (r *round) listOffsets(
	ctx context.Context, isolation int8, logs []*log, timestamp func(i int) int64, tell func(*log, offsetAnswer),
) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = isolation
	req.TimeoutMillis = int32(r.cfg.Timeout.Milliseconds())
	for i, l := range logs {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != l.topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = l.topic
			req.Topics = append(req.Topics, t)
		}
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = l.partition, timestamp(i)
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, p)
	}
	asked := time.Now()
	shards := r.sharded(ctx, req)
	answered := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, t := range shard.Req.(*kmsg.ListOffsetsRequest).Topics { //nolint:forcetypeassert // what was asked
				for _, p := range t.Partitions {
					if l := r.book.log(place{t.Topic, p.Partition}); l != nil {
						tell(l, offsetAnswer{err: fromBroker(shard, shard.Err)})
					}
				}
			}
			continue
		}
		for _, t := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics { //nolint:forcetypeassert // what is answered to it
			for _, p := range t.Partitions {
				if l := r.book.log(place{t.Topic, p.Partition}); l != nil {
					tell(l, offsetAnswer{p.Offset, p.Timestamp, asked, answered, fromBroker(shard, kerr.ErrorForCode(p.ErrorCode))})
				}
			}
		}
	}
}

// fromBroker names the broker that an error comes from, where it is known.
func fromBroker(shard kgo.ResponseShard, err error) error {
	if err == nil || shard.Meta.NodeID < 0 {
		return err
	}
	return fmt.Errorf("broker %d: %w", shard.Meta.NodeID, err)
}
