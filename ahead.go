package sluice

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// ahead holds what was decoded of a partition's next batch while the one before it was in its handler. One batch of the
// partition at a time touches it.
type ahead[V any] struct {
	decoded []decoded[V] // in the lane's order
}

type decoded[V any] struct {
	record *kgo.Record
	value  V
	err    error // poison
}

// decodesAhead: batches by key run side by side, and a middleware sees records before they are decoded.
func (r *BatchRoute[V]) decodesAhead() bool {
	return r.Policy.Ordering == ByPartition && len(r.Policy.Middleware) == 0
}

func aheadOf[V any](w *engine.Work) *ahead[V] {
	a, ok := w.Ahead.(*ahead[V])
	if !ok {
		a = new(ahead[V])
		w.Ahead = a
	}
	return a
}

// take returns what was made of a record, and forgets it.
func (a *ahead[V]) take(rec *kgo.Record) (d decoded[V], ok bool) {
	if len(a.decoded) == 0 || a.decoded[0].record != rec {
		return d, false
	}
	d = a.decoded[0]
	a.decoded = a.decoded[1:]
	return d, true
}

// decode decodes records that wait, until the returned func is called: that waits for the record at hand, no longer, as
// the rest can as well be decoded when its batch begins.
func (a *ahead[V]) decode(with Decoder[V], waiting []*kgo.Record) (stop func()) {
	if n := len(a.decoded); n > 0 { // a batch that was tried again: this much is decoded
		if n > len(waiting) || a.decoded[0].record != waiting[0] {
			a.decoded, n = nil, 0
		}
		waiting = waiting[n:]
	}
	if len(waiting) == 0 {
		return func() {}
	}
	if len(a.decoded) == 0 {
		a.decoded = make([]decoded[V], 0, len(waiting))
	}
	var enough atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, rec := range waiting {
			if enough.Load() {
				return
			}
			a.decoded = append(a.decoded, decode(with, rec))
		}
	}()
	return func() {
		enough.Store(true)
		<-done
	}
}

func decode[V any](with Decoder[V], rec *kgo.Record) (d decoded[V]) {
	d.record = rec
	defer recovered(&d.err)
	var err error
	if d.value, err = with(rec); err != nil {
		d.err = &decodeError{err}
	}
	return d
}
