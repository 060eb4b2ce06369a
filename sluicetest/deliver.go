package sluicetest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/seam"
)

// extraCalls is how many calls more than Retry.MaxAttempts a record gets before Deliver leaves it unfinished: what is tried again
// for ever, and an outage, would not end.
const extraCalls = 10

// group is the consumer group that Deliver works for.
const group = "sluicetest"

// Deliver gives records to a route as an app would: its ordering, middleware, decoder, handler, retries and OnFailure, by the same
// code, and returns an outcome a record, in the order of the records. There is no broker, it all happens on the caller's goroutine,
// one call at a time, and no time passes: the waits of retries are told (Outcome.Waits) and not spent.
//
// What an app would do for ever ends: a record that is tried again and again is left unfinished after 10 calls more than
// Retry.MaxAttempts, and poison without an OnFailure after its first call. Records that wait behind it in its lane are NotGiven.
//
// A record without a topic gets the route's first; on a route that has only a Pattern each names its own. Offsets count up in each partition where they do not already. The records given
// are not changed. The group is "sluicetest". A route that is wrong, or a topic that is not the route's, fails the test at once.
func Deliver[V any](t testing.TB, r sluice.Route[V], records ...*kgo.Record) []Outcome {
	t.Helper()
	return deliver(t, func(app *sluice.App) error { return sluice.Add(app, r) }, records)
}

// DeliverBatch is Deliver for a BatchRoute. The records of each partition come in batches of up to MaxSize, as if all of them were
// there at once. A route with Offsets (one of sqlsink's) fails the test: its database says where it begins, so give it a Cluster.
func DeliverBatch[V any](t testing.TB, r sluice.BatchRoute[V], records ...*kgo.Record) []Outcome {
	t.Helper()
	return deliver(t, func(app *sluice.App) error { return sluice.AddBatch(app, r) }, records)
}

func deliver(t testing.TB, add func(*sluice.App) error, records []*kgo.Record) []Outcome {
	t.Helper()
	app, err := sluice.New(sluice.Config{
		Brokers: []string{"localhost"}, // never dialled
		Group:   group,
		Logger:  slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err == nil {
		err = add(app)
	}
	if err != nil {
		t.Fatal(err)
	}
	d := &delivery{of: make(map[*kgo.Record]*Outcome, len(records)), done: make(map[*kgo.Record]bool)}
	cfg := seam.EngineConfig(app, d.write)
	records = placed(t, cfg.Routes[0], records)
	for _, r := range records {
		d.of[r] = &Outcome{Kind: NotGiven, Record: r}
	}
	if err := d.run(cfg, records); err != nil {
		t.Fatalf("deliver: %v", err)
	}
	return d.outcomes(records)
}

// placed are copies of the records, each with a place in a log.
func placed(t testing.TB, route *engine.Route, records []*kgo.Record) []*kgo.Record {
	t.Helper()
	type partition struct {
		topic  string
		number int32
	}
	next := make(map[partition]int64)
	out := make([]*kgo.Record, len(records))
	for i, given := range records {
		r := *given
		if r.Topic == "" {
			if len(route.Topics) == 0 {
				t.Fatalf("record %d has no topic, and the route has only a pattern: name one that it matches, %v", i, route.Pattern)
			}
			r.Topic = route.Topics[0]
		}
		if !slices.Contains(route.Topics, r.Topic) && (route.Pattern == nil || !route.Pattern.MatchString(r.Topic)) {
			t.Fatalf("record %d is of the topic %q, which the route does not have: %v", i, r.Topic, sources(route))
		}
		if r.Timestamp.IsZero() {
			r.Timestamp = time.Now()
		}
		p := partition{r.Topic, r.Partition}
		r.Offset = max(r.Offset, next[p])
		next[p] = r.Offset + 1
		out[i] = &r
	}
	return out
}

// sources are what a route reads, for messages.
func sources(route *engine.Route) string {
	if route.Pattern == nil {
		return fmt.Sprint(route.Topics)
	}
	return fmt.Sprintf("%v /%v/", route.Topics, route.Pattern)
}

// delivery notes what becomes of records. All but done is touched by one goroutine.
type delivery struct {
	of     map[*kgo.Record]*Outcome
	copied *kgo.Record // what was written last
	manual bool

	mu   sync.Mutex
	done map[*kgo.Record]bool // Message.Done was called
}

func (d *delivery) write(r *kgo.Record, done func(error)) {
	d.copied = r
	done(nil)
}

func (d *delivery) run(cfg engine.Config, records []*kgo.Record) error {
	route := cfg.Routes[0]
	d.listen(route)
	kind := func(k Kind) func(engine.FailedInfo) {
		return func(i engine.FailedInfo) { d.of[i.Record].Kind = k }
	}
	cfg.Observer = engine.Observer{
		DeadLettered: kind(DeadLettered),
		Dropped:      kind(Dropped),
		Failed: func(i engine.FailedInfo) {
			o := d.of[i.Record]
			o.Err = i.Err
			if i.RetryIn > 0 {
				o.Waits = append(o.Waits, i.RetryIn)
			}
		},
		Halted: func(i engine.HaltedInfo) {
			for _, o := range d.of {
				if r := o.Record; r.Topic == i.Topic && r.Partition == i.Partition && r.Offset == i.Offset {
					o.Kind = Halted
				}
			}
		},
	}
	limit := route.MaxAttempts + extraCalls
	return engine.Deliver(cfg, records, func(r *kgo.Record) bool {
		o := d.of[r]
		return o.Attempts < limit && o.Kind != Parked
	})
}

// listen has a route's calls noted.
func (d *delivery) listen(route *engine.Route) {
	d.manual = route.CommitManually
	if handle := route.Handle; handle != nil {
		route.Handle = func(ctx context.Context, w *engine.Work, r *kgo.Record, attempt int) engine.Outcome {
			out := handle(ctx, d.work(w, r), r, attempt)
			d.called(r, out)
			return out
		}
	}
	if handle := route.HandleBatch; handle != nil {
		route.HandleBatch = func(ctx context.Context, b *engine.Batch) engine.BatchOutcome {
			b.Waiting = nil // nothing is decoded ahead, on another goroutine
			b.Work = d.work(b.Work, b.Records...)
			out := handle(ctx, b)
			for i, r := range b.Records {
				if out.Each != nil {
					d.called(r, out.Each[i])
				} else {
					d.called(r, out.All)
				}
			}
			return out
		}
	}
	if write := route.DeadLetter; write != nil {
		route.DeadLetter = func(f engine.Failure, done func(error)) {
			write(f, func(err error) {
				d.of[f.Record].Copy = d.copied
				done(err)
			})
		}
	}
	if write := route.Retry; write != nil {
		route.Retry = func(f engine.Failure, done func(error)) {
			write(f, func(err error) {
				d.of[f.Record].Kind, d.of[f.Record].Copy = Delayed, d.copied
				done(err)
			})
		}
	}
}

// work has it noted when the records of a call are done, where that is for the handler to say.
func (d *delivery) work(w *engine.Work, records ...*kgo.Record) *engine.Work {
	if !d.manual {
		return w
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range records {
		delete(d.done, r) // that of an earlier call does not count
	}
	noted := *w
	noted.Finish = func(r *kgo.Record) {
		d.mu.Lock()
		d.done[r] = true
		d.mu.Unlock()
		w.Finish(r)
	}
	return &noted
}

// called notes one call for a record, and what becomes of it if nothing else is told of it.
func (d *delivery) called(r *kgo.Record, out engine.Outcome) {
	o := d.of[r]
	o.Attempts++
	switch out.Kind {
	case engine.Done:
		o.Kind, o.Err = Finished, nil
	case engine.Skipped:
		o.Kind, o.Err = Skipped, out.Err
	case engine.Outage:
		o.Kind = Outage
	case engine.Poison:
		o.Kind = Parked
	case engine.Failed, engine.Reclaim, engine.HandedBack:
		o.Kind = Retried
	}
}

func (d *delivery) outcomes(records []*kgo.Record) []Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]Outcome, len(records))
	for i, r := range records {
		out[i] = *d.of[r]
		if d.manual && out[i].Kind == Finished && !d.done[r] {
			out[i].Kind = NotDone
		}
	}
	return out
}
