package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

const (
	poisonEvery  = 100
	batchesASec  = 50
	customers    = 500
	tooLong      = 60
	flushTimeout = 30 * time.Second
)

// order makes the record of an order. One in a hundred is poison: it cannot be read, or the database refuses it.
func order(topic string, id int64) *kgo.Record {
	customer := fmt.Sprintf("customer-%d", id%customers)
	value := fmt.Sprintf(`{"id":%d,"customer":%q,"amount":%d.%02d}`, id, customer, id%1000, id%100)
	if id%poisonEvery == 0 {
		value = badOrder(id)
	}
	return &kgo.Record{Topic: topic, Key: []byte(customer), Value: []byte(value)}
}

func badOrder(id int64) string {
	switch id / poisonEvery % 4 {
	case 0:
		return fmt.Sprintf(`{"id":%d,"customer":"cut o`, id) // not JSON
	case 1:
		return fmt.Sprintf(`{"id":%d,"customer":null,"amount":1.00}`, id) // NULL in a column that is NOT NULL
	case 2:
		return fmt.Sprintf(`{"id":%d,"customer":%q,"amount":1.00}`, id, strings.Repeat("x", tooLong))
	}
	return fmt.Sprintf(`{"id":%d,"customer":"c","amount":-1.00}`, id) // against a CHECK
}

// produce sends orders at a steady rate until the duration is over or ctx ends, and waits for their acknowledgements.
func produce(ctx, whole context.Context, s *stage, o Options, l *ledger) error {
	producer, err := sluice.NewProducer(s.kafka.Producer())
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Second / batchesASec)
	defer tick.Stop()
	began := time.Now()
	var sent int64
	for running := true; running; {
		select {
		case <-ctx.Done():
			running = false
		case <-tick.C:
			elapsed := time.Since(began)
			running = elapsed < o.Duration
			due := int64(min(elapsed, o.Duration).Seconds() * float64(o.Rate))
			for ; sent < due; sent++ {
				id := sent + 1
				producer.Enqueue(whole, order(s.spec.Topics[0], id), func(r *kgo.Record, err error) { l.done(id, r, err) })
			}
		}
	}
	flush, cancel := context.WithTimeout(whole, flushTimeout)
	defer cancel()
	return producer.Close(flush)
}
