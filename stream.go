package sluice

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// StreamRoute gives the records of each partition to a handler that takes them by itself, one after the other. Use it where the
// work of a partition has a state of its own; a [Route] is simpler, and can do more at once.
type StreamRoute[V any] struct {
	// Topics and Pattern, as for Route. One of them is required.
	Topics  []string
	Pattern string

	// Decode makes a value of a record. Required.
	Decode Decoder[V]

	// Handle does the work of one partition. Required. It is called when this app is given the partition, records or none, and loops
	// over Stream.Messages. When the loop ends, since the partition leaves or the app stops, it should return soon: a drain waits
	// for it as for any handler. Its context ends as a Route's does.
	//
	// Returning before that is an outcome of the message that the loop had last: with nil it is finished, with an error it is what the
	// same error of a Route is: retried, dead-lettered, and so on. Then Handle is called again, and goes on with the first message
	// that is not finished; after an error that is about no message, after the policy's backoff.
	Handle func(ctx context.Context, s *Stream[V]) error

	// Policy says how records are retried and committed. The ordering is ByPartition, Workers has no meaning (each partition has a
	// handler), and BeforeHandle, RetryTopics and Timeout cannot be had: a message that takes 5 minutes is named.
	Policy Policy
}

// Stream is one partition, from the time that this app is given it to the time that it leaves. Its methods are for the goroutine
// of its handler.
type Stream[V any] struct {
	topic     string
	partition int32
	begin     int64

	next    chan Message[V]
	result  chan error // of the message that was handed over last
	ending  chan struct{}
	once    sync.Once
	ctx     context.Context //nolint:containedctx // that of the handler, which Messages shares
	current bool            // a message is handed over, and has no result yet
	taken   int             // in this call of the handler
}

// Topic and Partition name the partition.
func (s *Stream[V]) Topic() string { return s.topic }

// Partition is the partition's number.
func (s *Stream[V]) Partition() int32 { return s.partition }

// Begin is the offset that the partition began at in this app.
func (s *Stream[V]) Begin() int64 { return s.begin }

// Messages are the partition's messages, in the order of their offsets. A message is finished when the next one is asked for, or,
// with the policy Manual, when its Done is called. It waits for messages, and ends when the partition leaves.
func (s *Stream[V]) Messages() iter.Seq[Message[V]] {
	return func(yield func(Message[V]) bool) {
		for {
			s.settle(nil)
			select {
			case m := <-s.next:
				s.current = true
				s.taken++
				if !yield(m) {
					return
				}
			case <-s.ending:
				return
			case <-s.ctx.Done():
				return
			}
		}
	}
}

// settle tells the outcome of the message at hand, if there is one.
func (s *Stream[V]) settle(err error) bool {
	if !s.current {
		return false
	}
	s.current = false
	s.result <- err
	return true
}

// End is the engine's word that nothing more comes.
func (s *Stream[V]) End() { s.once.Do(func() { close(s.ending) }) }

func (s *Stream[V]) ended() bool {
	select {
	case <-s.ending:
		return true
	case <-s.ctx.Done():
		return true
	default:
		return false
	}
}

// streaming is a Stream with its handler.
type streaming[V any] struct {
	*Stream[V]

	handle func(context.Context, *Stream[V]) error
	retry  Retry
	log    *slog.Logger
	turn   chan struct{} // held while a handler of the partition runs: never two at once in this process
}

var errStreamOver = errors.New("the handler ended its goroutine (runtime.Goexit, as t.FailNow does)")

// Run calls the handler until the stream ends.
func (s *streaming[V]) Run(ctx context.Context) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-s.ending:
		return
	case <-ctx.Done():
		return
	}
	s.ctx = ctx
	for failures := 0; !s.ended(); {
		s.taken = 0
		err := s.call(ctx)
		if s.settle(err) || s.ended() || err == nil && s.taken > 0 {
			failures = 0
			continue
		}
		failures++
		wait := s.retry.delay(failures)
		s.log.Warn("the handler of a stream returned before it had a message; it is called again", "event", "stream_handler_returned",
			"topic", s.topic,
			"partition", s.partition, "err", err, "in", wait)
		select {
		case <-s.ending:
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// call is one call of the handler, on a goroutine of its own: one that ends that costs the message at hand, and not the partition.
func (s *streaming[V]) call(ctx context.Context) error {
	result := make(chan error, 1)
	go func() {
		err := Poison(errStreamOver)
		defer func() { result <- err }()
		err = s.guarded(ctx)
	}()
	return <-result
}

func (s *streaming[V]) guarded(ctx context.Context) (err error) {
	defer recovered(&err)
	return s.handle(ctx, s.Stream)
}

// hand gives the stream a message, and waits for its outcome. It is what the engine calls for each record.
func (s *streaming[V]) hand(ctx context.Context, m Message[V]) error {
	select {
	case s.next <- m:
		return <-s.result
	case <-s.ending:
	case <-ctx.Done():
	}
	return errHandedBack
}

// errHandedBack says that a record was not handled, through no fault of its own.
var errHandedBack = errors.New("handed back")

// AddStream adds a stream route to an app, as Add does.
func AddStream[V any](app *App, r StreamRoute[V]) error {
	var bad mistakes
	pattern := checkRoute(&bad, r.Topics, r.Pattern, r.Decode == nil, r.Handle == nil)
	if r.Policy.Ordering != ByPartition {
		bad.add("Policy.Ordering", r.Policy.Ordering.String(), "a stream is a partition in order; leave it out, or use a Route")
	}
	if r.Policy.Workers != 0 {
		bad.add("Policy.Workers", strconv.Itoa(r.Policy.Workers), "every partition of a stream route has a handler; leave it out")
	}
	if r.Policy.Timeout != 0 {
		bad.add("Policy.Timeout", r.Policy.Timeout.String(), "a stream's handler has one context for all its messages, so none of "+
			"them can have a deadline; leave it out, or use a Route")
	}
	if r.Policy.Commit.before {
		bad.add("Policy.Commit", "", "BeforeHandle cannot be had with streams; use a Route")
	}
	if len(r.Policy.RetryTopics) > 0 {
		bad.add(retryField, fmt.Sprint(r.Policy.RetryTopics), "a stream is a partition in order, and what comes back from a "+
			"retry topic is not; leave it out, or use a Route")
	}
	policy := r.Policy.withDefaults(&bad)
	if err := bad.err(); err != nil {
		return app.refuse(fmt.Errorf("StreamRoute %s: %w", sources(r.Topics, r.Pattern), err))
	}
	policy.Workers = math.MaxInt32 // each waits for its partition's handler
	route := Route[V]{Decode: r.Decode, Policy: policy, Handle: func(ctx context.Context, m Message[V]) error {
		return m.work.Stream.(*streaming[V]).hand(ctx, m) //nolint:forcetypeassert // open makes no other
	}}
	streams := streamOpener[V]{handle: r.Handle, retry: policy.Retry, log: app.cfg.Logger, turns: make(map[string]chan struct{})}
	return app.add(addedRoute{
		topics: r.Topics, pattern: pattern, policy: policy, handler: recordHandler(app, route), stream: streams.open,
	})
}

// streamOpener makes the streams of a route.
type streamOpener[V any] struct {
	handle func(context.Context, *Stream[V]) error
	retry  Retry
	log    *slog.Logger

	mu    sync.Mutex
	turns map[string]chan struct{} // by partition, as they outlive assignments
}

func (o *streamOpener[V]) open(w *engine.Work) engine.Streamer {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := w.Topic + "-" + strconv.Itoa(int(w.Partition))
	turn := o.turns[name]
	if turn == nil {
		turn = make(chan struct{}, 1)
		o.turns[name] = turn
	}
	return &streaming[V]{
		Stream: &Stream[V]{
			topic: w.Topic, partition: w.Partition, begin: w.Begin,
			next: make(chan Message[V]), result: make(chan error, 1), ending: make(chan struct{}),
		},
		handle: o.handle, retry: o.retry, log: o.log, turn: turn,
	}
}
