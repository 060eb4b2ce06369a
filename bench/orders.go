package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// order is what a record holds.
type order struct {
	ID     int64
	User   string
	Cents  int64
	Placed string // as a database reads it
}

var firstOrder = time.Date(2026, time.January, 31, 8, 0, 0, 0, time.UTC)

// newOrder makes the order of an id; ids count from 1.
func newOrder(id int64) order {
	const users, prices = 5_000, 100_000
	return order{
		ID: id, User: "user-" + strconv.FormatInt(id*31%users, 10), Cents: id * 37 % prices,
		Placed: firstOrder.Add(time.Duration(id) * time.Millisecond).Format("2006-01-02 15:04:05.000"),
	}
}

func (o order) json() []byte {
	return fmt.Appendf(nil, `{"id":%d,"user":%q,"amount":%d.%02d,"ts":%q}`, o.ID, o.User, o.Cents/100, o.Cents%100, o.Placed)
}

// produce fills a topic. The id is the key, so that the ids of a partition grow, but have holes.
func produce(ctx context.Context, j job) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(j.seeds()...), kgo.DefaultProduceTopic(j.Topic),
		kgo.ProducerLinger(20*time.Millisecond), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err != nil {
		return err
	}
	defer client.Close()
	first := kgo.AbortingFirstErrPromise(client)
	for id := range j.Records {
		o := newOrder(id + 1)
		client.Produce(ctx, &kgo.Record{Key: strconv.AppendInt(nil, o.ID, 10), Value: o.json()}, first.Promise())
	}
	return first.Err()
}

// sums are what a table holds, or must hold.
type sums struct {
	rows, ids, cents int64
	first, last      string // of the times
}

func (s sums) String() string {
	return fmt.Sprintf("%d rows, ids that add up to %d, %d cents, %s to %s", s.rows, s.ids, s.cents, s.first, s.last)
}

// wanted is what a table must hold after so many orders.
func wanted(records int64) sums {
	s := sums{rows: records, first: newOrder(1).Placed, last: newOrder(records).Placed}
	for id := int64(1); id <= records; id++ {
		s.ids += id
		s.cents += newOrder(id).Cents
	}
	return s
}

// verify says what is wrong with an arm's table, which has all rows, and of the first so many orders what got says.
func verify(got sums, all, first, orders int64) error {
	want := wanted(first)
	switch {
	case got != want:
		return fmt.Errorf("the table is wrong:\n got  %v\n want %v", got, want)
	case all < first || all > orders:
		return fmt.Errorf("the table is wrong: %d rows in all, of %d orders", all, orders)
	}
	return nil
}
