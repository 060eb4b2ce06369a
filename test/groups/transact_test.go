package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// forward is a member that copies a topic to another one in transactions, a record a record.
func (k *kit) forward(protocol sluice.GroupProtocol, from, to string, aborts *atomic.Int64) *member {
	k.Helper()
	app, err := sluice.New(sluice.Config{
		Brokers: k.k.Seeds(), Group: from, GroupProtocol: protocol,
		Events: sluice.Events{CommitFailed: func(i sluice.CommitFailedInfo) {
			if aborts.Add(1); i.Err != nil {
				k.Log(i.Err)
			}
		}},
		Logger: slog.New(slog.NewTextHandler(k.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		k.Fatal(err)
	}
	err = sluice.AddTransact(app, sluice.TransactRoute[string]{
		Topics: []string{from}, Decode: sluice.Text,
		Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
			return []*kgo.Record{{Topic: to, Key: fmt.Append(nil, m.Partition()), Value: []byte(m.Value)}}, nil
		},
	})
	if err != nil {
		k.Fatal(err)
	}
	return k.start(app)
}

// Members come and go while they work, one of them without a word, so that the group waits until its session has ended (45 s): a reader of
// committed records sees each record's answer once, and those of a partition in their order. Rebalances abort nothing.
func TestTransactionsAnswerEachRecordOnce(t *testing.T) {
	t.Parallel()
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel() // a session has to end
			k := newKit(t)
			k.name += string(protocol)
			k.comeAndGo(protocol)
		})
	}
}

// The same on brokers whose transactions are those before KIP-890: the group is added to each, and the producer's epoch stays.
func TestOlderTransactionsAnswerEachRecordOnce(t *testing.T) {
	t.Parallel()
	k := kitOn(t, servers.KafkaWith(t, ""))
	_, err := k.admin.UpdateFeatures(t.Context(), false, kadm.FeatureUpdate{
		Feature: "transaction.version", MaxVersionLevel: 0, UpgradeType: 2, // a downgrade that loses nothing
	})
	if err != nil {
		t.Fatal(err)
	}
	k.comeAndGo(sluice.ClassicProtocol)
}

func (k *kit) comeAndGo(protocol sluice.GroupProtocol) {
	k.Helper()
	const partitions, each = 6, 5000
	from, to := k.name+"-in", k.name+"-out"
	var crashed, aborts atomic.Int64
	k.create(partitions, from, to)
	first := k.forward(protocol, from, to, &crashed)
	k.produce(from, partitions, 0, each/5)
	second := k.forward(protocol, from, to, &aborts)
	k.produce(from, partitions, each/5, each/5)
	k.until("both work", func() bool { return first.owns(3)() && second.owns(3)() })
	k.produce(from, partitions, 2*each/5, each/5)
	first.Abort()
	if err := <-first.done; !errors.Is(err, sluice.ErrAborted) {
		k.Errorf("Run: %v", err)
	}
	third := k.forward(protocol, from, to, &aborts)
	k.produce(from, partitions, 3*each/5, each/5)
	k.until("both work again", func() bool { return second.owns(3)() && third.owns(3)() })
	k.produce(from, partitions, 4*each/5, each/5)
	k.until("all is committed", func() bool { return k.committed(from, partitions, each) })
	second.leave(k)
	third.leave(k)
	k.answers(to, partitions, each)
	if n := aborts.Load(); n > 0 {
		k.Errorf("%d transactions of members that did not crash were aborted", n)
	}
}

// committed tells whether the group has as many records of each partition by now.
func (k *kit) committed(topic string, partitions int32, each int64) bool {
	k.Helper()
	o, err := k.admin.FetchOffsets(k.Context(), topic)
	if err != nil { // a coordinator may not be there yet
		return false
	}
	for p := range partitions {
		if at, ok := o.Lookup(topic, p); !ok || at.At != each {
			return false
		}
	}
	return true
}

// A topic that is deleted and made again: its partitions halt, as what was read of it is of another log, and health says so. A restart begins with
// the new one, from its first record: brokers have forgotten the group's offsets with the old one.
func TestATopicThatIsMadeAgainHaltsATransactRoute(t *testing.T) {
	t.Parallel() // topics are looked at once a minute
	k := newKit(t)
	from, to := k.name+"-in", k.name+"-out"
	var aborts atomic.Int64
	k.create(1, from, to)
	m := k.forward(sluice.ClassicProtocol, from, to, &aborts)
	k.produce(from, 1, 0, 10)
	k.until("all is committed", func() bool { return k.committed(from, 1, 10) })
	if _, err := k.admin.DeleteTopics(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	k.until("it is gone", func() bool {
		topics, err := k.admin.ListTopics(t.Context(), from)
		return err == nil && errors.Is(topics[from].Err, kerr.UnknownTopicOrPartition)
	})
	k.create(1, from)
	k.client.PurgeTopicsFromClient(from)
	k.produce(from, 1, 10, 20)
	k.until("health tells", func() bool {
		return strings.Contains(strings.Join(m.Health().Problems, "; "), "the topic was deleted and made again")
	})
	m.leave(k)
	m = k.forward(sluice.ClassicProtocol, from, to, &aborts)
	k.until("all of the new one is committed", func() bool { return k.committed(from, 1, 20) })
	m.leave(k)
	k.answers(to, 1, 30)
}

// answers reads the committed records of a topic, and demands those of each partition once, in order.
func (k *kit) answers(topic string, partitions, each int) {
	k.Helper()
	next := make(map[string]int)
	all := k.read(topic, partitions*each)
	for _, r := range all {
		if want := strconv.Itoa(next[string(r.Key)]); string(r.Value) != want {
			k.Fatalf("after %d records of partition %s comes %s", next[string(r.Key)], r.Key, r.Value)
		}
		next[string(r.Key)]++
	}
	if len(all) != partitions*each {
		k.Errorf("%d answers to %d records", len(all), partitions*each)
	}
}

// read reads n committed records of a topic, and what may come in the second after them.
func (k *kit) read(topic string, n int) (all []*kgo.Record) {
	k.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.k.Seeds()...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		k.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(k.Context(), time.Minute)
	defer cancel()
	for len(all) < n && ctx.Err() == nil {
		all = append(all, client.PollFetches(ctx).Records()...)
	}
	rest, cancelRest := context.WithTimeout(ctx, time.Second)
	defer cancelRest()
	for rest.Err() == nil {
		all = append(all, client.PollFetches(rest).Records()...)
	}
	return all
}
