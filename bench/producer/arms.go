package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/bench/internal/measure"
)

const (
	armSluice = "sluice"
	armFranz  = "franz"
	armSarama = "sarama"

	jobVariable = "SLUICE_BENCH_PRODUCER_JOB"
)

// job is what this program does as a child of itself.
type job struct {
	Arm     string        `json:"arm"`
	Brokers []string      `json:"brokers"`
	Topic   string        `json:"topic"`
	Records int64         `json:"records"`
	Linger  time.Duration `json:"linger"`
}

type arm struct {
	name string
	do   func(context.Context, job) error
}

func arms() []arm {
	return []arm{{armSluice, doSluice}, {armFranz, doFranz}, {armSarama, doSarama}}
}

func armNames() []string {
	var names []string
	for _, a := range arms() {
		names = append(names, a.name)
	}
	return names
}

// cost is what a child says of its job.
type cost struct {
	Took time.Duration `json:"took"` // without the process' start
	RSS  int64         `json:"rss"`  // bytes, at most
}

// runChild does a job and prints its cost.
func runChild(ctx context.Context, text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return fmt.Errorf("%s: %w", jobVariable, err)
	}
	for _, a := range arms() {
		if a.name == j.Arm {
			began := time.Now()
			err := a.do(ctx, j)
			return errors.Join(err, json.NewEncoder(os.Stdout).Encode(cost{time.Since(began), measure.MemoryPeak()}))
		}
	}
	return fmt.Errorf("%s: there is no arm %q", jobVariable, j.Arm)
}

// The settings that the arms share: a batch, a request, and what may wait.
const (
	batchBytes    = 1_000_000
	requestBytes  = 1 << 20
	bufferedBytes = 32 << 20
	keyBytes      = 8
	valueBytes    = 248
)

// payload is the value of every record; text that no codec would shrink to nothing, were one asked for.
func payload() []byte {
	return []byte(strings.Repeat("order 0815 of customer 4711; ", 10))[:valueBytes]
}

// key spreads the records over the partitions.
func key(i int64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, keyBytes), uint64(i)) }

// tally counts what was acknowledged, and keeps the first failure.
type tally struct {
	acknowledged atomic.Int64
	failed       atomic.Pointer[error]
}

func (t *tally) done(_ *kgo.Record, err error) {
	if err != nil {
		t.failed.CompareAndSwap(nil, &err)
		return
	}
	t.acknowledged.Add(1)
}

func (t *tally) result(j job, err error) error {
	if first := t.failed.Load(); first != nil {
		err = errors.Join(err, *first)
	}
	if n := t.acknowledged.Load(); n != j.Records {
		err = errors.Join(err, fmt.Errorf("%d of %d records were acknowledged", n, j.Records))
	}
	return err
}

func doSluice(ctx context.Context, j job) error {
	p, err := sluice.NewProducer(sluice.ProducerConfig{
		Brokers: j.Brokers, BatchBytes: batchBytes, MaxBufferedBytes: bufferedBytes, MaxRequestBytes: requestBytes, Linger: j.Linger,
	})
	if err != nil {
		return err
	}
	var t tally
	value, whole := payload(), context.WithoutCancel(ctx)
	for i := range j.Records {
		p.Enqueue(whole, &kgo.Record{Topic: j.Topic, Key: key(i), Value: value}, t.done)
	}
	return t.result(j, p.Close(whole))
}

func doFranz(ctx context.Context, j job) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(j.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerBatchMaxBytes(batchBytes), kgo.BrokerMaxWriteBytes(requestBytes), kgo.ProducerLinger(j.Linger),
		// Records are counted with 200 B beside their own by sluice.
		kgo.MaxBufferedRecords(bufferedBytes/(keyBytes+valueBytes+200)),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	var t tally
	value, whole := payload(), context.WithoutCancel(ctx)
	for i := range j.Records {
		client.Produce(whole, &kgo.Record{Topic: j.Topic, Key: key(i), Value: value}, t.done)
	}
	return t.result(j, client.Flush(whole))
}

// doSarama is tuned as sarama's documentation says: batches by size and time, and successes that are read. Its idempotent
// producer allows one request under way.
func doSarama(_ context.Context, j job) error {
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.ChannelBufferSize = 4096
	c.Net.MaxOpenRequests = 1
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.MaxMessageBytes = batchBytes
	c.Producer.Flush.Bytes = batchBytes / 2
	c.Producer.Flush.Frequency = 5 * time.Millisecond
	p, err := sarama.NewAsyncProducer(j.Brokers, c)
	if err != nil {
		return err
	}
	var t tally
	read := make(chan struct{})
	go func() { // Close ends it
		defer close(read)
		successes, failures := p.Successes(), p.Errors()
		for successes != nil || failures != nil {
			select {
			case _, ok := <-successes:
				if !ok {
					successes = nil
					continue
				}
				t.done(nil, nil)
			case e, ok := <-failures:
				if !ok {
					failures = nil
					continue
				}
				t.done(nil, e)
			}
		}
	}()
	value := payload()
	for i := range j.Records {
		p.Input() <- &sarama.ProducerMessage{Topic: j.Topic, Key: sarama.ByteEncoder(key(i)), Value: sarama.ByteEncoder(value)}
	}
	p.AsyncClose()
	<-read
	return t.result(j, nil)
}
