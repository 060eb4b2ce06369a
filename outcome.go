package sluice

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// The outcome of a handler is the error that it returns:
//
//	nil                 the record is finished
//	Poison(err)         this record can never succeed: OnFailure decides at once
//	Skip(reason)        the record is finished without having been handled
//	RetryAfter(err, d)  try again after d
//	Outage(err)         nothing can succeed now: the route waits, this counts no attempt
//	*BatchError         some records of a batch failed, each with an outcome of its own
//	Reclaim(err)        only for sinks with Offsets: the claim is no longer ours
//	any other error     try again after the route's backoff, up to MaxAttempts
//
// A panic is poison, with its stack.

type outcomeError struct {
	kind  outcomeKind
	after time.Duration
	err   error
}

type outcomeKind int

const (
	kindPoison outcomeKind = iota + 1
	kindSkip
	kindRetryAfter
	kindOutage
	kindReclaim
)

var kindNames = map[outcomeKind]string{
	kindPoison: "poison", kindSkip: "skipped", kindRetryAfter: "retry later", kindOutage: "outage", kindReclaim: "claim lost",
}

func (e *outcomeError) Error() string { return kindNames[e.kind] + ": " + e.err.Error() }
func (e *outcomeError) Unwrap() error { return e.err }

func newOutcome(kind outcomeKind, err error, after time.Duration) error {
	if err == nil {
		err = errors.New("no reason given")
	}
	return &outcomeError{kind: kind, err: err, after: after}
}

// IsOutcome tells whether err is, or wraps, what Poison, Skip, RetryAfter, Outage or Reclaim return. Other errors are retried.
func IsOutcome(err error) bool {
	_, ok := errors.AsType[*outcomeError](err)
	return ok
}

// OutcomeKind is what an error that a handler returned means, in a word: "finished" (nil), "poison", "decode", "panic", "skipped",
// "outage", "reclaim", "handed back" (not handled: a StreamRoute whose handler has left), or "retry". Of a *BatchError it is "retry".
func OutcomeKind(err error) string {
	if err == nil {
		return "finished"
	}
	if errors.Is(err, errHandedBack) {
		return "handed back"
	}
	if _, ok := errors.AsType[*BatchError](err); ok {
		return "retry"
	}
	switch o := outcome(err); o.Kind {
	case engine.Poison:
		return o.More.Class
	case engine.Skipped:
		return "skipped"
	case engine.Outage:
		return "outage"
	case engine.Reclaim:
		return "reclaim"
	default:
		return "retry"
	}
}

// Poison says that this record can never succeed: it is not retried, OnFailure decides at once. On a route without
// OnFailure it stays where it is, is tried again at the longest backoff, and turns health red; it is never dropped.
func Poison(err error) error { return newOutcome(kindPoison, err, 0) }

// Skip finishes the record without an effect. The reason is told in Events.Skipped.
func Skip(reason string) error { return newOutcome(kindSkip, errors.New(reason), 0) }

// RetryAfter tries the record again after d, which replaces the route's backoff once. It counts as an attempt.
func RetryAfter(err error, d time.Duration) error { return newOutcome(kindRetryAfter, err, d) }

// Outage says that nothing can succeed now, because a server that the handler needs is away. All of the route in this process
// waits: after the route's backoff one record (or batch) is tried, until one succeeds. Attempts are not counted, so an outage of any
// length dead-letters nothing. See Retry.Breaker for handlers that do not say so.
func Outage(err error) error { return newOutcome(kindOutage, err, 0) }

// Reclaim says that the sink's claim on the batch's partition no longer holds: nothing of the batch was applied, or the
// sink knows better where to go on. The engine drops the assignment's work, sees whether this process still is a member
// that the group accepts commits from, and if so claims the partition again. Only routes with Offsets may return it.
func Reclaim(err error) error { return newOutcome(kindReclaim, err, 0) }

// BatchError is the outcome of a batch in which some records failed.
type BatchError struct {
	// Failed maps indexes of Batch.Messages to their outcomes. The others succeeded, unless RolledBack says otherwise.
	Failed map[int]error

	// RolledBack says that nothing of the batch was applied, through no fault of the records that are not in Failed. They
	// are handed over again, at no cost in attempts, as soon as the failed ones are settled.
	RolledBack bool
}

func (e *BatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records of the batch failed", len(e.Failed))
	for n, i := range slices.Sorted(maps.Keys(e.Failed)) {
		if n == 3 {
			fmt.Fprintf(&b, "; and %d more", len(e.Failed)-n)
			break
		}
		fmt.Fprintf(&b, "; %d: %v", i, e.Failed[i])
	}
	return b.String()
}

// Unwrap returns the outcomes, in the order of their indexes.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, i := range slices.Sorted(maps.Keys(e.Failed)) {
		errs = append(errs, e.Failed[i])
	}
	return errs
}

// PanicError is what a panic in a handler, decoder or middleware becomes. It is poison.
type PanicError struct {
	Value any    // what was given to panic
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the panic's value where it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
