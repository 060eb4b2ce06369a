package sluice

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// Delivery is one call of a handler, before anything is decoded.
type Delivery struct {
	Group   string
	Records []*kgo.Record // one on a Route, at least one lane's worth on a BatchRoute; all of one partition
	Attempt int           // of the first record, from 1

	work *engine.Work
}

// Handler is what a Middleware wraps. It returns an outcome.
type Handler func(context.Context, *Delivery) error

// Middleware wraps every call of a route's handler: decoding happens inside. It may look at the raw records, add to the
// context, and change the outcome. It must call next at most once, with the Delivery that it got.
type Middleware func(next Handler) Handler

// deliveries are made some at a time: each by itself would cost more than all else in a call. A middleware may keep the one that it got,
// so none is used again.
type deliveries struct {
	used int
	all  [16]struct {
		Delivery

		record [1]*kgo.Record
	}
}

var unused sync.Pool // of *deliveries that are not used up

func newDelivery(group string, rec *kgo.Record, attempt int, work *engine.Work) *Delivery {
	ds, ok := unused.Get().(*deliveries)
	if !ok {
		ds = new(deliveries)
	}
	d := &ds.all[ds.used]
	if ds.used++; ds.used < len(ds.all) {
		unused.Put(ds)
	}
	d.record[0] = rec
	d.Group, d.Records, d.Attempt, d.work = group, d.record[:], attempt, work
	return &d.Delivery
}
