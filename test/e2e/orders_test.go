package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions  = 6
	abortedSize = 100 // records of a transaction that is aborted
	poisonEvery = 1500
)

// place is a record's coordinates.
type place struct {
	partition int32
	offset    int64
}

// orders produces a run's orders and knows what must come of them. Not safe for concurrent use.
type orders struct {
	topic   string
	total   int // orders, poison among them
	keys    int // ids of good orders; total for orders that never change
	sent    int
	good    map[int64]place // by id: where its newest version lies
	version map[int64]int   // by id
	poison  map[place]bool
	ends    map[int32]int64

	plain, transactional *kgo.Client
}

func newOrders(t *testing.T, brokers []string, topic string, total, keys int) *orders {
	t.Helper()
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(2*time.Millisecond))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	return &orders{
		topic: topic, total: total, keys: keys,
		good: make(map[int64]place), version: make(map[int64]int), poison: make(map[place]bool),
		ends:  make(map[int32]int64),
		plain: client(), transactional: client(kgo.TransactionalID("orders-" + topic)),
	}
}

// createTopics makes the topic of the orders and the one of dead letters.
func createTopics(t *testing.T, brokers []string, topic, dead string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(t.Context(), partitions, 1, nil, topic); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(t.Context(), 1, 1, nil, dead); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "the broker knows the topics", func() bool { // one that started just now takes seconds
		md, err := adm.Metadata(t.Context(), topic, dead)
		return err == nil && md.Topics[topic].Err == nil && md.Topics[dead].Err == nil
	})
}

// order makes the i-th order; poison has ids of its own.
func (o *orders) order(i int) (r *kgo.Record, id int64, poison bool) {
	id = int64(i % o.keys)
	r = &kgo.Record{Topic: o.topic, Partition: int32(id % partitions)}
	version := i / o.keys
	amount := fmt.Sprintf("%d.%02d", i%997, i%100)
	customer := "customer-" + strconv.Itoa(i%1000)
	if i%poisonEvery == poisonEvery-1 {
		id, poison = int64(10_000_000+i), true
		switch (i / poisonEvery) % 3 {
		case 0:
			r.Value = []byte(`{"id": oops`)
			return r, id, true
		case 1:
			customer = "a customer whose name is longer than its column"
		case 2:
			amount = "much"
		}
	}
	r.Key = strconv.AppendInt(nil, id, 10)
	r.Value = fmt.Appendf(nil, `{"id":%d,"version":%d,"customer":%q,"amount":%q,"ts":"2026-11-22T10:00:00Z"}`, id, version, customer, amount)
	return r, id, poison
}

// produce produces the next n orders, calls written at the moment when they can be read, and notes where they went. A
// transaction comes after another one that is aborted.
func (o *orders) produce(ctx context.Context, n int, transaction bool, written func()) error {
	rs := make([]*kgo.Record, n)
	ids := make([]int64, n)
	bad := make([]bool, n)
	for i := range n {
		rs[i], ids[i], bad[i] = o.order(o.sent + i)
	}
	cl := o.plain
	if transaction {
		cl = o.transactional
		if err := o.aborted(ctx); err != nil {
			return err
		}
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
	}
	if err := cl.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		return err
	}
	if transaction {
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return err
		}
	}
	for _, r := range rs[max(0, n-partitions*100):] {
		o.ends[r.Partition] = max(o.ends[r.Partition], r.Offset+1)
	}
	if written != nil {
		written()
	}
	for i, r := range rs {
		at := place{r.Partition, r.Offset}
		if bad[i] {
			o.poison[at] = true
			continue
		}
		o.good[ids[i]] = at
		o.version[ids[i]] = (o.sent + i) / o.keys
	}
	o.sent += n
	return nil
}

// end is how long the log is, over all partitions.
func (o *orders) end() int64 {
	var n int64
	for _, end := range o.ends {
		n += end
	}
	return n
}

// aborted produces records that nobody may ever see.
func (o *orders) aborted(ctx context.Context) error {
	if err := o.transactional.BeginTransaction(); err != nil {
		return err
	}
	var rs []*kgo.Record
	for i := range abortedSize {
		rs = append(rs, &kgo.Record{
			Topic: o.topic, Partition: int32(i % partitions),
			Value: fmt.Appendf(nil, `{"id":%d,"version":0,"customer":"nobody","amount":"1"}`, -1-i),
		})
	}
	if err := o.transactional.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		return err
	}
	return o.transactional.EndTransaction(ctx, kgo.TryAbort)
}
