package sluice_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// The traps of the usual guide's producer, one test each.

// sarama's AsyncProducer stands still once its channel of successes is full, when nobody reads it. Here there is nothing to read.
func TestTrapAProducerBlocksBecauseNobodyReadsItsSuccesses(t *testing.T) {
	const records = 1_000_000
	brokers := onLoopback(t, 6, "orders")
	p := newProducer(t, sluice.ProducerConfig{Brokers: brokers})
	value := []byte("an order")
	for range records {
		p.Enqueue(context.Background(), &kgo.Record{Topic: "orders", Value: value}, nil)
	}
	closeProducer(t, p)
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	written := int64(0)
	ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
	if written != records {
		t.Errorf("%d of %d records were written", written, records)
	}
}

// A producer that is closed, and not flushed first, forgets what it was given.
func TestTrapCloseLosesWhatWasEnqueued(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		for round := range 20 {
			cfg := configFor(t, c, nil).Producer()
			cfg.Linger = time.Duration(round%3) * 5 * time.Second // it must not wait for it either
			p := newProducer(t, cfg)
			told := 0
			for i := range 200 {
				p.Enqueue(t.Context(), textRecord("orders", strconv.Itoa(i)), func(_ *kgo.Record, err error) {
					if err != nil {
						t.Error(err)
					}
					told++
				})
			}
			began := time.Now()
			closeProducer(t, p)
			if took := time.Since(began); told != 200 || took > time.Second {
				t.Fatalf("round %d: told of %d records of 200 when Close returned, after %v", round, told, took)
			}
		}
		if n := len(c.Read("orders")); n != 4000 {
			t.Errorf("%d records were written, want 4000", n)
		}
	})
}

// One record that is too large must say so by itself, and stop nothing.
func TestTrapAMessageAboveMaxRequestSize(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		for _, limits := range []sluice.ProducerConfig{
			{MaxRequestBytes: 10_000}, {BatchBytes: 10_000}, {MaxRequestBytes: 10_000, ClientID: strings.Repeat("x", 100)},
			{BatchBytes: 9_970, MaxRequestBytes: 10_000},
		} {
			cfg := configFor(t, c, nil).Producer()
			cfg.MaxRequestBytes, cfg.BatchBytes, cfg.ClientID = limits.MaxRequestBytes, limits.BatchBytes, limits.ClientID
			p := newProducer(t, cfg)
			size := func(n int) *kgo.Record {
				return &kgo.Record{
					Topic: "orders", Key: []byte("k"), Value: make([]byte, n), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}, {Key: "null"}},
				}
			}
			// It must be us who refuse, and not the client, but hardly anything that it would take: four bytes depend on the broker.
			client, err := kgo.NewClient(append(c.Options(c.Dial), kgo.ClientID(cmp.Or(cfg.ClientID, "sluice")),
				kgo.ProducerBatchMaxBytes(cmp.Or(cfg.BatchBytes, cfg.MaxRequestBytes)), kgo.BrokerMaxWriteBytes(cmp.Or(cfg.MaxRequestBytes, 1<<20)))...)
			if err != nil {
				t.Fatal(err)
			}
			most := largest(func(n int) error { return client.ProduceSync(t.Context(), size(n)).FirstErr() })
			client.Close()
			largest := largest(func(n int) error { return p.Send(t.Context(), size(n)) })
			err = p.Send(t.Context(), size(largest+1))
			if largest > most || largest < most-4 || !errors.Is(err, sluice.ErrTooLarge) || errors.Is(err, kerr.MessageTooLarge) ||
				!strings.Contains(err.Error(), "bytes in a batch of its own, and ") {
				t.Errorf("%d bytes went, with the client alone %d; one more: %v", largest, most, err)
			}
			before := len(c.Read("orders"))
			failed := failures(t, p.Send(t.Context(), size(largest), size(1<<20), size(100), size(largest+1), textRecord("orders", "x")))
			if len(failed) != 2 || failed[0].Index != 1 || failed[1].Index != 3 {
				t.Errorf("failed: %v", failed)
			}
			if n := len(c.Read("orders")) - before; n != 3 {
				t.Errorf("%d records went beside those that were too large, want 3", n)
			}
			closeProducer(t, p)
		}
	})
}

// largest is the largest value that can be sent, of 9,000 to 10,000 bytes.
func largest(send func(int) error) int {
	return 8_999 + sort.Search(1_001, func(i int) bool { return send(9_000+i) != nil })
}

// unreliable is a way to the cluster that sometimes ends with an answer on it: what was written then is not known.
type unreliable struct {
	dial func(context.Context, string, string) (net.Conn, error)
	left atomic.Int64
}

type unreliableConn struct {
	net.Conn
	u *unreliable
}

func (u *unreliable) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := u.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &unreliableConn{conn, u}, nil
}

func (c *unreliableConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && n > 0 && c.u.left.Add(-1) == 0 {
		_ = c.Close() // in memory: cannot fail
		return 0, io.EOF
	}
	return n, err
}

// Retries of several batches under way, without sequence numbers, change the order of records and write some twice.
func TestTrapIdempotenceLostByRetriesThatReorder(t *testing.T) {
	const keys, each = 12, 400
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			cluster := []kfake.Opt{kfake.NumBrokers(3), kfake.Ports(9092, 9093, 9094)}
			bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
				rng := rand.New(rand.NewPCG(seed, 1))
				way := &unreliable{dial: c.Dial}
				cfg := configFor(t, c, nil).Producer()
				cfg.ClientOptions, cfg.BatchBytes = c.Options(way.Dial)[1:], 600
				p := newProducer(t, cfg)
				acknowledged := 0
				for n := range each {
					for key := range keys {
						r := &kgo.Record{Topic: "orders", Key: fmt.Appendf(nil, "k%d", key), Value: []byte(strconv.Itoa(n))}
						p.Enqueue(context.Background(), r, func(_ *kgo.Record, err error) {
							if err != nil {
								t.Errorf("%s/%s: %v", r.Key, r.Value, err)
							}
							acknowledged++
						})
					}
					if rng.IntN(8) == 0 {
						time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // virtual
					}
					switch rng.IntN(40) {
					case 0:
						way.left.Store(1 + rng.Int64N(3)) // one of the next answers is lost
					case 1:
						c.ShufflePartitionLeaders()
					case 2:
						errs := []*kerr.Error{kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.UnknownTopicOrPartition, kerr.NotEnoughReplicasAfterAppend}
						c.Fault(kfake.Fault{
							Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Partitions: []int32{rng.Int32N(4)}, Err: errs[rng.IntN(len(errs))],
						})
					}
				}
				closeProducer(t, p)
				if acknowledged != keys*each {
					t.Fatalf("%d of %d records were acknowledged", acknowledged, keys*each)
				}
				next := map[string]int{}
				for _, r := range c.Read("orders") {
					if got, want := string(r.Value), strconv.Itoa(next[string(r.Key)]); got != want {
						t.Fatalf("%s: %s lies at %d/%d, want %s", r.Key, got, r.Partition, r.Offset, want)
					}
					next[string(r.Key)]++
				}
				for key := range keys {
					if n := next[fmt.Sprint("k", key)]; n != each {
						t.Errorf("k%d has %d records, want %d", key, n, each)
					}
				}
			}, cluster...)
		})
	}
}
