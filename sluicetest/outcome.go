package sluicetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// Kind is what became of a record.
type Kind string

// What becomes of a record. The first five finish it; under the others it is unfinished, and no commit would pass it.
const (
	// Finished: the handler returned nil.
	Finished Kind = "finished"
	// Skipped: the handler returned sluice.Skip; Outcome.Err is the reason.
	Skipped Kind = "skipped"
	// Delayed: it used up its attempts and goes on to a retry topic; Outcome.Copy is the copy. Deliver does not read retry topics.
	Delayed Kind = "delayed"
	// DeadLettered: OnFailure copied it; Outcome.Copy is the copy.
	DeadLettered Kind = "dead-lettered"
	// Dropped: OnFailure dropped it.
	Dropped Kind = "dropped"
	// Halted: OnFailure halted its partition.
	Halted Kind = "halted"
	// NotDone: the handler returned nil, and nobody called Message.Done, as a route with the commit policy Manual demands.
	NotDone Kind = "not done"
	// NotGiven: a record before it in its lane is unfinished, so that the handler never saw this one.
	NotGiven Kind = "not given to the handler"
	// Outage: the handler still says sluice.Outage.
	Outage Kind = "outage"
	// Parked: it is poison, and the route has no OnFailure.
	Parked Kind = "parked"
	// Retried: the handler still fails, and the route tries for ever.
	Retried Kind = "retried"
)

// Outcome is what became of one record.
type Outcome struct {
	Kind   Kind
	Record *kgo.Record // as the handler saw it

	// Attempts is how often the record was given to the route: its middleware, its decoder and its handler.
	Attempts int

	// Copy is the dead letter, or the copy for a retry topic, as it would be written, with its topic and headers; nil unless the Kind is
	// DeadLettered or Delayed.
	Copy *kgo.Record

	// Err is the last failure, or the reason of a Skip; nil where the handler succeeded in the end. A panic is a *sluice.PanicError.
	Err error

	// Waits are how long the record would have waited after each failure. Backoffs of a route have a jitter: up to a quarter less.
	Waits []time.Duration
}

// Panicked tells whether the last failure was a panic.
func (o Outcome) Panicked() bool {
	_, ok := errors.AsType[*sluice.PanicError](o.Err)
	return ok
}

// Header returns the value of the copy's header of that name (sluice.HeaderErrorClass …); "" when there is none.
func (o Outcome) Header(name string) string {
	if o.Copy == nil {
		return ""
	}
	for _, h := range o.Copy.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

// String says it in a line for a test's failure: kind, place, attempts, and the last failure.
func (o Outcome) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[%d]@%d %s", o.Record.Topic, o.Record.Partition, o.Record.Offset, o.Kind)
	if o.Copy != nil {
		fmt.Fprintf(&b, " to %s", o.Copy.Topic)
	}
	if o.Attempts > 1 {
		fmt.Fprintf(&b, " after %d attempts", o.Attempts)
	}
	if o.Err != nil {
		fmt.Fprintf(&b, ": %v", o.Err)
	}
	return b.String()
}
