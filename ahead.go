package sluice

import (
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// ahead holds what was decoded of a partition's next batch while the one before it was in its handler. One batch of the
// partition at a time touches it.
type ahead[V any] struct {
	decoded []decoded[V]    // in the lane's order
	busy    <-chan struct{} // closed when the goroutine that appends has ended; nil without one
}

type decoded[V any] struct {
	record *kgo.Record
	value  V
	err    error // poison
}

// decodesAhead: batches by key run side by side, a middleware sees records before they are decoded, and a route that commits
// manually has no place to keep them.
func (r *BatchRoute[V]) decodesAhead() bool {
	return r.Policy.Ordering == ByPartition && len(r.Policy.Middleware) == 0 && !r.Policy.Commit.manual
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

// decode decodes records that wait, until stop is called: then it ends with the record at hand, as the rest can as well be
// decoded when its batch begins. Only the next batch waits for that.
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
	waiting = slices.Clone(waiting) // the caller's is used again
	if len(a.decoded) == 0 {
		a.decoded = make([]decoded[V], 0, len(waiting))
	}
	var enough atomic.Bool
	busy := make(chan struct{})
	a.busy = busy
	go func() { // ends after stop, with the record at hand
		defer close(busy)
		for _, rec := range waiting {
			if enough.Load() {
				return
			}
			a.decoded = append(a.decoded, decode(with, rec))
		}
	}()
	return func() { enough.Store(true) }
}

// wait waits until nothing is decoded ahead any more.
func (a *ahead[V]) wait() {
	if a.busy != nil {
		<-a.busy
		a.busy = nil
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
