package sluice_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// written tells of each batch that was acknowledged.
type written chan kgo.ProduceBatchMetrics

// OnProduceBatchWritten implements kgo.HookProduceBatchWritten.
func (w written) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	w <- m
}

// onLoopback is an in-process cluster in real time, for codecs that finalizers close, which no bubble allows.
func onLoopback(t *testing.T, partitions int32, topics ...string) []string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func TestCompressionIsOnTheWire(t *testing.T) {
	var text strings.Builder // compresses, but not to nothing
	for i := range 20_000 {
		text.WriteString(strings.Repeat("order of customer "[i%17:], 1+i%3))
		text.WriteByte(byte('a' + i*i%23))
	}
	for _, one := range []struct {
		codec     sluice.Compression
		number    uint8
		low, high int
	}{
		{"", 0, 0, 0},
		{sluice.Uncompressed, 0, 0, 0},
		{sluice.Gzip, 1, 1, 9},
		{sluice.Snappy, 2, 0, 0},
		{sluice.LZ4, 3, 1, 9},
		{sluice.Zstd, 4, 1, 22},
	} {
		t.Run("codec "+string(one.codec), func(t *testing.T) {
			brokers := onLoopback(t, 1, "orders")
			size := func(level int) int {
				sent := make(written, 1)
				p := newProducer(t, sluice.ProducerConfig{
					Brokers: brokers, Compression: one.codec, CompressionLevel: level, ClientOptions: []kgo.Opt{kgo.WithHooks(sent)},
				})
				defer closeProducer(t, p)
				if err := p.Send(t.Context(), textRecord("orders", text.String())); err != nil {
					t.Fatal(err)
				}
				return (<-sent).CompressedBytes
			}
			size(0)
			if one.high > 0 {
				if low, high := size(one.low), size(one.high); high >= low {
					t.Errorf("level %d takes %d bytes, level %d takes %d", one.low, low, one.high, high)
				}
			}
			client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics("orders"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			r := client.PollFetches(t.Context()).Records()[0]
			if got := r.Attrs.CompressionType(); got != one.number {
				t.Errorf("the batch has codec %d, want %d", got, one.number)
			}
			if string(r.Value) != text.String() {
				t.Error("another value came back")
			}
		})
	}
}
