package sluicetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
)

func value(s string) *kgo.Record { return &kgo.Record{Value: []byte(s)} }

func keyed(key, s string) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: []byte(s)} }

// texts is a route of texts; handle gets the text and the attempt.
func texts(p sluice.Policy, handle func(text string, attempt int) error) sluice.Route[string] {
	return sluice.Route[string]{
		Topics: []string{"orders", "refunds"}, Decode: sluice.Text, Policy: p,
		Handle: func(_ context.Context, m sluice.Message[string]) error { return handle(m.Value, m.Attempt) },
	}
}

func kinds(os []sluicetest.Outcome) []sluicetest.Kind {
	var ks []sluicetest.Kind
	for _, o := range os {
		ks = append(ks, o.Kind)
	}
	return ks
}

func wantKinds(t *testing.T, got []sluicetest.Outcome, want ...sluicetest.Kind) {
	t.Helper()
	if !slices.Equal(kinds(got), want) {
		t.Errorf("got %v\nwant the kinds %v", got, want)
	}
}

var errBroken = errors.New("broken")

func TestDeliverTellsEveryOutcome(t *testing.T) {
	handle := func(text string, attempt int) error {
		switch text {
		case "skip":
			return sluice.Skip("a test order")
		case "poison":
			return sluice.Poison(errBroken)
		case "panic":
			panic("ouch")
		case "fails":
			return errBroken
		case "fails twice":
			if attempt <= 2 {
				return errBroken
			}
		case "later":
			if attempt == 1 {
				return sluice.RetryAfter(errBroken, time.Hour)
			}
		case "outage":
			return sluice.Outage(errBroken)
		}
		return nil
	}
	tries := sluice.Retry{MaxAttempts: 3}
	dead := sluice.Policy{Ordering: sluice.Unordered, Retry: tries, OnFailure: sluice.DeadLetter{Topic: "dlt"}}
	dropped, halted, later := dead, dead, dead
	later.RetryTopics = []time.Duration{time.Minute, time.Hour}
	dropped.OnFailure, halted.OnFailure = sluice.Drop{}, sluice.Halt{}
	type outcome struct {
		kind     sluicetest.Kind
		attempts int
		waits    int
	}
	for _, test := range []struct {
		text   string
		policy sluice.Policy
		want   outcome
	}{
		{"fine", sluice.Policy{}, outcome{sluicetest.Finished, 1, 0}},
		{"skip", sluice.Policy{}, outcome{sluicetest.Skipped, 1, 0}},
		{"poison", sluice.Policy{}, outcome{sluicetest.Parked, 1, 0}},
		{"poison", dead, outcome{sluicetest.DeadLettered, 1, 0}},
		{"poison", dropped, outcome{sluicetest.Dropped, 1, 0}},
		{"poison", halted, outcome{sluicetest.Halted, 1, 0}},
		{"panic", dead, outcome{sluicetest.DeadLettered, 1, 0}},
		{"fails", sluice.Policy{}, outcome{sluicetest.Retried, 10, 10}},
		{"fails", dead, outcome{sluicetest.DeadLettered, 3, 2}},
		{"fails", later, outcome{sluicetest.Delayed, 3, 3}},
		{"poison", later, outcome{sluicetest.DeadLettered, 1, 0}},
		{"fails twice", dead, outcome{sluicetest.Finished, 3, 2}},
		{"fails twice", sluice.Policy{}, outcome{sluicetest.Finished, 3, 2}},
		{"later", sluice.Policy{}, outcome{sluicetest.Finished, 2, 1}},
		{"outage", dead, outcome{sluicetest.Outage, 13, 13}},
	} {
		t.Run(test.text, func(t *testing.T) {
			start := time.Now()
			o := sluicetest.Deliver(t, texts(test.policy, handle), value(test.text))[0]
			if got := (outcome{o.Kind, o.Attempts, len(o.Waits)}); got != test.want {
				t.Errorf("%v: got %v, want %v", o, got, test.want)
			}
			if o.Panicked() != (test.text == "panic") {
				t.Errorf("Panicked: %v", o.Panicked())
			}
			if test.text == "later" && o.Waits[0] != time.Hour {
				t.Errorf("waits: %v", o.Waits)
			}
			if (o.Err == nil) != (o.Kind == sluicetest.Finished) {
				t.Errorf("Err: %v", o.Err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("it took %v: a wait was spent", took)
			}
		})
	}
}

func TestDeliverShowsTheDeadLetter(t *testing.T) {
	r := value("x")
	r.Key, r.Partition, r.Offset = []byte("k"), 3, 41
	r.Headers = []kgo.RecordHeader{{Key: "trace", Value: []byte("1")}}
	o := sluicetest.Deliver(t, texts(sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.dlt"}},
		func(string, int) error { return sluice.Poison(errBroken) }), r)[0]
	if o.Copy == nil || o.Copy.Topic != "orders.dlt" || string(o.Copy.Key) != "k" || string(o.Copy.Value) != "x" {
		t.Fatalf("the copy: %+v", o.Copy)
	}
	for name, want := range map[string]string{
		sluice.HeaderTopic: "orders", sluice.HeaderPartition: "3", sluice.HeaderOffset: "41", sluice.HeaderGroup: "sluicetest",
		sluice.HeaderErrorClass: "poison", sluice.HeaderError: "poison: broken", "trace": "1", "none": "",
	} {
		if got := o.Header(name); got != want {
			t.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	if got, want := o.String(), "orders[3]@41 dead-lettered to orders.dlt: poison: broken"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDeliverKeepsTheOrderOfLanes(t *testing.T) {
	var seen []string
	handle := func(text string, attempt int) error {
		seen = append(seen, fmt.Sprint(text, attempt))
		if strings.HasPrefix(text, "bad") {
			return errBroken
		}
		return nil
	}
	for _, test := range []struct {
		ordering sluice.Ordering
		want     []sluicetest.Kind // of bad, behind it, another key, another partition
	}{
		{sluice.ByPartition, []sluicetest.Kind{sluicetest.Retried, sluicetest.NotGiven, sluicetest.NotGiven, sluicetest.Finished}},
		{sluice.ByKey, []sluicetest.Kind{sluicetest.Retried, sluicetest.NotGiven, sluicetest.Finished, sluicetest.Finished}},
		{sluice.Unordered, []sluicetest.Kind{sluicetest.Retried, sluicetest.Finished, sluicetest.Finished, sluicetest.Finished}},
	} {
		elsewhere := keyed("a", "4")
		elsewhere.Partition = 1
		got := sluicetest.Deliver(t, texts(sluice.Policy{Ordering: test.ordering}, handle),
			keyed("a", "bad"), keyed("a", "2"), keyed("b", "3"), elsewhere)
		wantKinds(t, got, test.want...)
	}
	seen = nil
	sluicetest.Deliver(t, texts(sluice.Policy{Ordering: sluice.ByKey, Retry: sluice.Retry{MaxAttempts: 2}, OnFailure: sluice.Drop{}}, handle),
		keyed("a", "bad"), keyed("a", "2"), keyed("b", "3"))
	if want := []string{"bad1", "31", "bad2", "21"}; !slices.Equal(seen, want) { // other lanes go on while one waits
		t.Errorf("calls %v, want %v", seen, want)
	}
}

func TestDeliverTriesAgainWhatIsDueFirst(t *testing.T) {
	var calls []string
	sluicetest.Deliver(t, texts(sluice.Policy{Ordering: sluice.Unordered}, func(text string, attempt int) error {
		calls = append(calls, fmt.Sprint(text, attempt))
		wait, err := time.ParseDuration(text)
		if err != nil || attempt == 2 {
			return err
		}
		return sluice.RetryAfter(errBroken, wait)
	}), value("3h"), value("1h"), value("2h"))
	if want := []string{"3h1", "1h1", "2h1", "1h2", "2h2", "3h2"}; !slices.Equal(calls, want) {
		t.Errorf("calls %v, want %v", calls, want)
	}
}

func TestDeliverRunsMiddlewareAndDecoder(t *testing.T) {
	var groups []string
	route := sluice.Route[string]{
		Topics: []string{"orders"},
		Decode: func(r *kgo.Record) (string, error) {
			if string(r.Value) == "garbage" {
				return "", errBroken
			}
			return string(r.Value), nil
		},
		Handle: func(context.Context, sluice.Message[string]) error { return errBroken },
		Policy: sluice.Policy{
			OnFailure: sluice.Drop{},
			Middleware: []sluice.Middleware{func(next sluice.Handler) sluice.Handler {
				return func(ctx context.Context, d *sluice.Delivery) error {
					groups = append(groups, d.Group)
					if err := next(ctx, d); err != nil && string(d.Records[0].Value) == "known" {
						return sluice.Skip(err.Error())
					} else if err != nil {
						return sluice.Poison(err)
					}
					return nil
				}
			}},
		},
	}
	got := sluicetest.Deliver(t, route, value("known"), value("garbage"))
	wantKinds(t, got, sluicetest.Skipped, sluicetest.Dropped)
	if len(groups) != 2 || groups[0] != "sluicetest" {
		t.Errorf("groups: %v", groups)
	}
}

func TestDeliverBatchFormsBatchesAndFindsTheCulprit(t *testing.T) {
	var calls []string
	route := sluice.BatchRoute[string]{
		Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 3, MaxWait: time.Hour,
		Handle: func(_ context.Context, b sluice.Batch[string]) error {
			var values []string
			bad := false
			for _, m := range b.Messages {
				values = append(values, m.Value)
				bad = bad || m.Value == "bad"
			}
			calls = append(calls, strings.Join(values, " "))
			if bad {
				return sluice.Poison(errBroken)
			}
			return nil
		},
		Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlt"}},
	}
	got := sluicetest.DeliverBatch(t, route, value("1"), value("bad"), value("3"), value("4"), value("5"))
	wantKinds(t, got, sluicetest.Finished, sluicetest.DeadLettered, sluicetest.Finished, sluicetest.Finished, sluicetest.Finished)
	if want := []string{"1 bad 3", "1", "bad", "3", "4 5"}; !slices.Equal(calls, want) {
		t.Errorf("calls %q, want %q", calls, want)
	}
	if a := []int{got[0].Attempts, got[1].Attempts, got[4].Attempts}; !slices.Equal(a, []int{2, 2, 1}) {
		t.Errorf("attempts %v", a)
	}
}

func TestDeliverAsksManualRoutesForDone(t *testing.T) {
	route := sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text,
		Handle: func(_ context.Context, m sluice.Message[string]) error {
			if m.Value == "done" || m.Attempt == 1 {
				m.Done()
			}
			if m.Value == "forgets at last" && m.Attempt == 1 {
				return errBroken
			}
			return nil
		},
		Policy: sluice.Policy{Commit: sluice.Manual()},
	}
	got := sluicetest.Deliver(t, route, value("done"), value("forgets at last"))
	wantKinds(t, got, sluicetest.Finished, sluicetest.NotDone)
}

func TestDeliverLeavesNothingBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, commit := range []sluice.Commit{{}, sluice.EachRecord(), sluice.BeforeHandle(), sluice.EveryN(2)} {
		route := texts(sluice.Policy{Commit: commit}, func(string, int) error {
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines while it runs, %d before", n, before)
			}
			return nil
		})
		wantKinds(t, sluicetest.Deliver(t, route, value("1"), value("2"), value("3")),
			sluicetest.Finished, sluicetest.Finished, sluicetest.Finished)
	}
	batch := sluice.BatchRoute[string]{
		Topics: []string{"orders"}, MaxSize: 1,
		Handle: func(context.Context, sluice.Batch[string]) error {
			for range 1000 { // room for one that decodes ahead
				runtime.Gosched()
			}
			return nil
		},
		Decode: func(r *kgo.Record) (string, error) {
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%d goroutines while it decodes, %d before", n, before)
			}
			return string(r.Value), nil
		},
	}
	wantKinds(t, sluicetest.DeliverBatch(t, batch, value("1"), value("2")), sluicetest.Finished, sluicetest.Finished)
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

func TestDeliverChangesNoRecordAndPlacesIts(t *testing.T) {
	r := value("x")
	got := sluicetest.Deliver(t, texts(sluice.Policy{}, func(string, int) error { return nil }), r, r, &kgo.Record{Topic: "refunds", Offset: 7})
	if r.Topic != "" || r.Offset != 0 || !r.Timestamp.IsZero() {
		t.Errorf("the record given was changed: %+v", r)
	}
	var at []string
	for _, o := range got {
		at = append(at, fmt.Sprintf("%s@%d", o.Record.Topic, o.Record.Offset))
	}
	if want := []string{"orders@0", "orders@1", "refunds@7"}; !slices.Equal(at, want) {
		t.Errorf("places %v, want %v", at, want)
	}
}

func TestDeliverRefusesWhatCannotRun(t *testing.T) {
	fine := texts(sluice.Policy{}, func(string, int) error { return nil })
	noTopic := fine
	noTopic.Topics = nil
	for want, deliver := range map[string]func(testing.TB){
		"Topics": func(t testing.TB) { sluicetest.Deliver(t, noTopic, value("x")) },
		`the topic "other", which the route does not have: [orders refunds]`: func(t testing.TB) {
			sluicetest.Deliver(t, fine, &kgo.Record{Topic: "other"})
		},
		"a route with Offsets": func(t testing.TB) {
			sluicetest.DeliverBatch(t, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Offsets: noOffsets{},
				Handle: func(context.Context, sluice.Batch[string]) error { return nil },
			}, value("x"))
		},
	} {
		if got := failure(t, deliver); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}

type noOffsets struct{ sluice.Offsets }

// failed is a test that notes how it fails.
type failed struct {
	testing.TB
	message string
}

func (f *failed) Fatal(args ...any) { f.message = fmt.Sprint(args...); runtime.Goexit() }
func (f *failed) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (f *failed) Errorf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }

// failure is how f failed its test.
func failure(t *testing.T, f func(testing.TB)) string {
	t.Helper()
	tb := &failed{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	if tb.message == "" {
		t.Error("the test did not fail")
	}
	return tb.message
}

// A route may have a pattern and no topic: then each record has to name its own.
func TestDeliverKnowsPatterns(t *testing.T) {
	route := sluice.Route[string]{
		Pattern: "orders-.*", Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders-dlq"}}, Decode: sluice.Text,
		Handle: func(context.Context, sluice.Message[string]) error { return nil },
	}
	got := sluicetest.Deliver(t, route, &kgo.Record{Topic: "orders-eu"}, &kgo.Record{Topic: "orders-us"})
	for _, o := range got {
		if o.Kind != sluicetest.Finished {
			t.Error(o)
		}
	}
	for topic, want := range map[string]string{
		"": "record 0 has no topic", "bills": `the topic "bills", which the route does not have`, "orders-dlq": "dead letters",
	} {
		if got := failure(t, func(t testing.TB) { sluicetest.Deliver(t, route, &kgo.Record{Topic: topic}) }); !strings.Contains(got, want) {
			t.Errorf("a record of topic %q: %q", topic, got)
		}
	}
}
