package sim

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// produce produces some records. Those of a transaction that is aborted are nobody's.
func (w *world) produce(f feed) {
	if len(f.records) == 0 {
		return
	}
	out := make([]*kgo.Record, 0, len(f.records))
	records := make([]*record, len(f.records))
	w.mu.Lock()
	for i, plan := range f.records {
		k := &kgo.Record{Topic: topic, Partition: plan.partition, Value: []byte("aborted")}
		if f.txn != aborted {
			records[i] = w.ledger.add(w.scenario, plan)
			k.Value = value(records[i].id)
		}
		if plan.key != "" {
			k.Key = []byte(plan.key)
		}
		out = append(out, k)
	}
	w.mu.Unlock()
	if err := w.send(f, out); err != nil {
		w.failf("setup: produce: %v", err)
		return
	}
	w.trace.notef("feeder", "%d records (transaction %d)", len(out), f.txn)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, k := range out {
		if records[i] != nil {
			w.ledger.place(records[i], k.Offset)
		}
	}
}

func (w *world) send(f feed, out []*kgo.Record) error {
	ctx := context.Background()
	if f.txn == noTxn {
		return w.Client().ProduceSync(ctx, out...).FirstErr()
	}
	if w.feeder == nil || f.at > w.scenario.grows && w.scenario.grows > 0 {
		if w.feeder != nil {
			w.feeder.Close() // it may not know of a partition yet
		}
		cl, err := kgo.NewClient(append(w.Options(w.Dial), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.TransactionalID("feeder"))...)
		if err != nil {
			return err
		}
		w.feeder = cl
	}
	if err := w.feeder.BeginTransaction(); err != nil {
		return err
	}
	err := w.feeder.ProduceSync(ctx, out...).FirstErr()
	w.sleep(f.open)
	return errors.Join(err, w.feeder.EndTransaction(ctx, kgo.TransactionEndTry(f.txn == committed)))
}
