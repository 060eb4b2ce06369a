// Package monitor tests the monitor on the real Apache Kafka: groups of every protocol, transactions' markers, and ten thousand groups.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/test/servers"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	defer servers.Stop()
	return m.Run()
}

// kit is a broker of the test's own, with a client.
type kit struct {
	*testing.T

	brokers []string
	seeds   kgo.Opt
	client  *kgo.Client
	admin   *kadm.Client
}

func newKit(t *testing.T) *kit {
	t.Helper()
	brokers := servers.KafkaWith(t, "").Seeds()
	seeds := kgo.SeedBrokers(brokers...)
	client, err := kgo.NewClient(seeds, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &kit{t, brokers, seeds, client, kadm.NewClient(client)}
}

func (k *kit) create(topic string, partitions int32) {
	k.Helper()
	if _, err := k.admin.CreateTopic(k.Context(), partitions, 1, nil, topic); err != nil {
		k.Fatal(err)
	}
}

func (k *kit) produce(topic string, n int) {
	k.Helper()
	for range n {
		if err := k.client.ProduceSync(k.Context(), &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); err != nil {
			k.Fatal(err)
		}
	}
}

func (k *kit) commit(group, topic string, offset int64, partitions int32) {
	k.Helper()
	offsets := make(kadm.Offsets)
	for p := range partitions {
		offsets.AddOffset(topic, p, offset, -1)
	}
	if err := k.admin.CommitAllOffsets(k.Context(), group, offsets); err != nil {
		k.Error(err)
	}
}

// watch runs a monitor that tells each snapshot, until the test ends.
func (k *kit) watch() <-chan *monitor.Snapshot {
	k.Helper()
	told := make(chan *monitor.Snapshot)
	ctx, cancel := context.WithCancel(k.Context())
	m, err := monitor.New(monitor.Config{
		ClientOptions: []kgo.Opt{k.seeds}, Interval: time.Second, Logger: slog.New(slog.DiscardHandler),
		OnSnapshot: func(s *monitor.Snapshot) {
			select {
			case told <- s:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		k.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Run(ctx); err != nil {
			k.Error(err)
		}
	})
	k.Cleanup(wg.Wait)
	k.Cleanup(cancel)
	return told
}

// until waits for a snapshot that is as it should be.
func (k *kit) until(told <-chan *monitor.Snapshot, what string, ok func(*monitor.Snapshot) bool) *monitor.Snapshot {
	k.Helper()
	deadline := time.After(time.Minute)
	var last *monitor.Snapshot
	for {
		select {
		case last = <-told:
			if ok(last) {
				return last
			}
		case <-deadline:
			k.Fatalf("waited a minute for: %s; the last snapshot: %+v", what, last)
		}
	}
}

// row is a group's row of partition 0 of a topic.
func row(s *monitor.Snapshot, group, topic string) monitor.Partition {
	if g, ok := s.Group(group); ok {
		for _, p := range g.Partitions {
			if p.Topic == topic && p.Partition == 0 {
				return p
			}
		}
	}
	return monitor.Partition{Commit: -2}
}

// consume runs a consumer until the test ends.
func (k *kit) consume(opts ...kgo.Opt) {
	k.Helper()
	client, err := kgo.NewClient(append(opts, k.seeds)...)
	if err != nil {
		k.Fatal(err)
	}
	ctx, cancel := context.WithCancel(k.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx)
		}
		client.Close()
	})
	k.Cleanup(wg.Wait)
	k.Cleanup(cancel)
}

func (k *kit) shareFromTheStart(group string) {
	k.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Value = "share.auto.offset.reset", new("earliest")
	r.Configs, req.Resources = append(r.Configs, c), append(req.Resources, r)
	resp, err := req.RequestWith(k.Context(), k.client)
	if err != nil {
		k.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Resources[0].ErrorCode); err != nil {
		k.Fatal(err)
	}
}

// used is what this process has used of CPU, and of memory at most, in MiB.
func used(t *testing.T) (cpu time.Duration, memory int64) {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss >> 10
}

func name(i int) string { return fmt.Sprintf("group-%05d", i) }
