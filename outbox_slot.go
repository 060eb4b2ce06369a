package sluice

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// slot is a span of time. Records that were sent within it share a context, which ends when the last of them has run out of
// time: a context and a timer a record would cost more than sending it. Its fields are guarded by outbox.mu, but for those that
// never change, and expired.
type slot struct {
	outbox  *outbox
	ctx     context.Context
	cancel  context.CancelFunc
	timer   *time.Timer
	promise func(*kgo.Record, error) // of its records, but those with a delivery
	open    int64                    // records without an outcome
	retired bool                     // takes no more records
	expired atomic.Bool
	settled chan struct{} // closed when it is retired, and nothing is open
}

// slots is how many of them a delivery timeout has, so that no record is told much later than it.
const slots = 64

// current is the slot for a record that is sent now. Called locked.
func (o *outbox) current() *slot {
	if o.slot == nil {
		s := &slot{outbox: o, settled: make(chan struct{})}
		s.promise = func(r *kgo.Record, err error) { o.answered(s, r, err) }
		s.ctx, s.cancel = context.WithCancel(o.base)
		s.timer = time.AfterFunc(o.timeout/slots, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.retire(s)
		})
		o.slot = s
	}
	return o.slot
}

// retire closes a slot for further records, and starts its time. Called locked.
func (o *outbox) retire(s *slot) {
	if s.retired {
		return
	}
	s.retired = true
	s.timer.Stop()
	if o.slot == s {
		o.slot = nil
	}
	o.retired[s] = struct{}{}
	s.timer = time.AfterFunc(o.timeout, func() { // has the client give up the records, each as soon as it can
		s.expired.Store(true)
		s.cancel()
	})
	o.leave(s, 0)
}

// giveUp ends the contexts of all that has no outcome. A connection that is being made for a record heeds no other one, and the client
// does not close before that is made, or given up.
func (o *outbox) giveUp() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slot != nil {
		o.retire(o.slot)
	}
	for s := range o.retired {
		s.cancel()
	}
}

// leave says that some records of a slot have their outcome. Called locked.
func (o *outbox) leave(s *slot, n int64) {
	s.open -= n
	if s.open == 0 && s.retired {
		s.timer.Stop()
		s.cancel()
		delete(o.retired, s)
		close(s.settled)
	}
}

// failed notes what the client says of a record; nil when it was acknowledged.
func (s *slot) failed(r *kgo.Record, err error) *failure {
	switch {
	case err == nil:
		return nil
	case s.outbox.isMissing(r.Topic, err):
		err = fmt.Errorf("%w, as far as the brokers say; create it, or correct the name: %w", ErrUnknownTopic, kerr.UnknownTopicOrPartition)
		return &failure{err: err, partition: -1}
	case errors.Is(err, context.Canceled) && s.outbox.open.Err() != nil: // see giveUp
		err = kgo.ErrClientClosed
	}
	return &failure{err: err, answered: true, late: s.expired.Load(), partition: r.Partition}
}
