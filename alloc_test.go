package sluice_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const pathRecords = 50_000

// filledTopic is an in-process broker with a topic of one partition.
func filledTopic(tb testing.TB) []string {
	tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	for range pathRecords {
		client.Produce(tb.Context(), &kgo.Record{Key: []byte("customer"), Value: make([]byte, 248)}, func(_ *kgo.Record, err error) {
			if err != nil {
				tb.Error(err)
			}
		})
	}
	if err := client.Flush(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return cluster.ListenAddrs()
}

// allocations is how often memory is allocated while f runs, by the whole process.
func allocations(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

// rawLoop reads the topic with franz-go alone.
func rawLoop(tb testing.TB, brokers []string, group string) {
	tb.Helper()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics("orders"), kgo.AutoCommitMarks(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		tb.Fatal(err)
	}
	defer client.Close()
	for n := 0; n < pathRecords; {
		fetches := client.PollRecords(tb.Context(), 10_000)
		if err := fetches.Err(); err != nil {
			tb.Fatal(err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for range p.Records {
				n++
			}
			client.MarkCommitRecords(p.Records[len(p.Records)-1])
		})
	}
}

// byPartition reads it with a route that keeps the partition's order.
func byPartition(tb testing.TB, brokers []string, group string) {
	tb.Helper()
	app, err := sluice.New(sluice.Config{Brokers: brokers, Group: group})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	defer stop()
	n := 0
	err = sluice.Add(app, sluice.Route[[]byte]{
		Topics: []string{"orders"}, Decode: sluice.Raw,
		Handle: func(context.Context, sluice.Message[[]byte]) error {
			if n++; n == pathRecords {
				stop()
			}
			return nil
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	if err := app.Run(ctx); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkConsume shows what a record costs, with an in-process broker: `go test -run '^$' -bench Consume -benchmem .`
func BenchmarkConsume(b *testing.B) {
	brokers := filledTopic(b)
	for name, read := range map[string]func(testing.TB, []string, string){"franz-go": rawLoop, "sluice": byPartition} {
		b.Run(name, func(b *testing.B) {
			var n float64
			for i := range b.N {
				n += allocations(func() { read(b, brokers, fmt.Sprintf("%s-%d-%d", name, b.N, i)) })
			}
			b.ReportMetric(n/float64(b.N)/pathRecords, "allocs/record")
		})
	}
}

func TestConsumingByPartitionAllocatesNoMoreARecordThanTheClient(t *testing.T) {
	brokers := filledTopic(t)
	rawLoop(t, brokers, "warm-up")
	theirs := allocations(func() { rawLoop(t, brokers, "franz-go") })
	ours := allocations(func() { byPartition(t, brokers, "sluice") })
	if more := (ours - theirs) / pathRecords; more > 0.2 {
		t.Errorf("a record costs %.2f allocations more than the %.2f of the client alone; the start and the polls may cost a few",
			more, theirs/pathRecords)
	}
}
