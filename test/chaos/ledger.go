package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic         = "ledger"
	partitions    = 6 // at the beginning
	keysPartition = 40
	tick          = 20 * time.Millisecond
)

// coordinate is where a record lies in the topic.
type coordinate struct {
	partition int32
	offset    int64
}

// entry is one record of the ledger: the number-th of its key, counted from 0.
type entry struct {
	key    string
	number int64
}

// ledger writes numbered records. A key's records go to one partition for ever, also when partitions are added, so that its numbers
// grow along that partition.
type ledger struct {
	client *kgo.Client

	mu     sync.Mutex
	acked  map[coordinate]entry
	failed error // the first
}

func newLedger(seeds []string) (*ledger, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(seeds...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return nil, err
	}
	return &ledger{client: client, acked: make(map[coordinate]entry)}, nil
}

// create makes the topic.
func (l *ledger) create(ctx context.Context) error {
	_, err := kadm.NewClient(l.client).CreateTopic(ctx, partitions, -1, nil, topic)
	return err
}

// write writes so many records a second until the context ends, and returns when all of them are acknowledged.
func (l *ledger) write(ctx context.Context, random *rand.Rand, rate int) error {
	next := make(map[string]int64)
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	began, written := time.Now(), 0
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-ticks.C:
		}
		due := int(time.Since(began).Seconds() * float64(rate))
		for ; written < due && ctx.Err() == nil; written++ {
			partition := random.Int32N(partitions)
			e := entry{key: fmt.Sprintf("%d-%d", partition, random.IntN(keysPartition))}
			e.number = next[e.key]
			next[e.key]++
			// Not with ctx: what was begun is to be acknowledged, or its number is a hole that nobody can tell from a loss.
			l.client.Produce(context.WithoutCancel(ctx), &kgo.Record{
				Partition: partition, Key: []byte(e.key), Value: []byte(strconv.FormatInt(e.number, 10)),
			}, func(r *kgo.Record, err error) { l.note(r, e, err) })
		}
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := l.client.Flush(flush)
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.failed)
}

func (l *ledger) note(r *kgo.Record, e entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := coordinate{r.Partition, r.Offset}
	other, twice := l.acked[at]
	switch {
	case err == nil && twice:
		err = fmt.Errorf("the broker gave %v to %v, and had given it to %v", at, e, other)
	case err == nil:
		l.acked[at] = e
	default:
		err = fmt.Errorf("%v was not acknowledged: %w", e, err)
	}
	if l.failed == nil {
		l.failed = err
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// verify reads the topic from its beginning and demands that it holds what was acknowledged and nothing else: what the cluster itself did
// is no job's fault.
func (l *ledger) verify(ctx context.Context, seeds []string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic))
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	seen := 0
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			e, ok := l.acked[coordinate{r.Partition, r.Offset}]
			if !ok || e.key != string(r.Key) || strconv.FormatInt(e.number, 10) != string(r.Value) {
				err = fmt.Errorf("the log has %s %s at %d/%d, the ledger %v", r.Key, r.Value, r.Partition, r.Offset, e)
			}
			seen++
		})
	}
	if err == nil && seen != len(l.acked) {
		err = fmt.Errorf("the log has %d records, and %d were acknowledged", seen, len(l.acked))
	}
	return err
}
