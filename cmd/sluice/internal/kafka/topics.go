package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-go/sluice"
)

// Topic sees to it that a topic is there, and returns its partitions.
func Topic(ctx context.Context, admin *kadm.Client, topic string) ([]int32, error) {
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, sluice.Explain(err, "DESCRIBE", topic))
	}
	detail := topics[topic]
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition), !topics.Has(topic) && detail.Err == nil:
		return nil, fmt.Errorf("topic %s: there is no such topic; create it first", topic)
	case detail.Err != nil:
		return nil, fmt.Errorf("topic %s: %w", topic, sluice.Explain(detail.Err, "DESCRIBE", topic))
	}
	return detail.Partitions.Numbers(), nil
}

// Writable sees to it that a topic is there, and may be written, and returns its partitions.
func Writable(ctx context.Context, admin *kadm.Client, topic string) ([]int32, error) {
	topics, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), topic)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, sluice.Explain(err, "WRITE", topic))
	}
	detail := topics[topic]
	if errors.Is(detail.Err, kerr.UnknownTopicOrPartition) || !topics.Has(topic) && detail.Err == nil {
		return nil, fmt.Errorf("topic %s does not exist; create it, e.g. kafka-topics --create --topic %s --partitions 6", topic, topic)
	}
	has := func(o kadm.ACLOperation) bool { return slices.Contains(detail.AuthorizedOperations, o) }
	if err = detail.Err; err == nil && has(kadm.OpDescribe) && !has(kadm.OpWrite) { // without DESCRIBE the broker does not tell
		err = kerr.TopicAuthorizationFailed // what writing would be answered with
	}
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, sluice.Explain(err, "WRITE", topic))
	}
	return detail.Partitions.Numbers(), nil
}

// MaxMessageBytes are the sizes of the largest batches that topics take (max.message.bytes), of those that we may know it of.
func MaxMessageBytes(ctx context.Context, admin *kadm.Client, topics ...string) (map[string]int, error) {
	configs, err := admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the topics %v: %w", topics, err)
	}
	largest := map[string]int{}
	for _, topic := range configs {
		for _, c := range topic.Configs {
			if n, err := strconv.Atoi(c.MaybeValue()); c.Key == "max.message.bytes" && err == nil {
				largest[topic.Name] = n
			}
		}
	}
	return largest, nil
}

// Bounds are the first and the last offset of each partition, the last being what read_committed sees: the first offset
// that an open transaction may still change, or else the log's end.
type Bounds map[string]map[int32]Bound

// Bound is one partition: records from Start to End, End not among them.
type Bound struct{ Start, End int64 }

// ReadBounds asks for the bounds of topics, as read_uncommitted sees them, which is up to the log's end, or as read_committed
// does.
func ReadBounds(ctx context.Context, admin *kadm.Client, uncommitted bool, topics ...string) (Bounds, error) {
	listEnds := admin.ListCommittedOffsets
	if uncommitted {
		listEnds = admin.ListEndOffsets
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read where the logs of %v start: %w", topics, err)
	}
	ends, err := listEnds(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read where the logs of %v end: %w", topics, err)
	}
	bounds := Bounds{}
	ends.Each(func(end kadm.ListedOffset) {
		if bounds[end.Topic] == nil {
			bounds[end.Topic] = map[int32]Bound{}
		}
		start, _ := starts.Lookup(end.Topic, end.Partition)
		bounds[end.Topic][end.Partition] = Bound{Start: start.Offset, End: end.Offset}
	})
	return bounds, nil
}

// Remaining counts the offsets below the bounds' ends that a group has not committed. A partition whose log is empty has
// none, and so needs no commit.
func Remaining(ctx context.Context, admin *kadm.Client, group string, bounds Bounds) (int64, error) {
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // a group that nobody joined yet
		return 0, fmt.Errorf("read the commits of group %s: %w", group, err)
	}
	var left int64
	for topic, partitions := range bounds {
		for partition, bound := range partitions {
			at := bound.Start
			if c, ok := committed.Lookup(topic, partition); ok {
				if c.Err != nil {
					return 0, fmt.Errorf("read the commits of group %s: %w", group, c.Err)
				}
				at = max(at, c.At)
			}
			left += max(bound.End-at, 0)
		}
	}
	return left, nil
}
