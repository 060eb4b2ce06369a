// Package crash tests, on the real Apache Kafka, that what is finished above the frontier travels in the metadata of commits, and that
// no limit of a broker keeps an offset from being committed.
package crash

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

func TestMain(m *testing.M) {
	code := m.Run()
	servers.Stop()
	os.Exit(code)
}

// connect makes a topic, and a client that puts records where it is told.
func connect(t *testing.T, k *servers.KafkaServer, partitions int32) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, nil, topicOf(t)); err != nil {
		t.Fatal(err)
	}
	return client
}

func topicOf(t *testing.T) string { return strings.NewReplacer("/", ".", " ", "-").Replace(t.Name()) }

// A commit of many partitions with full metadata is refused as a whole, at a size that the engine's bound is half of.
func TestABrokerRefusesACommitWithTooMuchMetadata(t *testing.T) {
	const partitions = 300
	admin := kadm.NewClient(connect(t, servers.Kafka(t), partitions))
	commit := func(characters int) error {
		var offsets kadm.Offsets
		for p := range int32(partitions) {
			offsets.Add(kadm.Offset{Topic: topicOf(t), Partition: p, At: 1, LeaderEpoch: -1, Metadata: strings.Repeat("x", characters)})
		}
		return admin.CommitAllOffsets(t.Context(), topicOf(t), offsets)
	}
	if err := commit(4096); !errors.Is(err, kerr.UnknownServerError) {
		t.Errorf("%d partitions with 4,096 characters each: %v, want UNKNOWN_SERVER_ERROR", partitions, err)
	}
	if err := commit((512 << 10) / partitions); err != nil {
		t.Errorf("%d partitions with 512 KiB together: %v", partitions, err)
	}
}

// Every other record waits, so that the metadata is as long as it gets. Brokers that take less of it get less, and the offsets.
func TestBrokersWithSmallerLimitsGetLess(t *testing.T) {
	for name, c := range map[string]struct {
		lines      string
		partitions int32
		records    int // a partition
		most       int // characters of all partitions
	}{
		"offset.metadata.max.bytes": {"offset.metadata.max.bytes=256\n", 3, 4_000, 3 * 256},
	} {
		t.Run(name, func(t *testing.T) {
			k := servers.KafkaWith(t, c.lines)
			client := connect(t, k, c.partitions)
			for p := range c.partitions {
				for i := range c.records {
					client.Produce(t.Context(), &kgo.Record{Topic: topicOf(t), Partition: p, Value: []byte(strconv.Itoa(i))}, nil)
				}
			}
			if err := client.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			app, err := sluice.New(sluice.Config{
				Brokers: k.Seeds(), Group: topicOf(t), MaxBufferedBytes: 4 << 30, DrainTimeout: time.Second,
				Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			var done atomic.Int64
			err = sluice.Add(app, sluice.Route[string]{
				Topics: []string{topicOf(t)}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset()%2 == 1 {
						return sluice.RetryAfter(errors.New("not now"), time.Hour)
					}
					done.Add(1)
					return nil
				},
				Policy: sluice.Policy{Ordering: sluice.Unordered, Workers: 16, Commit: sluice.Every(200 * time.Millisecond)},
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- app.Run(ctx) }()
			half := int64(c.partitions) * int64(c.records) / 2
			until(t, "half of the records", func() bool { return done.Load() == half })
			committed := func() (at int64, characters int) {
				offsets, err := kadm.NewClient(client).FetchOffsets(t.Context(), topicOf(t))
				if err != nil {
					t.Fatal(err)
				}
				offsets.Each(func(o kadm.OffsetResponse) { at += o.At; characters += len(o.Metadata) })
				return at, characters
			}
			until(t, "the frontier of every partition, with metadata", func() bool {
				at, characters := committed()
				return at == int64(c.partitions) && characters > c.most/8
			})
			stop()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
			at, characters := committed()
			if at != int64(c.partitions) || characters > c.most {
				t.Errorf("committed %d in %d partitions, with %d characters; want 1 in each, and at most %d", at, c.partitions, characters, c.most)
			}
			t.Logf("%d characters of metadata, %+v", characters, app.Stats())
		})
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
