package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic         = "ledger"
	partitions    = 6 // at the beginning
	keysPartition = 40
	tick          = 20 * time.Millisecond

	abortedKey   = "aborted" // of records that nobody may see
	abortedEach  = 20        // records of an aborted transaction
	abortedPause = 2 * time.Second
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
	client     *kgo.Client
	seeds      []string
	partitions atomic.Int32

	mu     sync.Mutex
	acked  map[coordinate]entry
	failed error // the first

	aborted int // transactions
}

func newLedger(seeds []string) (*ledger, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(seeds...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MetadataMaxAge(time.Second), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.UnknownTopicRetries(-1), // a broker that comes back may not know it yet
	)
	if err != nil {
		return nil, err
	}
	l := &ledger{client: client, seeds: seeds, acked: make(map[coordinate]entry)}
	l.partitions.Store(partitions)
	return l, nil
}

// grow adds a partition, and writes to it, too, from when the client knows of it.
func (l *ledger) grow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	count := l.partitions.Load() + 1
	admin := kadm.NewClient(l.client)
	for {
		answers, err := admin.UpdatePartitions(ctx, int(count), topic)
		if err == nil {
			err = answers.Error()
		}
		if err == nil || errors.Is(err, kerr.InvalidPartitions) { // it was done, and the answer was lost
			break
		}
		if !idle(ctx, time.Second) {
			return fmt.Errorf("add a partition: %w", err)
		}
	}
	for {
		if leader, _, err := l.client.PartitionLeader(topic, count-1); err == nil && leader >= 0 {
			l.partitions.Store(count)
			return nil
		}
		if !idle(ctx, 100*time.Millisecond) {
			return errors.New("the added partition has no leader")
		}
	}
}

// spoil writes transactions and aborts them all, until the context ends. A client that is in trouble is replaced: the next one of its
// name aborts what it left.
func (l *ledger) spoil(ctx context.Context) {
	for ctx.Err() == nil {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(l.seeds...), kgo.DefaultProduceTopic(topic), kgo.TransactionalID("spoiler"),
			kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		)
		if err != nil {
			l.fail(err)
			return
		}
		for err == nil && idle(ctx, abortedPause) {
			if err = l.abortOne(ctx, client); err == nil {
				l.mu.Lock()
				l.aborted++
				l.mu.Unlock()
			}
		}
		client.Close()
		idle(ctx, 200*time.Millisecond)
	}
}

func (l *ledger) abortOne(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	var rs []*kgo.Record
	for i := range abortedEach {
		rs = append(rs, &kgo.Record{Partition: int32(i % partitions), Key: []byte(abortedKey), Value: []byte("-1")})
	}
	written := client.ProduceSync(ctx, rs...).FirstErr()
	return errors.Join(written, client.EndTransaction(ctx, kgo.TryAbort))
}

func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = err
	}
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
			partition := random.Int32N(l.partitions.Load())
			if leader, _, _ := l.client.PartitionLeader(topic, partition); leader < 0 {
				partition %= partitions // metadata of a broker that lags has no added one, and the client would drop the record
			}
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
	if err != nil {
		l.fail(fmt.Errorf("%v was not acknowledged: %w", e, err))
		return
	}
	at := coordinate{r.Partition, r.Offset}
	l.mu.Lock()
	other, twice := l.acked[at]
	l.acked[at] = e
	l.mu.Unlock()
	if twice {
		l.fail(fmt.Errorf("the broker gave %v to %v, and had given it to %v", at, e, other))
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// verify reads the topic from its beginning and demands that its committed records are what was acknowledged and nothing else: what the
// cluster itself did is no job's fault.
func (l *ledger) verify(ctx context.Context) error {
	seen, wrong := 0, error(nil)
	err := readCommitted(ctx, l.seeds, topic, func(r *kgo.Record) {
		e, ok := l.acked[coordinate{r.Partition, r.Offset}]
		if !ok || e.key != string(r.Key) || strconv.FormatInt(e.number, 10) != string(r.Value) {
			wrong = fmt.Errorf("the log has %s %s at %d/%d, the ledger %v", r.Key, r.Value, r.Partition, r.Offset, e)
		}
		seen++
	})
	if err = errors.Join(err, wrong); err == nil && seen != len(l.acked) {
		err = fmt.Errorf("the log has %d records, and %d were acknowledged", seen, len(l.acked))
	}
	return err
}

// readCommitted gives every committed record of a topic to a function, those of a partition in order.
func readCommitted(ctx context.Context, seeds []string, topic string, take func(*kgo.Record)) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w; not read to these ends: %v", topic, err, left)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				take(r)
			}
		})
	}
	return nil
}
