package sluice

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// outbox holds the records that a producer has on their way, and tells what became of them.
//
//	send: room ──▶ slot ──▶ client ──▶ returned ──▶ settled ──▶ told ──▶ room given back
//	                 └─ context ended (watched) ──────┘
//
// What the client calls takes a lock for a moment and never waits: callbacks run on a goroutine of their own (teller), one after
// the other, so that they may send, flush and close. A record costs one lock on its way in and another one on its way back, and
// nothing that is allocated, save a delivery as part of a Send, or when its context may end.
type outbox struct {
	base      context.Context // of the slots; never ends by itself
	open      context.Context // ends when the producer is closed
	end       context.CancelFunc
	client    *kgo.Client
	sizes     recordLimits
	max       int64
	linger    bool
	lingering int  // records that may wait for Linger; 0: any number
	manual    bool // the caller chooses the partition
	timeout   time.Duration
	traced    bool // the client has hooks, which want the caller's context

	mu      sync.Mutex // before teller.mu
	closed  bool
	used    int64
	waiters []*waiter
	waiting int // records since the last push

	slot     *slot // that takes records; nil: none yet
	retired  map[*slot]struct{}
	watches  map[<-chan struct{}]*watch
	watching *watch // the last one, as records of one context come in a row

	trouble error // why the last connection could not be made; nil when it could

	topic   string              // the last one that was met
	topics  map[string]struct{} // that were met
	missing map[string]struct{} // that were looked for in vain
	looking sync.WaitGroup

	teller teller
}

// recordCost is what a record takes beside its key, value and headers.
const recordCost = 200

// costOf is the room that a record takes.
func costOf(r *kgo.Record) int64 {
	size := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		size += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(size) + recordCost
}

// send gives a record to the client, when there is room for it, unless it is bad. A Send has c and an index in it, an Enqueue has
// done.
func (o *outbox) send(ctx context.Context, r *kgo.Record, bad error, done func(*kgo.Record, error), c *call, index int) {
	ended, cost := ctx.Done(), costOf(r)
	if bad == nil {
		bad = o.sizes.refuse(r, cost)
	}
	o.mu.Lock()
	if bad == nil {
		bad = o.admit(ctx, ended, cost)
	}
	if bad != nil {
		o.refuse(&delivery{verdict: verdict{record: r, done: done}, call: c, index: index}, bad)
		o.mu.Unlock()
		return
	}
	if r.Topic != o.topic {
		o.meet(r.Topic)
	}
	s := o.current()
	s.open++
	sent, promise := r, s.promise
	if c == nil && ended == nil && r.Context == nil && !o.traced {
		r.Context = callback(done)
	} else {
		d := &delivery{verdict: verdict{record: r, done: done, cost: cost}, sent: *r, slot: s, call: c, index: index}
		d.delivery = d
		if ended != nil {
			o.watchFor(ctx, ended, d)
		}
		sent, promise = &d.sent, func(_ *kgo.Record, err error) { o.returned(d, err) }
		sent.Context = o.contextOf(ctx, r)
	}
	push := false
	if o.lingering > 0 {
		o.waiting++
		push = o.waiting >= o.lingering
	}
	o.mu.Unlock()
	if !o.manual {
		sent.Partition = -1 // none chosen yet
	}
	o.client.Produce(s.ctx, sent, promise)
	if push {
		o.push()
	}
}

// contextOf is what the client's hooks see of the caller's context. It has no end of its own: the client would give up the
// whole partition with it.
func (o *outbox) contextOf(ctx context.Context, r *kgo.Record) context.Context {
	switch {
	case !o.traced:
		return o.base
	case r.Context != nil:
		return context.WithoutCancel(r.Context)
	}
	return context.WithoutCancel(ctx)
}

// refuse has a record told that the client never saw. Called locked.
func (o *outbox) refuse(d *delivery, err error) {
	d.delivery, d.returned = d, true
	o.settle(d, &failure{err: err, partition: -1})
}

// callback is what a record's outcome is told to. It goes to the client and back as the record's context, so that nothing has to be
// allocated for it: a func fits into an interface.
type callback func(*kgo.Record, error)

// Deadline implements context.Context.
func (callback) Deadline() (deadline time.Time, ok bool) { return time.Time{}, false }

// Done implements context.Context.
func (callback) Done() <-chan struct{} { return nil }

// Err implements context.Context.
func (callback) Err() error { return nil }

// Value implements context.Context.
func (callback) Value(any) any { return nil }

// answered is the client's word about a record of the caller's own that it was given. It is called by its one goroutine for
// all of them.
func (o *outbox) answered(s *slot, r *kgo.Record, err error) {
	done, _ := r.Context.(callback)
	r.Context = nil
	v := verdict{record: r, done: done, cost: costOf(r)}
	if err != nil {
		d := &delivery{verdict: v, index: -1, returned: true, failure: s.failed(r, err)}
		o.mu.Lock()
		if d.failure.answered {
			d.failure.trouble = o.trouble
		}
		o.mu.Unlock()
		v.delivery = d
	}
	o.tell(v, s)
}

// release gives room back. Called locked, when client and caller are done with a record.
func (o *outbox) release(cost int64) {
	o.used -= cost
	if len(o.waiters) > 0 {
		o.grant()
	}
}

// flush waits until everything sent before has its outcome, and, but from within a callback, until it was told.
func (o *outbox) flush(ctx context.Context) (unsettled int64, err error) {
	o.mu.Lock()
	if o.slot != nil {
		o.retire(o.slot)
	}
	open := slices.Collect(maps.Keys(o.retired))
	o.mu.Unlock()
	o.leaveAtOnce(1)
	defer o.leaveAtOnce(-1)
	if len(open) > 0 && o.linger {
		pushing, stop := context.WithCancel(ctx)
		defer stop()
		go func() { _ = o.client.Flush(pushing) }() // ends Linger until it returns, which stop brings about
	}
	for _, s := range open {
		select {
		case <-s.settled:
		case <-ctx.Done():
			return o.unsettled(open), endOf(ctx)
		}
	}
	return 0, o.awaitTold(ctx)
}

func (o *outbox) unsettled(open []*slot) (n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range open {
		n += s.open
	}
	return n
}

// close gives up what has no outcome.
func (o *outbox) close() {
	o.end()
	o.giveUp()
	o.client.Close()
	o.looking.Wait()
}
