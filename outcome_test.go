package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

func TestAnErrorIsWhatItWraps(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		kind  engine.Kind
		after time.Duration
		class string
	}{
		"any other":               {io.EOF, engine.Failed, -1, ""},
		"poison":                  {sluice.Poison(io.EOF), engine.Poison, 0, "poison"},
		"skip":                    {sluice.Skip("not ours"), engine.Skipped, 0, ""},
		"retry after":             {sluice.RetryAfter(io.EOF, time.Minute), engine.Failed, time.Minute, ""},
		"retry at once":           {sluice.RetryAfter(io.EOF, 0), engine.Failed, 0, ""},
		"retry before now":        {sluice.RetryAfter(io.EOF, -time.Minute), engine.Failed, 0, ""},
		"outage":                  {sluice.Outage(io.EOF), engine.Outage, 0, ""},
		"reclaim":                 {sluice.Reclaim(io.EOF), engine.Reclaim, 0, ""},
		"panic":                   {&sluice.PanicError{Value: "x"}, engine.Poison, 0, "panic"},
		"a panic with an outcome": {&sluice.PanicError{Value: sluice.Skip("x")}, engine.Poison, 0, "panic"},
		"the outermost counts":    {sluice.Outage(sluice.Poison(io.EOF)), engine.Outage, 0, ""},
		"the outermost, reversed": {sluice.Poison(sluice.Outage(io.EOF)), engine.Poison, 0, "poison"},
		"joined":                  {errors.Join(io.EOF, sluice.Poison(io.EOF)), engine.Poison, 0, "poison"},
		"poison of nothing":       {sluice.Poison(nil), engine.Poison, 0, "poison"},
		"outage of nothing":       {sluice.Outage(nil), engine.Outage, 0, ""},
	} {
		for how, err := range map[string]error{
			"bare": c.err, "wrapped": fmt.Errorf("order 7: %w", c.err),
			"wrapped twice": fmt.Errorf("charge: %w", fmt.Errorf("order 7: %w", c.err)), "joined": errors.Join(errors.New("a"), c.err),
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				o := sluice.OutcomeOf(err)
				var more engine.More
				if o.More != nil {
					more = *o.More
				}
				if o.Kind != c.kind || more.After != c.after || more.Class != c.class || o.Err == nil {
					t.Fatalf("%v became %+v, %+v", err, o, more)
				}
			})
		}
	}
	if o := sluice.OutcomeOf(nil); o.Kind != engine.Done || o.Err != nil {
		t.Fatalf("nil became %+v", o)
	}
}

func TestOutcomesSayWhatTheyAreAndWrapTheirCause(t *testing.T) {
	for want, err := range map[string]error{
		"poison: EOF":                   sluice.Poison(io.EOF),
		"poison: no reason given":       sluice.Poison(nil),
		"skipped: not ours":             sluice.Skip("not ours"),
		"retry later: EOF":              sluice.RetryAfter(io.EOF, time.Second),
		"outage: EOF":                   sluice.Outage(io.EOF),
		"claim lost: EOF":               sluice.Reclaim(io.EOF),
		"panic: seven":                  &sluice.PanicError{Value: "seven"},
		"panic: EOF":                    &sluice.PanicError{Value: io.EOF},
		"mend me":                       sluice.Refused(errors.New("mend me")),
		"0 records of the batch failed": &sluice.BatchError{},
		"2 records of the batch failed; 1: EOF; 4: skipped: late": &sluice.BatchError{
			Failed: map[int]error{4: sluice.Skip("late"), 1: io.EOF},
		},
		"5 records of the batch failed; 0: EOF; 1: EOF; 2: EOF; and 2 more": &sluice.BatchError{
			Failed: map[int]error{4: io.EOF, 3: io.EOF, 2: io.EOF, 1: io.EOF, 0: io.EOF},
		},
		"record 3 of the call, for topic orders, partition 0: EOF": &sluice.ProduceError{Index: 3, Record: textRecord("orders", ""), Err: io.EOF},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
		if strings.Contains(want, "EOF") && !errors.Is(err, io.EOF) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
	if !sluice.IsRefused(fmt.Errorf("claim: %w", sluice.Refused(io.EOF))) || sluice.IsRefused(io.EOF) {
		t.Error("IsRefused is wrong")
	}
}

func TestABatchErrorTellsEachRecordsOutcome(t *testing.T) {
	kinds := func(o engine.BatchOutcome) string {
		var b strings.Builder
		for _, e := range o.Each {
			fmt.Fprintf(&b, "%d ", e.Kind)
		}
		return strings.TrimSpace(b.String())
	}
	const done, skipped, failed, outage, poison, back = engine.Done, engine.Skipped, engine.Failed, engine.Outage, engine.Poison, engine.HandedBack
	some := map[int]error{1: io.EOF, 2: sluice.Poison(io.EOF), 3: fmt.Errorf("w: %w", sluice.Skip("x")), 4: sluice.Outage(io.EOF)}
	for name, c := range map[string]struct {
		err    error
		fenced bool
		want   string
	}{
		"others succeeded":     {&sluice.BatchError{Failed: some}, false, fmt.Sprint(done, failed, poison, skipped, outage, done)},
		"wrapped":              {fmt.Errorf("write: %w", &sluice.BatchError{Failed: some}), false, fmt.Sprint(done, failed, poison, skipped, outage, done)},
		"rolled back":          {&sluice.BatchError{Failed: some, RolledBack: true}, false, fmt.Sprint(back, failed, poison, skipped, outage, back)},
		"fenced":               {&sluice.BatchError{Failed: some}, true, fmt.Sprint(back, failed, poison, skipped, outage, back)},
		"nobody failed":        {&sluice.BatchError{}, false, fmt.Sprint(done, done, done, done, done, done)},
		"nil is no failure":    {&sluice.BatchError{Failed: map[int]error{0: nil, 5: io.EOF}}, false, fmt.Sprint(done, done, done, done, done, failed)},
		"nil, but rolled back": {&sluice.BatchError{Failed: map[int]error{0: nil, 5: io.EOF}, RolledBack: true}, false, fmt.Sprint(back, back, back, back, back, failed)},
	} {
		o := sluice.BatchOutcomeOf(c.err, 6, c.fenced)
		if kinds(o) != c.want {
			t.Errorf("%s: %+v, want %s", name, o, c.want)
		}
	}
}

func TestABatchErrorThatMakesNoSenseFailsTheBatch(t *testing.T) {
	for name, c := range map[string]struct {
		err    *sluice.BatchError
		fenced bool
		says   string
	}{
		"index too high":                {&sluice.BatchError{Failed: map[int]error{6: io.EOF}}, false, "index 6 of a batch of 6"},
		"index below":                   {&sluice.BatchError{Failed: map[int]error{-1: io.EOF}}, false, "index -1 of a batch of 6"},
		"one index of two":              {&sluice.BatchError{Failed: map[int]error{1: io.EOF, 99: io.EOF}}, false, "index 99"},
		"rolled back, nobody failed":    {&sluice.BatchError{RolledBack: true}, false, "named no record that failed"},
		"rolled back, nil is nobody":    {&sluice.BatchError{RolledBack: true, Failed: map[int]error{1: nil}}, false, "named no record that failed"},
		"fenced, nobody failed":         {&sluice.BatchError{}, true, "named no record that failed"},
		"rolled back, index of no one":  {&sluice.BatchError{RolledBack: true, Failed: map[int]error{7: io.EOF}}, false, "index 7"},
		"fenced, an index beyond, also": {&sluice.BatchError{Failed: map[int]error{7: sluice.Poison(io.EOF)}}, true, "index 7"},
	} {
		o := sluice.BatchOutcomeOf(c.err, 6, c.fenced)
		if o.Each != nil || o.All.Kind != engine.Failed || !strings.Contains(o.All.Err.Error(), c.says) {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if o := sluice.BatchOutcomeOf(nil, 6, false); o.Each != nil || o.All.Kind != engine.Done {
		t.Errorf("nil: %+v", o)
	}
}

// TestEachOutcomeInAnApp sees what becomes of a record by what its handler returns, with the attempts and the time it took.
func TestEachOutcomeInAnApp(t *testing.T) {
	first := func(err error) func(int) error {
		return func(call int) error {
			if call == 1 {
				return err
			}
			return nil
		}
	}
	always := func(err error) func(int) error { return func(int) error { return err } }
	wrapped := func(err error) error { return fmt.Errorf("order: %w", err) }
	for name, c := range map[string]struct {
		handle   func(call int) error
		calls    int
		least    time.Duration // between the first call and the last
		most     time.Duration
		skipped  int64
		dead     int64
		failures int64
	}{
		"nil":                    {always(nil), 1, 0, 0, 0, 0, 0},
		"any other":              {first(io.EOF), 2, 75 * time.Millisecond, 100 * time.Millisecond, 0, 0, 1},
		"any other, too often":   {always(io.EOF), 3, 225 * time.Millisecond, 300 * time.Millisecond, 0, 1, 3},
		"poison":                 {always(sluice.Poison(io.EOF)), 1, 0, 0, 0, 1, 1},
		"poison, wrapped":        {always(wrapped(sluice.Poison(io.EOF))), 1, 0, 0, 0, 1, 1},
		"skip":                   {always(sluice.Skip("no")), 1, 0, 0, 1, 0, 0},
		"skip, wrapped":          {always(wrapped(sluice.Skip("no"))), 1, 0, 0, 1, 0, 0},
		"retry after":            {first(sluice.RetryAfter(io.EOF, time.Minute)), 2, time.Minute, time.Minute, 0, 0, 1},
		"retry after, too often": {always(wrapped(sluice.RetryAfter(io.EOF, 5*time.Second))), 3, 10 * time.Second, 10 * time.Second, 0, 1, 3},
		"outage":                 {first(wrapped(sluice.Outage(io.EOF))), 2, 75 * time.Millisecond, 100 * time.Millisecond, 0, 0, 1},
		"a panic":                {func(int) error { panic("seven") }, 1, 0, 0, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c2 *bubble.Cluster) {
				c2.Produce("orders", 0, 0, 1, 0)
				var mu sync.Mutex
				var calls []time.Time
				m := join(t, configFor(t, c2, nil), func(app *sluice.App) error {
					return sluice.Add(app, sluice.Route[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(context.Context, sluice.Message[string]) error {
							mu.Lock()
							calls = append(calls, time.Now())
							n := len(calls)
							mu.Unlock()
							return c.handle(n)
						},
						Policy: sluice.Policy{Retry: sluice.Retry{Breaker: -1, MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
					})
				})
				c2.Until("the commit", func() bool { return c2.Committed("g", "orders", 0) == 1 })
				m.leave(t)
				took := calls[len(calls)-1].Sub(calls[0])
				s := m.app.Stats()
				if len(calls) != c.calls || took < c.least || took > c.most || s.Skipped != c.skipped || s.DeadLettered != c.dead || s.Failed != c.failures || s.Finished != 1 {
					t.Fatalf("%d calls over %v, %+v", len(calls), took, s)
				}
			})
		})
	}
}

func TestAnOutageOfAnyLengthDeadLettersNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 3, 0)
		began := time.Now()
		attempts := map[int]int{}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[int]{
				Topics: []string{"orders"}, Decode: number,
				Handle: func(_ context.Context, m sluice.Message[int]) error {
					attempts[m.Attempt]++
					if time.Since(began) < 5*time.Minute {
						return sluice.Outage(io.EOF)
					}
					return nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
			})
		})
		c.Until("health tells", func() bool { return strings.Contains(fmt.Sprint(m.app.Health().Problems), "outage: EOF") })
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 3 })
		if h := m.app.Health(); !h.Ready {
			t.Fatalf("health stays red after an outage: %+v", h)
		}
		m.leave(t)
		if s := m.app.Stats(); s.DeadLettered != 0 || s.Finished != 3 || s.Failed < 10 || s.Failed > 40 {
			t.Fatalf("%+v", s)
		}
		if len(attempts) != 1 || attempts[1] == 0 {
			t.Fatalf("attempts were counted: %v", maps.Collect(maps.All(attempts)))
		}
	})
}

func TestIsOutcome(t *testing.T) {
	for _, err := range []error{
		sluice.Poison(io.EOF), sluice.Skip("why"), sluice.RetryAfter(io.EOF, 1), sluice.Outage(io.EOF), sluice.Reclaim(io.EOF),
	} {
		if !sluice.IsOutcome(err) || !sluice.IsOutcome(fmt.Errorf("wrapped: %w", err)) {
			t.Errorf("%v is not taken for an outcome", err)
		}
	}
	for _, err := range []error{nil, io.EOF, &sluice.BatchError{}, &sluice.PanicError{}, sluice.Refused(io.EOF)} {
		if sluice.IsOutcome(err) {
			t.Errorf("%v is taken for an outcome", err)
		}
	}
}
