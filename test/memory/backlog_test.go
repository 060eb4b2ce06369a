package memory

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

const (
	partitions = 6
	keys       = 1_000_000
)

// backlog is what a topic is filled with.
type backlog struct {
	bytes       int64 // of values
	least, most int   // of a value; as many are between 1 and 10 KB as between 10 and 100
	random      int   // one byte in so many is random
}

// produce fills a topic, and returns how many records and bytes of values it has, and how many bytes a compressed one stands for.
func (b backlog) produce(t *testing.T, k *servers.KafkaServer, topic string) (records, bytes int64, ratio float64) {
	t.Helper()
	written := new(written)
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchMaxBytes(1<<20),
		kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)), kgo.MaxBufferedRecords(1<<20), kgo.MaxBufferedBytes(128<<20),
		kgo.WithHooks(written))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{7})
	pick := rand.New(random)
	noise := make([]byte, 2*b.most)
	_, _ = random.Read(noise) // never fails
	pool := sync.Pool{New: func() any { return new(kgo.Record) }}
	var failed error
	for bytes < b.bytes {
		r, ok := pool.Get().(*kgo.Record)
		if !ok {
			t.Fatal("no record in the pool")
		}
		n := int(float64(b.least) * math.Pow(float64(b.most)/float64(b.least), pick.Float64()))
		value := slices.Grow(r.Value[:0], n)[:n]
		clear(value[copy(value, noise[pick.IntN(len(noise)-n):][:n/b.random]):])
		binary.LittleEndian.PutUint32(value, pick.Uint32()) // no two alike
		*r = kgo.Record{Key: binary.BigEndian.AppendUint32(r.Key[:0], pick.Uint32N(keys)), Value: value}
		bytes += int64(n)
		records++
		cl.Produce(t.Context(), r, func(r *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
			pool.Put(r)
		})
	}
	if err := cl.Flush(t.Context()); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return records, bytes, float64(written.memory.Load()) / float64(written.wire.Load())
}

// written counts what batches came to.
type written struct{ wire, memory atomic.Int64 }

func (w *written) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	w.wire.Add(int64(m.CompressedBytes))
	w.memory.Add(int64(m.UncompressedBytes))
}
