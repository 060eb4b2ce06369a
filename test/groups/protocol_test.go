package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// kit is a client of the test's own.
type kit struct {
	*testing.T

	k      *servers.KafkaServer
	client *kgo.Client
	admin  *kadm.Client
	name   string // of its topics and its group
}

func newKit(t *testing.T) *kit {
	t.Helper()
	return kitOn(t, servers.Kafka(t))
}

func kitOn(t *testing.T, k *servers.KafkaServer) *kit {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &kit{t, k, client, kadm.NewClient(client), fmt.Sprintf("groups-%d", time.Now().UnixNano())}
}

func (k *kit) create(partitions int32, topics ...string) {
	k.Helper()
	if _, err := k.admin.CreateTopics(k.Context(), partitions, 1, nil, topics...); err != nil {
		k.Fatal(err)
	}
}

func (k *kit) produce(topic string, partitions int32, from, n int) {
	k.Helper()
	var rs []*kgo.Record
	for p := range partitions {
		for i := from; i < from+n; i++ {
			rs = append(rs, &kgo.Record{Topic: topic, Partition: p, Value: []byte(strconv.Itoa(i))})
		}
	}
	if err := k.client.ProduceSync(k.Context(), rs...).FirstErr(); err != nil {
		k.Fatal(err)
	}
}

func (k *kit) until(what string, ok func() bool) {
	k.Helper()
	const limit = 4 * time.Minute // a cluster of three comes up beside other packages' servers, on two cores
	deadline := time.After(limit)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			stacks := make([]byte, 1<<20)
			k.Fatalf("waited %v for: %s\n%s", limit, what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// ledger counts what handlers saw.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
}

func (l *ledger) note(m sluice.Message[string]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = make(map[string]int)
	}
	l.seen[m.Topic()+"/"+strconv.Itoa(int(m.Partition()))+"/"+m.Value]++
}

func (l *ledger) count() (records, times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.seen {
		times += n
	}
	return len(l.seen), times
}

type member struct {
	*sluice.App

	stop context.CancelFunc
	done chan error
}

func (k *kit) join(l *ledger, protocol sluice.GroupProtocol, pattern string, topics ...string) *member {
	k.Helper()
	return k.joinAs("", l, protocol, pattern, topics...)
}

// joinAs joins as a static member, unless instance is empty.
func (k *kit) joinAs(instance string, l *ledger, protocol sluice.GroupProtocol, pattern string, topics ...string) *member {
	k.Helper()
	var assignors []sluice.Assignor
	if instance != "" {
		assignors = []sluice.Assignor{sluice.Range} // the order of their ids says who gets what
	}
	app, err := sluice.New(sluice.Config{
		Brokers: k.k.Seeds(), Group: k.name, GroupProtocol: protocol, InstanceID: instance, Assignors: assignors, Network: sluice.Network{MetadataMaxAge: 2 * time.Second},
		Logger: slog.New(slog.NewTextHandler(k.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		k.Fatal(err)
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: topics, Pattern: pattern, Decode: sluice.Text,
		Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
	})
	if err != nil {
		k.Fatal(err)
	}
	return k.start(app)
}

// start runs an app until the test ends.
func (k *kit) start(app *sluice.App) *member {
	k.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{app, cancel, make(chan error, 1)}
	go func() { m.done <- app.Run(ctx); close(m.done) }()
	k.Cleanup(func() {
		cancel()
		for range m.done { // ended, or ends now
		}
	})
	return m
}

func (m *member) leave(k *kit) {
	k.Helper()
	m.stop()
	if err := <-m.done; err != nil {
		k.Fatalf("Run: %v", err)
	}
}

func (m *member) owns(n int) func() bool {
	return func() bool { return len(m.Snapshot().Partitions) == n }
}

// Members come and go, and every record is handled once.
func TestMembersOfAConsumerGroupComeAndGo(t *testing.T) {
	k := newKit(t)
	k.create(6, k.name)
	var l ledger
	a := k.join(&l, sluice.ConsumerProtocol, "", k.name)
	k.until("all", a.owns(6))
	if h := a.Health(); h.Protocol != sluice.ConsumerProtocol || !h.Ready {
		t.Errorf("%+v", h)
	}
	k.produce(k.name, 6, 0, 1000)
	b := k.join(&l, sluice.ConsumerProtocol, "", k.name)
	k.until("half", func() bool { return a.owns(3)() && b.owns(3)() })
	k.produce(k.name, 6, 1000, 1000)
	k.until("the records", func() bool { n, _ := l.count(); return n == 12_000 })
	a.leave(k)
	k.until("all of the other", b.owns(6))
	k.produce(k.name, 6, 2000, 1000)
	k.until("the records", func() bool { n, _ := l.count(); return n == 18_000 })
	if err := b.Seek(t.Context(), k.name, 0, 2500); err != nil {
		t.Error(err)
	}
	k.until("those of the seek", func() bool { _, times := l.count(); return times == 18_500 })
	b.leave(k)
	if n, times := l.count(); n != 18_000 || times != 18_500 {
		t.Errorf("%d records, %d times", n, times)
	}
}

// A group moves over from the classic protocol, member by member.
func TestAGroupMovesOverToTheConsumerProtocol(t *testing.T) {
	k := newKit(t)
	k.create(6, k.name)
	var l ledger
	a, b := k.join(&l, sluice.ClassicProtocol, "", k.name), k.join(&l, sluice.ClassicProtocol, "", k.name)
	k.until("half", func() bool { return a.owns(3)() && b.owns(3)() })
	k.produce(k.name, 6, 0, 1000)
	a.leave(k)
	a = k.join(&l, sluice.ConsumerProtocol, "", k.name)
	k.until("half again", func() bool { return a.owns(3)() && b.owns(3)() })
	k.produce(k.name, 6, 1000, 1000)
	b.leave(k)
	b = k.join(&l, sluice.ConsumerProtocol, "", k.name)
	k.until("half in the end", func() bool { return a.owns(3)() && b.owns(3)() })
	k.produce(k.name, 6, 2000, 1000)
	k.until("the records", func() bool { n, _ := l.count(); return n == 18_000 })
	if a.Health().Protocol != sluice.ConsumerProtocol || b.Health().Protocol != sluice.ConsumerProtocol {
		t.Error("not moved over")
	}
	a.leave(k)
	b.leave(k)
	if _, times := l.count(); times != 18_000 {
		t.Errorf("handled %d times", times)
	}
}

// With the feature switched off, the app says so, and how to switch it on; it joins nothing.
func TestABrokerWithoutTheFeatureIsRefused(t *testing.T) {
	k := newKit(t)
	k.create(1, k.name)
	const upgrade, safeDowngrade = 1, 2
	set := func(level int16, how int8) error {
		_, err := k.admin.UpdateFeatures(context.Background(), false,
			kadm.FeatureUpdate{Feature: "group.version", MaxVersionLevel: level, UpgradeType: how})
		return err
	}
	if err := set(0, safeDowngrade); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set(1, upgrade); err != nil {
			t.Error(err)
		}
	})
	m := k.join(new(ledger), sluice.ConsumerProtocol, "", k.name)
	err := <-m.done
	e, ok := errors.AsType[*sluice.ConfigError](err)
	if !ok || e.Property != "group.protocol" || !strings.Contains(e.Problem, "upgrade --feature group.version=1") {
		t.Errorf("%v", err)
	}
}

// A pattern's topics come and go.
func TestTopicsOfAPatternComeAndGo(t *testing.T) {
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			k := newKit(t)
			k.create(2, k.name+".a", k.name+".b")
			var l ledger
			m := k.join(&l, protocol, k.name+`\..*`)
			k.produce(k.name+".a", 2, 0, 10)
			k.produce(k.name+".b", 2, 0, 10)
			k.until("what is there", func() bool { n, _ := l.count(); return n == 40 })
			k.create(3, k.name+".c")
			k.produce(k.name+".c", 3, 0, 10)
			k.until("the new topic", func() bool { n, _ := l.count(); return n == 70 })
			if _, err := k.admin.DeleteTopics(t.Context(), k.name+".b"); err != nil {
				t.Fatal(err)
			}
			k.until("the deleted topic is let go", m.owns(5))
			k.produce(k.name+".a", 2, 10, 10)
			k.until("the others go on", func() bool { n, _ := l.count(); return n == 90 })
			m.leave(k)
		})
	}
}
