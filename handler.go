package sluice

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// routeHandler is a route's handler without its type; one of the two is set.
type routeHandler struct {
	record func(context.Context, *engine.Work, *kgo.Record, int) engine.Outcome
	batch  func(context.Context, *engine.Batch) engine.BatchOutcome
}

// decodeError marks an error of a Decoder, which is poison.
type decodeError struct{ err error }

func (e *decodeError) Error() string { return e.err.Error() }
func (e *decodeError) Unwrap() error { return e.err }

// recordHandler makes what the engine calls of a Route.
func recordHandler[V any](app *App, r Route[V]) routeHandler {
	handle := func(ctx context.Context, w *engine.Work, rec *kgo.Record, attempt int) (err error) {
		defer recovered(&err)
		v, err := r.Decode(rec)
		if err != nil {
			return &decodeError{err}
		}
		return r.Handle(ctx, Message[V]{Value: v, Record: rec, Attempt: attempt, work: w})
	}
	if len(r.Policy.Middleware) == 0 {
		return routeHandler{record: func(ctx context.Context, w *engine.Work, rec *kgo.Record, attempt int) engine.Outcome {
			if err := handle(ctx, w, rec, attempt); err != nil {
				return outcome(err)
			}
			return engine.Outcome{}
		}}
	}
	base := func(ctx context.Context, d *Delivery) error {
		if d.work == nil {
			return errNewDelivery
		}
		return handle(ctx, d.work, d.Records[0], d.Attempt)
	}
	chain := wrap(base, r.Policy.Middleware)
	return routeHandler{record: func(ctx context.Context, w *engine.Work, rec *kgo.Record, attempt int) engine.Outcome {
		d := &struct { // so that it is one allocation
			Delivery

			records [1]*kgo.Record
		}{Delivery{Group: app.cfg.Group, Attempt: attempt, work: w}, [1]*kgo.Record{rec}}
		d.Records = d.records[:]
		return outcome(protect(ctx, &d.Delivery, chain))
	}}
}

// batchHandler makes what the engine calls of a BatchRoute.
func batchHandler[V any](app *App, r BatchRoute[V]) routeHandler {
	return routeHandler{batch: func(ctx context.Context, b *engine.Batch) engine.BatchOutcome {
		base := func(ctx context.Context, _ *Delivery) (err error) {
			defer recovered(&err)
			return handleBatch(ctx, r, b)
		}
		if len(b.Records) == 0 { // only to step over what was settled: nothing for middleware
			return batchOutcome(base(ctx, nil), 0, true)
		}
		attempt := b.Attempts[0]
		d := &Delivery{Group: app.cfg.Group, Records: b.Records, Attempt: attempt}
		return batchOutcome(protect(ctx, d, wrap(base, r.Policy.Middleware)), len(b.Records), r.Offsets != nil)
	}}
}

// handleBatch decodes a batch and hands it over. Records that cannot be decoded fail by themselves: the others are handled
// without them, or, where the sink keeps the offsets, after them.
func handleBatch[V any](ctx context.Context, r BatchRoute[V], b *engine.Batch) error {
	ahead := new(ahead[V])
	if r.decodesAhead() {
		ahead = aheadOf[V](b.Work)
		ahead.wait()
	}
	messages := make([]Message[V], 0, len(b.Records))
	index := make([]int, 0, len(b.Records)) // of a message among the records
	var undecodable map[int]error
	for i, rec := range b.Records {
		d, ok := ahead.take(rec)
		if !ok {
			d = decode(r.Decode, rec)
		}
		if d.err != nil {
			if undecodable == nil {
				undecodable = make(map[int]error)
			}
			undecodable[i] = d.err
			continue
		}
		index = append(index, i)
		messages = append(messages, Message[V]{Value: d.value, Record: rec, Attempt: b.Attempts[i], work: workOf(b, i)})
	}
	if r.decodesAhead() {
		stop := ahead.decode(r.Decode, b.Waiting)
		defer stop()
	}
	if undecodable != nil && r.Offsets != nil {
		return &BatchError{Failed: undecodable, RolledBack: true}
	}
	if len(messages) == 0 && r.Offsets == nil {
		return &BatchError{Failed: undecodable}
	}
	err := r.Handle(ctx, Batch[V]{
		Topic: b.Topic, Partition: b.Partition, Messages: messages,
		Next: b.Next, NextEpoch: b.NextEpoch, Claim: b.Token,
	})
	if undecodable == nil {
		return err
	}
	return mergeBatch(err, index, undecodable)
}

// workOf is what may be known of one record of a batch.
func workOf(b *engine.Batch, i int) *engine.Work {
	if b.Works != nil {
		return b.Works[i]
	}
	return b.Work
}

// mergeBatch adds the undecodable records to a handler's word about the others.
func mergeBatch(err error, index []int, failed map[int]error) error {
	be, ok := errors.AsType[*BatchError](err)
	switch {
	case err == nil:
		return &BatchError{Failed: failed}
	case ok:
		merged := &BatchError{Failed: failed, RolledBack: be.RolledBack}
		for i, ferr := range be.Failed {
			if i < 0 || i >= len(index) {
				return badIndex(i, len(index))
			}
			merged.Failed[index[i]] = ferr
		}
		return merged
	default: // all the others failed together; settle the undecodable ones first, and hand the others over again
		return &BatchError{Failed: failed, RolledBack: true}
	}
}

func badIndex(i, n int) error {
	return fmt.Errorf("the handler's BatchError names index %d of a batch of %d messages", i, n)
}

func wrap(h Handler, middleware []Middleware) Handler {
	for _, m := range slices.Backward(middleware) {
		h = m(h)
	}
	return h
}

// protect calls a chain of middleware, which may panic as well.
func protect(ctx context.Context, d *Delivery, h Handler) (err error) {
	defer recovered(&err)
	return h(ctx, d)
}

// recovered is deferred itself, and turns a panic into an error.
func recovered(err *error) {
	if v := recover(); v != nil { //nolint:revive // recovered is what is deferred
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

var errNewDelivery = Poison(errors.New("a middleware called next with a Delivery of its own; pass on the one that it got"))

// outcome turns an error into what the engine makes of it.
func outcome(err error) engine.Outcome {
	if err == nil {
		return engine.Outcome{}
	}
	if errors.Is(err, errHandedBack) {
		return engine.Outcome{Kind: engine.HandedBack}
	}
	if _, ok := errors.AsType[*PanicError](err); ok {
		return engine.Outcome{Kind: engine.Poison, Err: err, More: &engine.More{Class: "panic"}}
	}
	if _, ok := errors.AsType[*decodeError](err); ok {
		return engine.Outcome{Kind: engine.Poison, Err: err, More: &engine.More{Class: "decode"}}
	}
	o, ok := errors.AsType[*outcomeError](err)
	if !ok {
		return engine.Outcome{Kind: engine.Failed, Err: err, More: &engine.More{After: -1}}
	}
	switch o.kind {
	case kindPoison:
		return engine.Outcome{Kind: engine.Poison, Err: err, More: &engine.More{Class: "poison"}}
	case kindSkip:
		return engine.Outcome{Kind: engine.Skipped, Err: o.err}
	case kindOutage:
		return engine.Outcome{Kind: engine.Outage, Err: err}
	case kindReclaim:
		return engine.Outcome{Kind: engine.Reclaim, Err: err}
	default:
		return engine.Outcome{Kind: engine.Failed, Err: err, More: &engine.More{After: max(0, o.after)}}
	}
}

// batchOutcome turns an error about n records into what the engine makes of it. fenced: nothing of a batch that failed was
// applied, whatever the error says.
func batchOutcome(err error, n int, fenced bool) engine.BatchOutcome {
	be, ok := errors.AsType[*BatchError](err)
	if !ok {
		return engine.BatchOutcome{All: outcome(err)}
	}
	each := make([]engine.Outcome, n)
	if be.RolledBack || fenced {
		for i := range each {
			each[i] = engine.Outcome{Kind: engine.HandedBack}
		}
	}
	failures := 0
	for i, ferr := range be.Failed {
		if i < 0 || i >= n {
			return engine.BatchOutcome{All: outcome(badIndex(i, n))}
		}
		if ferr != nil {
			each[i] = outcome(ferr)
			failures++
		}
	}
	if failures == 0 && (be.RolledBack || fenced) {
		err = fmt.Errorf("the batch was rolled back, and the handler named no record that failed: %w", err)
		return engine.BatchOutcome{All: outcome(err)}
	}
	return engine.BatchOutcome{Each: each}
}
