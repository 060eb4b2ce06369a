// Package bubble runs tests of a consumer group in virtual time: an in-process cluster on an in-memory network inside a
// testing/synctest bubble. Build with -tags synctests, which gives kgo locks that a bubble can wait on.
package bubble

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Cluster is an in-process cluster in a bubble.
type Cluster struct {
	*kfake.Cluster
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	t      testing.TB
	client *kgo.Client // of the test itself
}

// Run calls f inside a bubble with a cluster of one broker, whose topics have the given numbers of partitions. A goroutine that is
// left behind when the test and its cleanups are over fails it.
func Run(t *testing.T, topics map[string]int32, f func(t *testing.T, c *Cluster), opts ...kfake.Opt) {
	t.Helper()
	var leaks string
	defer func() {
		if v := recover(); v != nil && leaks == "" { // after leaks the bubble cannot end: that is told already
			panic(v)
		}
		if leaks != "" {
			t.FailNow()
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { // the last one
			synctest.Wait()
			if leaks = others(); leaks != "" {
				t.Errorf("left behind by this test, goroutines that never end:\n\n%s", leaks)
			}
		})
		network := new(kfake.VirtualNetwork)
		f(t, start(t, topics, network.DialContext, append([]kfake.Opt{kfake.Ports(9092), kfake.ListenFn(network.Listen)}, opts...)))
	})
}

// Start starts a cluster as Run does, but in real time and on sockets of 127.0.0.1. It ends with the test.
func Start(t testing.TB, topics map[string]int32, opts ...kfake.Opt) *Cluster {
	t.Helper()
	return start(t, topics, new(net.Dialer).DialContext, opts)
}

func start(
	t testing.TB, topics map[string]int32, dial func(context.Context, string, string) (net.Conn, error), opts []kfake.Opt,
) *Cluster {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)
	for name, partitions := range topics {
		opts = append(opts, kfake.SeedTopics(partitions, name))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Cluster: cluster, dial: dial, t: t}
	c.connect()
	t.Cleanup(func() { // after the cleanups of the test: what it started is stopped first
		c.client.Close()
		cluster.Close()
	})
	return c
}

func (c *Cluster) connect() {
	c.t.Helper()
	opts := append(c.Options(c.Dial), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.client = cl
}

// Reconnect gives the test a client that knows nothing yet: no topic's id, above all.
func (c *Cluster) Reconnect() {
	c.t.Helper()
	c.client.Close()
	c.connect()
}

// Options are what a client needs to reach the cluster, over a dialer of the network or of a Link.
func (c *Cluster) Options(dial func(context.Context, string, string) (net.Conn, error)) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.Dialer(dial)}
}

// Dial dials the cluster without a Link.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address)
}

// Client is a client of the test's own.
func (c *Cluster) Client() *kgo.Client { return c.client }

// Admin is an admin client of the test's own.
func (c *Cluster) Admin() *kadm.Client { return kadm.NewClient(c.client) }

// Produce writes n records to a partition: key "k<i % keys>" (no key with keys 0), value "<i>".
func (c *Cluster) Produce(topic string, partition int32, from, n, keys int) {
	c.t.Helper()
	var rs []*kgo.Record
	for i := from; i < from+n; i++ {
		r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(strconv.Itoa(i))}
		if keys > 0 {
			r.Key = fmt.Appendf(nil, "k%d", i%keys)
		}
		rs = append(rs, r)
	}
	if err := c.client.ProduceSync(c.t.Context(), rs...).FirstErr(); err != nil {
		c.t.Fatalf("produce: %v", err)
	}
}

// Committed returns the group's commit of a partition; -1 when there is none.
func (c *Cluster) Committed(group, topic string, partition int32) int64 {
	c.t.Helper()
	offsets, err := c.Admin().FetchOffsets(context.Background(), group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return -1
	}
	if err != nil {
		c.t.Fatalf("fetch offsets: %v", err)
	}
	if o, ok := offsets.Lookup(topic, partition); ok {
		return o.At
	}
	return -1
}

// Read returns everything that a topic holds now, each partition in order: of transactions, what was committed.
func (c *Cluster) Read(topic string) []*kgo.Record {
	c.t.Helper()
	left := make(map[int32]int64) // the ends of partitions that are not read yet
	for _, p := range c.PartitionInfos(topic) {
		if p.LastStableOffset > p.LogStartOffset {
			left[p.Partition] = p.LastStableOffset
		}
	}
	cl, err := kgo.NewClient(append(c.Options(c.dial), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())...) // without them nobody knows where a log ends that ends with one
	if err != nil {
		c.t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	for len(left) > 0 {
		fs := cl.PollFetches(c.t.Context())
		if err := fs.Err0(); err != nil {
			c.t.Fatalf("read %s: %v", topic, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				rs = append(rs, r)
			}
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
	}
	return rs
}

// Until waits in virtual time until ok holds. It looks every 10 ms, and more rarely, up to ten times a second, when it has waited for
// long: a look may cost a request, and virtual hours would be made of little else.
func (c *Cluster) Until(what string, ok func() bool) {
	c.t.Helper()
	began := time.Now()
	for !ok() {
		waited := time.Since(began)
		if waited > 10*time.Minute {
			c.t.Fatalf("waited 10 virtual minutes for: %s", what)
		}
		time.Sleep(min(max(10*time.Millisecond, waited/20), 100*time.Millisecond)) // virtual
	}
}

// Link is one process' way to the cluster: it can be frozen, as a stopped process is, and cut, as a dead one is.
type Link struct {
	c    *Cluster
	mu   sync.Mutex
	gate chan struct{} // not nil while frozen
	cut  chan struct{}
	dead bool
	all  []net.Conn
}

// NewLink returns an open link.
func (c *Cluster) NewLink() *Link { return &Link{c: c, cut: make(chan struct{})} }

// Dial dials through the link.
func (l *Link) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := l.wait(ctx.Done(), nil); err != nil {
		return nil, err
	}
	conn, err := l.c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lc := &linkConn{Conn: conn, l: l, closed: make(chan struct{})}
	lc.reading.set(time.Time{})
	lc.writing.set(time.Time{})
	l.all = append(l.all, lc)
	return lc, nil
}

// Freeze lets nothing through, in either direction, until Thaw.
func (l *Link) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
}

// Drop ends every connection, and lets new ones be made.
func (l *Link) Drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		_ = c.Close() // what was closed before
	}
	l.all = nil
}

// Thaw lets everything through again.
func (l *Link) Thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.gate)
	l.gate = nil
}

// Cut ends every connection for good.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	close(l.cut)
	for _, c := range l.all {
		_ = c.Close() // in memory: cannot fail
	}
}

// wait waits while the link is frozen, until closed or late is closed.
func (l *Link) wait(closed, late <-chan struct{}) error {
	l.mu.Lock()
	gate := l.gate
	l.mu.Unlock()
	select {
	case <-l.cut:
		return net.ErrClosed
	default:
	}
	if gate == nil {
		return nil
	}
	select {
	case <-gate:
		return nil
	case <-l.cut:
		return net.ErrClosed
	case <-closed:
		return net.ErrClosed
	case <-late:
		return os.ErrDeadlineExceeded
	}
}

type linkConn struct {
	net.Conn
	l                *Link
	once             sync.Once
	closed           chan struct{}
	reading, writing deadline

	mu     sync.Mutex
	since  time.Time // since when writes are counted
	writes int
}

// A connection is written to storm times within while; from then on each write takes a millisecond. Here a request and its answer take no
// time, and who asks again until something comes to pass, as kgo does where a leader has moved, would never see it come.
const (
	storm = 1000
	while = 100 * time.Millisecond
)

func (c *linkConn) takeTime() {
	c.mu.Lock()
	if now := time.Now(); now.Sub(c.since) > while {
		c.since, c.writes = now, 0
	}
	c.writes++
	slow := c.writes > storm
	c.mu.Unlock()
	if slow {
		time.Sleep(time.Millisecond)
	}
}

func (c *linkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil {
		if werr := c.l.wait(c.closed, c.reading.passed()); werr != nil {
			return 0, werr
		}
	}
	return n, err
}

func (c *linkConn) Write(b []byte) (int, error) {
	if err := c.l.wait(c.closed, c.writing.passed()); err != nil {
		return 0, err
	}
	c.takeTime()
	return c.Conn.Write(b)
}

func (c *linkConn) SetDeadline(t time.Time) error {
	c.reading.set(t)
	c.writing.set(t)
	return c.Conn.SetDeadline(t)
}

func (c *linkConn) SetReadDeadline(t time.Time) error {
	c.reading.set(t)
	return c.Conn.SetReadDeadline(t)
}

func (c *linkConn) SetWriteDeadline(t time.Time) error {
	c.writing.set(t)
	return c.Conn.SetWriteDeadline(t)
}

func (c *linkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// deadline is a channel that is closed when a time has come.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	ch    chan struct{}
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.ch == nil || isClosed(d.ch) {
		d.ch = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	ch := d.ch
	d.timer = time.AfterFunc(time.Until(t), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !isClosed(ch) {
			close(ch)
		}
	})
}

func (d *deadline) passed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ch
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
