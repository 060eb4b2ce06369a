package sluice

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// waiter is a record that waits for room.
type waiter struct {
	cost  int64
	ready chan struct{} // closed when it has room, or was refused
	err   error
}

// recordLimits say how large a record may be.
type recordLimits struct {
	batch   int // in a batch of its own
	request int // the same, with the topic's name
}

const shortTopic = 16 // a topic's id, which goes in the place of its name, is no longer

// refuse says why a record can never be sent; nil when it can.
func (l recordLimits) refuse(r *kgo.Record, cost int64) error {
	limit := min(l.batch, l.request-max(shortTopic, len(r.Topic)))
	switch {
	case r.Topic == "":
		return fmt.Errorf("%w: the record names none", ErrUnknownTopic)
	case int(cost)+len(r.Headers)*headerOverhead <= limit: // recordCost is more than a batch and a record add

		return nil
	}
	if size := batchSize(r); size > limit {
		return fmt.Errorf("%w: %d bytes in a batch of its own, and %d are allowed; raise BatchBytes (batch.size) and MaxRequestBytes "+
			"(max.request.size), and the topic's max.message.bytes, or send less", ErrTooLarge, size, limit)
	}
	return nil
}

const (
	wholeBatch     = 66 // what surrounds the records of a batch, for every version of the protocol
	headerOverhead = 10 // of a header, at most
)

// batchSize is what a record takes in a batch of its own, as it goes over the wire.
func batchSize(r *kgo.Record) int {
	size := 3 + blob(len(r.Key), r.Key == nil) + blob(len(r.Value), r.Value == nil) + varint(len(r.Headers)) // 3: attributes, both deltas
	for _, h := range r.Headers {
		size += blob(len(h.Key), false) + blob(len(h.Value), h.Value == nil)
	}
	return wholeBatch + varint(size) + size
}

func blob(n int, null bool) int {
	if null {
		return varint(-1)
	}
	return varint(n) + n
}

// varint is the length of a number in Kafka's variable encoding.
func varint(n int) int {
	bits := uint64(n<<1) ^ uint64(n>>63) // zigzag
	size := 1
	for ; bits >= 0x80; bits >>= 7 {
		size++
	}
	return size
}

// admit waits until there is room. Called locked, returns locked.
func (o *outbox) admit(ctx context.Context, ended <-chan struct{}, cost int64) error {
	if ended != nil {
		select {
		case <-ended:
			return fmt.Errorf("not sent: %w", endOf(ctx))
		default:
		}
	}
	switch {
	case o.closed:
		return ErrClosed
	case o.used+cost <= o.max && len(o.waiters) == 0:
		o.used += cost
		return nil
	case o.teller.inCallback():
		// A callback that waited here would wait for itself: only what it does next makes room.
		o.used += cost
		return nil
	}
	w := &waiter{cost: cost, ready: make(chan struct{})}
	o.waiters = append(o.waiters, w)
	o.mu.Unlock()
	if o.linger {
		o.push()
	}
	err := o.await(ctx, ended, w)
	o.mu.Lock()
	if err == nil && o.closed {
		o.release(cost)
		err = ErrClosed
	}
	return err
}

func (o *outbox) await(ctx context.Context, ended <-chan struct{}, w *waiter) error {
	timer := time.NewTimer(o.timeout)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return w.err
	case <-ended:
		err = fmt.Errorf("%w: %w", ErrBufferFull, endOf(ctx))
	case <-timer.C:
		err = fmt.Errorf("%w; it stayed full for DeliveryTimeout (delivery.timeout.ms), %v", ErrBufferFull, shortDuration(o.timeout))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.waiters {
		if other == w {
			o.waiters = append(o.waiters[:i], o.waiters[i+1:]...)
			o.grant() // to those behind it
			return err
		}
	}
	return w.err // it was given room meanwhile
}

// grant lets those in that have room now, in their order. It waits until there is room for many records: a sender that woke for
// each would do little but sleep and wake; one that waited for much more room would leave the client without work. Called locked.
func (o *outbox) grant() {
	if o.used > o.max-o.max/32 {
		return
	}
	n := 0
	for _, w := range o.waiters {
		if o.used+w.cost > o.max {
			break
		}
		o.used += w.cost
		close(w.ready)
		n++
	}
	if n > 0 {
		o.waiters = o.waiters[n:]
	}
}

// shut refuses every record from now on, those that wait for room too.
func (o *outbox) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, w := range o.waiters {
		w.err = ErrClosed
		close(w.ready)
	}
	o.waiters = nil
}

// push ends Linger for what is waiting.
func (o *outbox) push() {
	o.mu.Lock()
	o.waiting = 0
	o.mu.Unlock()
	ended, end := context.WithCancel(o.base)
	end()
	_ = o.client.Flush(ended) // starts to send, and does not wait
}
