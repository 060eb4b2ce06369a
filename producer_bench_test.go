package sluice_test

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

// nowhere is a broker that acknowledges what it is sent, and keeps nothing.
func nowhere(b *testing.B) []string {
	b.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "orders"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	var offset atomic.Int64
	c.ControlKey(int16(kmsg.Produce), func(in kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req, ok := in.(*kmsg.ProduceRequest)
		if !ok {
			return nil, errors.New("no produce request"), true
		}
		resp, _ := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				partition := kmsg.NewProduceResponseTopicPartition()
				partition.Partition, partition.BaseOffset = p.Partition, offset.Add(100_000)
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp, nil, true
	})
	return c.ListenAddrs()
}

// BenchmarkEnqueue compares the producer with the client that it stands on. Run it with -count, and compare cpu-ns/op.
func BenchmarkEnqueue(b *testing.B) {
	value := make([]byte, 256)
	for _, arm := range []struct {
		name string
		ctx  context.Context
	}{{"background", context.Background()}, {"cancellable", b.Context()}} {
		b.Run("sluice/"+arm.name, func(b *testing.B) {
			p, err := sluice.NewProducer(sluice.ProducerConfig{Brokers: nowhere(b)})
			if err != nil {
				b.Fatal(err)
			}
			var failed atomic.Int64
			done := func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			measure(b, &failed, func() {
				p.Enqueue(arm.ctx, &kgo.Record{Topic: "orders", Value: value}, done)
			}, func() error { return p.Flush(context.Background()) })
			if err := p.Close(context.Background()); err != nil {
				b.Fatal(err)
			}
		})
		b.Run("kgo/"+arm.name, func(b *testing.B) {
			client, err := kgo.NewClient(kgo.SeedBrokers(nowhere(b)...), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
				kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1_000_000), kgo.BrokerMaxWriteBytes(1<<20),
				kgo.ProducerLinger(0), kgo.MaxBufferedBytes(32<<20), kgo.MaxBufferedRecords(1<<20))
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close()
			var failed atomic.Int64
			done := func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
				}
			}
			measure(b, &failed, func() {
				client.Produce(arm.ctx, &kgo.Record{Topic: "orders", Value: value}, done)
			}, func() error { return client.Flush(context.Background()) })
		})
	}
}

// measure tells the CPU time of the whole process beside the benchmark's own figures.
func measure(b *testing.B, failed *atomic.Int64, send func(), flush func() error) {
	b.Helper()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		send()
	}
	if err := flush(); err != nil || failed.Load() > 0 {
		b.Fatalf("%d failed, %v", failed.Load(), err)
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
