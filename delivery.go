package sluice

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// verdict is what the teller is given to tell of a record.
type verdict struct {
	record   *kgo.Record // the caller's
	done     func(*kgo.Record, error)
	cost     int64     // bytes of the buffer
	delivery *delivery // nil: acknowledged, and the client is done with it
}

// delivery is what there is to know of a record that failed, or whose caller may be told before the client is done with it, since
// it is part of a Send, or its context may end: then the client works on a copy. Its fields are guarded by outbox.mu.
type delivery struct {
	verdict

	sent  kgo.Record
	slot  *slot // nil: never sent
	call  *call // of Send, instead of a callback
	index int

	watch      *watch
	prev, next *delivery // of the watch

	settled  bool // its outcome is known
	told     bool // the caller knows it
	returned bool // the client is done with it
	failure  *failure
}

// failure is why a record was not acknowledged, as it is noted when that is known.
type failure struct {
	err       error
	answered  bool  // by the client: see reason
	late      bool  // its time was over
	trouble   error // with the brokers while it was on its way
	partition int32
}

// call is one Send.
type call struct {
	left   int
	failed []*ProduceError
	done   chan struct{} // closed when nothing is left
}

// err is what the caller is told; nil when the record was acknowledged, which then has its coordinates.
func (v *verdict) err() *ProduceError {
	d := v.delivery
	if d == nil {
		return nil
	}
	f := d.failure
	if f == nil {
		v.record.Partition, v.record.Offset, v.record.Timestamp = d.sent.Partition, d.sent.Offset, d.sent.Timestamp
		return nil
	}
	err := f.err
	if f.answered {
		err = reason(v.record.Topic, err, f.late, f.trouble)
	} else if f.trouble != nil {
		err = withTrouble(err, Explain(f.trouble, "WRITE", v.record.Topic))
	}
	return &ProduceError{Index: d.index, Record: v.record, Partition: f.partition, Err: err}
}

// returned is the client's word about a record. It is called by its one goroutine for all of them.
func (o *outbox) returned(d *delivery, err error) {
	f := d.slot.failed(&d.sent, err)
	o.mu.Lock()
	defer o.mu.Unlock()
	d.returned = true
	if !d.settled {
		if f != nil && f.answered {
			f.trouble = o.trouble
		}
		o.settle(d, f)
	}
	if d.told {
		o.release(d.cost)
	}
}

// told says that the caller knows the outcome of a record.
func (o *outbox) told(d *delivery) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d.told = true
	if d.returned {
		o.release(d.cost)
	}
}

// settle notes the outcome of a record and has it told. Called locked, once a record.
func (o *outbox) settle(d *delivery, f *failure) {
	d.settled, d.failure = true, f
	if d.watch != nil {
		o.unwatch(d)
	}
	if s := d.slot; s != nil {
		o.leave(s, 1)
	}
	c := d.call
	if c == nil {
		o.tell(d.verdict, nil)
		return
	}
	d.told = true
	if failed := d.err(); failed != nil {
		c.failed = append(c.failed, failed)
	}
	c.left--
	if c.left == 0 {
		close(c.done)
	}
}

// watch tells the unsettled records of a caller's context when it ends. There is one for all that share a context.
type watch struct {
	ctx   context.Context
	done  <-chan struct{}
	first *delivery
	stop  func() bool
}

// watchFor adds a record to the watch of its context. Called locked.
func (o *outbox) watchFor(ctx context.Context, done <-chan struct{}, d *delivery) {
	w := o.watching
	if w == nil || w.done != done {
		w = o.watches[done]
	}
	if w == nil {
		w = &watch{ctx: ctx, done: done}
		w.stop = context.AfterFunc(ctx, func() { o.ended(w) })
		o.watches[done] = w
	}
	o.watching = w
	d.watch, d.next = w, w.first
	if w.first != nil {
		w.first.prev = d
	}
	w.first = d
}

// unwatch takes a record out of its watch. Called locked.
func (o *outbox) unwatch(d *delivery) {
	w := d.watch
	if d.prev != nil {
		d.prev.next = d.next
	} else {
		w.first = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.watch, d.prev, d.next = nil, nil, nil
	if w.first == nil {
		w.stop()
		delete(o.watches, w.done)
		if o.watching == w {
			o.watching = nil
		}
	}
}

// ended settles what waits with a context that ended. The client goes on with it: it could only give up the whole partition.
func (o *outbox) ended(w *watch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := fmt.Errorf("not acknowledged before its context ended; it may still be written: %w", endOf(w.ctx))
	for w.first != nil {
		o.settle(w.first, &failure{err: err, trouble: o.trouble, partition: -1})
	}
}
