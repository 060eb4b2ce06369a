package producer

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

var topics atomic.Int64

// newTopic makes a topic, with settings of its own.
func newTopic(t *testing.T, k *servers.KafkaServer, partitions int32, settings map[string]*string) string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := fmt.Sprintf("producer-%d-%d", time.Now().UnixNano(), topics.Add(1))
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, -1, settings, topic); err != nil {
		t.Fatal(err)
	}
	return topic
}

// readAll returns everything that a topic holds, partition by partition in order.
func readAll(t *testing.T, k *servers.KafkaServer, topic string) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	var all []*kgo.Record
	for int64(len(all)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// ledger is what was told of each key: how many of its records, counted from 0, were acknowledged.
type ledger map[string]int

// complaints says what is wrong with what a topic holds. Each key has numbers that grow by one: without holes, repetitions and
// turns, at least as many as were acknowledged.
func (l ledger) complaints(records []*kgo.Record) []string {
	var out []string
	next := map[string]int{}
	for _, r := range records {
		key := string(r.Key)
		if n, err := strconv.Atoi(string(r.Value)); err != nil || n != next[key] {
			out = append(out, fmt.Sprintf("%s has %s at %d/%d, want %d", key, r.Value, r.Partition, r.Offset, next[key]))
			if err == nil && n > next[key] {
				next[key] = n + 1
			}
			continue
		}
		next[key]++
	}
	for key, acknowledged := range l {
		if next[key] < acknowledged {
			out = append(out, fmt.Sprintf("%s has %d records, and %d were acknowledged", key, next[key], acknowledged))
		}
	}
	return out
}

// check fails a test for the first few complaints.
func (l ledger) check(t *testing.T, records []*kgo.Record) {
	t.Helper()
	all := l.complaints(records)
	for _, c := range all[:min(len(all), 10)] {
		t.Error(c)
	}
}
