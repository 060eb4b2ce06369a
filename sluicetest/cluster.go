package sluicetest

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// Cluster is three brokers in this process: a fake that speaks Kafka's protocol and keeps records in memory. Its methods fail the
// test instead of returning errors, so call them on the test's own goroutine.
type Cluster struct {
	*Link // of whoever asks for none: Config, Run, and the faults of a network

	kafka *bubble.Cluster
	t     testing.TB
	limit limit // of a wait
}

const brokers = 3

// NewCluster starts a cluster on sockets of 127.0.0.1, in real time, whose topics have the given numbers of partitions. Any Kafka client
// can use it, at Config("").Brokers. It ends with the test.
func NewCluster(t testing.TB, topics map[string]int32) *Cluster {
	t.Helper()
	return newCluster(t, bubble.Start(t, topics, kfake.NumBrokers(brokers)), realLimit(t))
}

// Bubble calls f with a cluster in virtual time, on a network in memory (testing/synctest): whenever everything in the test waits, the
// clock jumps to the next timer, so that hours pass in milliseconds. Start goroutines, timers and clients inside f. Cluster.Config leads
// an app to the cluster. When f and the cleanups of its test are over, the cluster is closed, and a goroutine that is left fails the test,
// with its stack.
//
// It needs -tags synctests: the Kafka client's locks would else stop the virtual clock for ever. Without the tag it fails at once.
func Bubble(t *testing.T, topics map[string]int32, f func(t *testing.T, c *Cluster)) {
	t.Helper()
	if !bubble.Tagged {
		t.Fatal("sluicetest.Bubble needs the build tag synctests, or virtual time could stand still for ever: go test -tags synctests")
	}
	bubble.Run(t, topics, func(t *testing.T, kafka *bubble.Cluster) { f(t, newCluster(t, kafka, virtualLimit)) },
		kfake.NumBrokers(brokers), kfake.Ports(9092, 9093, 9094))
}

func newCluster(t testing.TB, kafka *bubble.Cluster, l limit) *Cluster {
	c := &Cluster{kafka: kafka, t: t, limit: l}
	c.Link = c.NewLink()
	return c
}

// NewLink returns a way to the cluster of its own, for what stands for another process.
func (c *Cluster) NewLink() *Link { return &Link{c: c, link: c.kafka.NewLink()} }

// CreateTopic creates a topic; a topic of that name must not exist.
func (c *Cluster) CreateTopic(topic string, partitions int32) {
	c.t.Helper()
	if err := c.kafka.CreateTopic(topic, partitions, nil); err != nil {
		c.t.Fatalf("create topic %s: %v", topic, err)
	}
}

// Produce writes records, each to the topic and partition that it names, and returns when they are in the log.
func (c *Cluster) Produce(records ...*kgo.Record) {
	c.t.Helper()
	if err := c.kafka.Client().ProduceSync(c.t.Context(), records...).FirstErr(); err != nil {
		c.t.Fatalf("produce: %v", err)
	}
}

// Read returns what a topic holds now, each partition in order; of transactions, what was committed.
func (c *Cluster) Read(topic string) []*kgo.Record {
	c.t.Helper()
	return c.kafka.Read(topic)
}

// Committed returns the offset that a group has committed for a partition; -1 when it has none.
func (c *Cluster) Committed(group, topic string, partition int32) int64 {
	if info := c.kafka.GroupInfo(group); info != nil {
		if commit, ok := info.Commits[topic][partition]; ok {
			return commit.Offset
		}
	}
	return -1
}

// Link is one process' way to the cluster. It can be frozen, as a process that stands still is, cut, as a dead one is, and dropped, as by
// a broker that restarts.
type Link struct {
	c    *Cluster
	link *bubble.Link
	dead atomic.Bool
}

// Config leads an app to the cluster over this link. Change what you need, but for the Dialer in ClientOptions.
func (l *Link) Config(group string) sluice.Config {
	return sluice.Config{
		Brokers: l.c.kafka.ListenAddrs(), Group: group,
		ClientOptions: []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return l.link.Dial(ctx, network, address)
		})},
		Logger: slog.New(slog.NewTextHandler(l.c.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// Run runs an app until the test ends, or until stop is called, which returns what App.Run did. An app that ends by itself fails the
// test, and so does a stop at the test's end that is not clean; unless the link was cut, as nobody hears a dead process.
func (l *Link) Run(app *sluice.App) (stop func() error) {
	t := l.c.t
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // the cleanup below stops it
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		if err = app.Run(ctx); ctx.Err() == nil {
			t.Errorf("the app ended by itself: %v", err)
		}
	}()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		if l.dead.Load() {
			app.Abort()
		}
		<-ended
		return err
	}
	t.Cleanup(func() {
		if asked := stopped; stop() != nil && !asked && !l.dead.Load() {
			t.Errorf("the app did not stop cleanly: %v", err)
		}
	})
	return stop
}

// Freeze lets nothing through until Thaw, as when a process is stopped or its network hangs. The group takes the member for dead when its
// session is over; what it still does then, a zombie does.
func (l *Link) Freeze() { l.link.Freeze() }

// Thaw ends a Freeze: what was sent meanwhile arrives.
func (l *Link) Thaw() { l.link.Thaw() }

// Cut ends every connection, and lets none be made any more: a crash, as the cluster sees it. The member does not leave the group, which
// notices at the end of its session. What the app in this process does afterwards does not count; stop it.
func (l *Link) Cut() {
	l.dead.Store(true)
	l.link.Cut()
}

// Drop ends every connection, also those with requests under way; new ones can be made. The client sees the connection end, connects again
// and asks again. What it had asked for may have been done: a commit, or a record, may arrive twice.
func (l *Link) Drop() { l.link.Drop() }
