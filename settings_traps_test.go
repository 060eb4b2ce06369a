package sluice_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// fromFile is a configuration for the cluster with what a properties file adds.
func fromFile(t *testing.T, c *bubble.Cluster, text string) sluice.Config {
	t.Helper()
	read, err := sluice.FromProperties(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	base := configFor(t, c, nil)
	read.Brokers, read.Group, read.Logger = base.Brokers, base.Group, base.Logger
	read.ClientOptions = append(read.ClientOptions, base.ClientOptions...)
	return read
}

// onWire collects the requests of a kind that the cluster sees.
type onWire[R kmsg.Request] struct {
	mu   sync.Mutex
	seen []R
}

func watch[R kmsg.Request](c *bubble.Cluster, kind R) *onWire[R] {
	w := new(onWire[R])
	c.ControlKey(kind.Key(), func(r kmsg.Request) (answer kmsg.Response, err error, handled bool) {
		c.KeepControl()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r.(R))
		return answer, err, handled
	})
	return w
}

// last is the newest that ok accepts.
func (w *onWire[R]) last(ok func(R) bool) (R, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range slices.Backward(w.seen) {
		if ok(r) {
			return r, true
		}
	}
	var none R
	return none, false
}

func TestTrapABatchSizeSetThroughAnOptionThatDoesNotExist(t *testing.T) {
	for text, says := range map[string]string{
		"batch.sise=1000":                                    "batch.sise: not known; did you mean batch.size?",
		"fetch.max.byte=1000":                                "did you mean fetch.max.bytes?",
		"Producer.Flush.Bytes=1000":                          "a name of sarama; here it is batch.size",
		"config.Producer.Flush.Messages=10":                  "a name of sarama; here it is ProducerConfig.BatchRecords",
		"Consumer.Fetch.Default=1000":                        "here it is max.partition.fetch.bytes",
		"Consumer.Offsets.AutoCommit.Enable=false":           "a name of sarama; leave it out: only what a handler has finished is committed",
		"Net.SASL.Enable=true":                               "here security.protocol says it",
		"batch.num.messages=10":                              "a name of librdkafka; a number of records says nothing about size; here it is batch.size",
		"queued.max.messages.kbytes=10":                      "here it is Config.MaxBufferedBytes",
		"fetch.wait.max.ms=10":                               "a name of librdkafka; here it is fetch.max.wait.ms",
		"enable.auto.offset.store=false":                     "use Policy.Commit: Manual and Message.Done",
		"BatchSize=10":                                       "a name of kafka-go; here it is ProducerConfig.BatchRecords",
		"MinBytes=10":                                        "a name of kafka-go; here it is fetch.min.bytes",
		"QueueCapacity=10":                                   "a number of records says nothing about memory",
		"max.poll.records=500":                               "refused because no poll hands records over here: BatchRoute.MaxSize bounds a batch",
		"batch.size=0":                                       "accepted are whole numbers from 512 to 1073741824, in bytes",
		"batch.size=16k":                                     "accepted are whole numbers from 512 to 1073741824, in bytes",
		"fetch.max.bytes=1000\nmax.partition.fetch.bytes=10": "",
	} {
		_, err := sluice.FromProperties(strings.NewReader(text))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}

func TestTrapLongPollingSetByTheWrongOption(t *testing.T) {
	for name, c := range map[string]struct {
		text                                  string
		least, wait, most, partition, records int32
	}{
		"defaults": {"", 1, 500, 512 << 10, 512 << 10, 0}, // nothing was read yet: they grow with what comes
		"given": {
			"fetch.min.bytes=65536\nfetch.max.wait.ms=2345\nfetch.max.bytes=3000000\nmax.partition.fetch.bytes=400000", 65536, 2345, 3000000, 400000, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, cl *bubble.Cluster) {
				fetches := watch(cl, new(kmsg.FetchRequest))
				var l ledger
				m := join(t, fromFile(t, cl, c.text), ledgerRoute(&l, sluice.Policy{}))
				withPartitions := func(r *kmsg.FetchRequest) bool { return len(r.Topics) > 0 }
				cl.Until("a fetch with partitions", func() bool { _, ok := fetches.last(withPartitions); return ok })
				r, _ := fetches.last(withPartitions)
				if r.MinBytes != c.least || r.MaxWaitMillis != c.wait || r.MaxBytes != c.most {
					t.Errorf("on the wire: at least %d bytes, at most %d ms and %d bytes; want %d, %d, %d",
						r.MinBytes, r.MaxWaitMillis, r.MaxBytes, c.least, c.wait, c.most)
				}
				for _, p := range r.Topics[0].Partitions {
					if p.PartitionMaxBytes != c.partition {
						t.Errorf("on the wire: at most %d bytes of partition %d, want %d", p.PartitionMaxBytes, p.Partition, c.partition)
					}
				}
				m.leave(t)
			})
		})
	}
}

// A broker holds an answer back until it has fetch.min.bytes, or fetch.max.wait.ms are over.
func TestTrapLongPollingThatDoesNotWait(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		fetches := watch(c, new(kmsg.FetchRequest))
		count := func() int { fetches.mu.Lock(); defer fetches.mu.Unlock(); return len(fetches.seen) }
		var l ledger
		m := join(t, fromFile(t, c, "fetch.min.bytes=100000\nfetch.max.wait.ms=10000"), ledgerRoute(&l, sluice.Policy{}))
		c.Until("the first fetch", func() bool { return count() > 0 })
		time.Sleep(time.Minute)
		before := count()
		for i := range 60 {
			c.Produce("orders", 0, i, 1, 0)
			time.Sleep(time.Second)
		}
		if n := count() - before; n < 5 || n > 7 {
			t.Errorf("%d fetches in a minute of one record a second, want one every 10 s", n)
		}
		c.Until("every record", func() bool { return l.count() == 60 })
		m.leave(t)
	})
}

func TestTrapASessionThatIsNotOnTheWire(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		joins, beats := watch(c, new(kmsg.JoinGroupRequest)), watch(c, new(kmsg.HeartbeatRequest))
		count := func() int { beats.mu.Lock(); defer beats.mu.Unlock(); return len(beats.seen) }
		var l ledger
		m := join(t, fromFile(t, c, "session.timeout.ms=30000\nheartbeat.interval.ms=6000\nmax.poll.interval.ms=90000\n"+
			"group.instance.id=pod-1\npartition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor,"+
			"org.apache.kafka.clients.consumer.CooperativeStickyAssignor"), ledgerRoute(&l, sluice.Policy{}))
		c.Until("a heartbeat", func() bool { return count() > 0 })
		r, _ := joins.last(func(*kmsg.JoinGroupRequest) bool { return true })
		if r.SessionTimeoutMillis != 30000 || r.RebalanceTimeoutMillis != 90000 || r.InstanceID == nil || *r.InstanceID != "pod-1" {
			t.Errorf("on the wire: session %d, rebalance %d, instance %v", r.SessionTimeoutMillis, r.RebalanceTimeoutMillis, r.InstanceID)
		}
		if len(r.Protocols) != 2 || r.Protocols[0].Name != "range" || r.Protocols[1].Name != "cooperative-sticky" {
			t.Errorf("on the wire: %+v", r.Protocols)
		}
		before := count()
		time.Sleep(time.Minute)
		if n := count() - before; n < 9 || n > 11 {
			t.Errorf("%d heartbeats in a minute, want one every 6 s", n)
		}
		m.leave(t)
	})
}

func TestTrapAClientThatNobodyKnows(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		fetches := watch(c, new(kmsg.FetchRequest))
		ids := new(clientIDs)
		cfg := fromFile(t, c, "client.id=billing-7\nclient.rack=eu-central-1a")
		cfg.ClientOptions = []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := c.Dial(ctx, network, address)
			return idConn{conn, ids}, err
		})}
		var l ledger
		m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
		c.Until("a fetch", func() bool { _, ok := fetches.last(func(*kmsg.FetchRequest) bool { return true }); return ok })
		if r, _ := fetches.last(func(*kmsg.FetchRequest) bool { return true }); r.Rack != "eu-central-1a" {
			t.Errorf("rack %q on the wire", r.Rack)
		}
		m.leave(t)
		ids.mu.Lock()
		defer ids.mu.Unlock()
		if len(ids.seen) != 1 || ids.seen["billing-7"] == 0 {
			t.Errorf("client ids on the wire: %v", ids.seen)
		}
	})
}

// clientIDs counts the ids in the headers of requests.
type clientIDs struct {
	mu   sync.Mutex
	seen map[string]int
}

type idConn struct {
	net.Conn

	ids *clientIDs
}

// Write sees a whole request, as the client writes them: size, key, version and number, then the id with its length.
func (c idConn) Write(b []byte) (int, error) {
	if len(b) >= 14 {
		n := int(binary.BigEndian.Uint16(b[12:]))
		c.ids.mu.Lock()
		if c.ids.seen == nil {
			c.ids.seen = make(map[string]int)
		}
		c.ids.seen[string(b[14:min(14+n, len(b))])]++
		c.ids.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// What a bound on records holds in memory depends on the records; the bound on bytes holds whatever they are.
func TestTrapAChannelBufferWhoseSizeSaysNothingAboutMemory(t *testing.T) {
	const budget = 2 << 20
	for size, records := range map[int]int{10: 300, 1000: 300, 100 << 10: 1} {
		held := mostHeld(t, size, func(c *sluice.Config) { c.MaxBufferedBytes = budget })
		t.Logf("of 300 records of %d bytes, a bound of %d bytes holds %d", size, budget, held)
		if held > budget || held < int64(records*size) {
			t.Errorf("of 300 records of %d bytes, a bound of %d bytes held %d", size, budget, held)
		}
	}
}

// mostHeld is how many bytes an app holds at most of 300 records, while its handler does not end.
func mostHeld(t *testing.T, size int, bound func(*sluice.Config)) (most int64) {
	t.Helper()
	const records = 300
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		random := rand.NewChaCha8([32]byte{})
		for range records {
			r := &kgo.Record{Topic: "orders", Value: make([]byte, size)}
			_, _ = random.Read(r.Value) // cannot be compressed, and never fails
			if err := c.Client().ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		release := make(chan struct{})
		cfg := configFor(t, c, nil)
		bound(&cfg)
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(context.Context, sluice.Message[string]) error { <-release; return nil },
			})
		})
		c.Until("records are held", func() bool { return m.app.Stats().Buffered > 0 })
		for range 600 { // a minute
			time.Sleep(100 * time.Millisecond)
			most = max(most, m.app.Stats().BufferedBytes)
		}
		close(release)
		c.Until("every record", func() bool { return m.app.Stats().Finished == records })
		m.leave(t)
	})
	return most
}
