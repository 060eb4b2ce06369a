package sluicetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
)

// fate is what a record's value says becomes of it.
func fate(text string, attempt int) error {
	switch word, _, _ := strings.Cut(text, " "); {
	case word == "poison":
		return sluice.Poison(errBroken)
	case word == "fails", word == "once" && attempt == 1:
		return errBroken
	case word == "skip":
		return sluice.Skip("so it says")
	case word == "panics":
		panic("so it says")
	case word == "later" && attempt == 1:
		return sluice.RetryAfter(errBroken, time.Second)
	case word == "outage" && attempt < 3:
		return sluice.Outage(errBroken)
	}
	return nil
}

// The same records, once without a broker and once with one, meet the same fate in the same calls, with each ordering, one by one and
// in batches.
func TestDeliverAgreesWithAnApp(t *testing.T) {
	words := []string{"fine", "poison", "once", "skip", "fails", "panics", "later", "fine", "fine", "once", "poison", "fine"}
	var records []*kgo.Record
	for i := range 48 {
		records = append(records, &kgo.Record{
			Topic: "orders", Key: fmt.Appendf(nil, "k%d", i%5), Value: fmt.Appendf(nil, "%s %d", words[i%len(words)], i),
			Headers: []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}, Timestamp: time.UnixMilli(1_700_000_000_000),
		})
	}
	for _, ordering := range []sluice.Ordering{sluice.ByPartition, sluice.ByKey, sluice.Unordered} {
		policy := sluice.Policy{
			Ordering: ordering, Workers: 1, Retry: sluice.Retry{Breaker: -1, MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlt"},
		}
		t.Run(ordering.String(), func(t *testing.T) {
			var calls []string
			route := texts(policy, func(text string, attempt int) error {
				calls = append(calls, fmt.Sprintf("%s/%d", text, attempt))
				return fate(text, attempt)
			})
			route.Topics = []string{"orders"}
			delivered := sluicetest.Deliver(t, route, records...)
			without := calls
			calls = nil
			with := app(t, records, func(a *sluice.App) error { return sluice.Add(a, route) })
			sameCalls(t, ordering, without, calls)
			sameDeadLetters(t, delivered, with)
		})
		t.Run(ordering.String()+" in batches", func(t *testing.T) {
			route := sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: policy, MaxSize: 7,
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					failed := make(map[int]error)
					for i, m := range b.Messages {
						func() {
							defer func() {
								if recover() != nil {
									failed[i] = sluice.Poison(errBroken)
								}
							}()
							if err := fate(m.Value, m.Attempt); err != nil {
								failed[i] = err
							}
						}()
					}
					if len(failed) > 0 {
						return &sluice.BatchError{Failed: failed}
					}
					return nil
				},
			}
			delivered := sluicetest.DeliverBatch(t, route, records...)
			sameDeadLetters(t, delivered, app(t, records, func(a *sluice.App) error { return sluice.AddBatch(a, route) }))
		})
	}
}

// app runs records through an app in virtual time, and returns its dead letters.
func app(t *testing.T, records []*kgo.Record, add func(*sluice.App) error) (dead []*kgo.Record) {
	t.Helper()
	sluicetest.Bubble(t, map[string]int32{"orders": 1, "dlt": 1}, func(t *testing.T, c *sluicetest.Cluster) {
		for _, r := range records {
			again := *r
			c.Produce(&again)
		}
		app, err := sluice.New(c.Config("sluicetest"))
		if err := errors.Join(err, add(app)); err != nil {
			t.Fatal(err)
		}
		c.Run(app)
		c.WaitCommitted("sluicetest", "orders", 0, int64(len(records)))
		dead = c.Read("dlt")
	})
	return dead
}

// sameCalls compares the calls of each lane: between lanes, time decides.
func sameCalls(t *testing.T, ordering sluice.Ordering, without, with []string) {
	t.Helper()
	lanes := func(calls []string) map[string][]string {
		m := make(map[string][]string)
		for _, call := range calls {
			var n int
			_, number, _ := strings.Cut(call, " ")
			if _, err := fmt.Sscanf(number, "%d/", &n); err != nil {
				t.Fatal(call, err)
			}
			lane := map[sluice.Ordering]string{sluice.ByPartition: "", sluice.ByKey: fmt.Sprint(n % 5), sluice.Unordered: fmt.Sprint(n)}[ordering]
			m[lane] = append(m[lane], call)
		}
		return m
	}
	a, b := lanes(without), lanes(with)
	for lane := range a {
		if !slices.Equal(a[lane], b[lane]) {
			t.Errorf("lane %q\nwithout a broker: %v\nwith one:         %v", lane, a[lane], b[lane])
		}
	}
	if len(without) != len(with) || len(without) == 0 {
		t.Errorf("%d calls without a broker, %d with one", len(without), len(with))
	}
}

// sameDeadLetters compares all of a dead letter but its times.
func sameDeadLetters(t *testing.T, delivered []sluicetest.Outcome, with []*kgo.Record) {
	t.Helper()
	text := func(r *kgo.Record) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s=%s at %d", r.Topic, r.Key, r.Value, r.Timestamp.UnixMilli())
		for _, h := range r.Headers {
			if h.Key != sluice.HeaderFirstFailure && h.Key != sluice.HeaderLastFailure {
				fmt.Fprintf(&b, " %s=%s", h.Key, h.Value)
			}
		}
		return b.String()
	}
	var a, b []string
	for _, o := range delivered {
		if o.Kind == sluicetest.DeadLettered {
			a = append(a, text(o.Copy))
		} else if o.Kind != sluicetest.Finished && o.Kind != sluicetest.Skipped {
			t.Errorf("unfinished: %v", o)
		}
	}
	for _, r := range with {
		b = append(b, text(r))
	}
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) || len(a) == 0 {
		t.Errorf("dead letters without a broker:\n%s\nwith one:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
}
