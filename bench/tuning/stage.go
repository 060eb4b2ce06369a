package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

const (
	partitions = 6
	recordSize = 256
)

// stage is the broker that everything is measured on.
type stage struct {
	seeds   []string
	version string
	admin   *kadm.Client
	client  *kgo.Client
	time    time.Duration // of a point
	topics  int
	groups  int
	full    string // the topic with a backlog; empty until it is made
}

func newStage(d time.Duration) (*stage, error) {
	broker, err := servers.StartKafka()
	if err != nil {
		return nil, err
	}
	s := &stage{seeds: broker.Seeds(), time: d}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if out, err := broker.Tool(ctx, "kafka.Kafka", "--version"); err == nil {
		s.version = string(regexp.MustCompile(`^\d+(\.\d+)+`).Find(out))
	}
	if s.client, err = kgo.NewClient(kgo.SeedBrokers(s.seeds...)); err != nil {
		return nil, err
	}
	s.admin = kadm.NewClient(s.client)
	return s, nil
}

func (s *stage) close() { s.client.Close() }

// newTopic makes an empty topic, and returns when every broker knows it. The one before is deleted, to keep the disk free.
func (s *stage) newTopic(ctx context.Context) (string, error) {
	if s.topics > 0 {
		if _, err := s.admin.DeleteTopics(ctx, fmt.Sprintf("tuning-%d", s.topics)); err != nil {
			return "", err
		}
	}
	s.topics++
	name := fmt.Sprintf("tuning-%d", s.topics)
	if _, err := s.admin.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
		return "", err
	}
	for {
		md, err := s.admin.Metadata(ctx, name)
		if err != nil {
			return "", err
		}
		t := md.Topics[name]
		led := 0
		for _, p := range t.Partitions {
			if p.Err == nil && p.Leader >= 0 {
				led++
			}
		}
		if t.Err == nil && led == partitions {
			return name, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// counted counts the requests of one kind that a client makes, and their bytes.
type counted struct {
	key      kmsg.Key
	requests atomic.Int64
	bytes    atomic.Int64
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (c *counted) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, n int, _, _ time.Duration, err error) {
	if kmsg.Key(key) == c.key && err == nil {
		c.requests.Add(1)
		c.bytes.Add(int64(n))
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (c *counted) OnBrokerRead(_ kgo.BrokerMetadata, key int16, n int, _, _ time.Duration, err error) {
	if kmsg.Key(key) == c.key && c.key == kmsg.Fetch && err == nil {
		c.bytes.Add(int64(n))
	}
}

// latencies collects how long things took.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

// p99 in milliseconds; 0 without any.
func (l *latencies) p99() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return float64(l.all[len(l.all)*99/100].Microseconds()) / 1000
}

// orders are values of 256 bytes that compress as JSON does. The first eight bytes are the time of sending.
type orders struct{ r *rand.Rand }

func newOrders() orders { return orders{rand.New(rand.NewPCG(1, 2))} }

func (o orders) next() *kgo.Record {
	v := make([]byte, 8, recordSize)
	binary.LittleEndian.PutUint64(v, uint64(time.Now().UnixNano()))
	v = fmt.Appendf(v, `{"id":%d,"user":"user-%d","amount":%d.%02d,"currency":"EUR","items":[{"sku":"A-%05d","n":%d}],"note":"`,
		o.r.Int64N(1e12), o.r.IntN(50_000), o.r.IntN(1000), o.r.IntN(100), o.r.IntN(10_000), o.r.IntN(9)+1)
	for len(v) < recordSize-2 {
		v = append(v, "abcdefghijklmnopqrstuvwxyz    eeeeaaoo"[o.r.IntN(38)])
	}
	v = append(v, `"}`...)
	return &kgo.Record{Key: strconv.AppendInt(nil, o.r.Int64N(50_000), 10), Value: bytes.Clone(v)}
}

func sentAt(r *kgo.Record) time.Time {
	return time.Unix(0, int64(binary.LittleEndian.Uint64(r.Value)))
}

func (s *stage) producerConfig(hook kgo.Hook) sluice.ProducerConfig {
	return sluice.ProducerConfig{Brokers: s.seeds, ClientOptions: []kgo.Opt{kgo.WithHooks(hook)}}
}
