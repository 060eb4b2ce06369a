package tracing_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/tracing"
)

type ownError struct{}

func (*ownError) Error() string { return "own" }

// Words of a list, whatever an error says.
func TestErrorTypes(t *testing.T) {
	secret := errors.New("secret")
	for _, c := range []struct {
		err           error
		kind, outcome string
	}{
		{nil, "", ""},
		{secret, "_OTHER", "retry"},
		{fmt.Errorf("a: %w", fmt.Errorf("b: %w", secret)), "_OTHER", "retry"},
		{fmt.Errorf("a: %w", &ownError{}), "tracing_test.ownError", "retry"},
		{errors.Join(secret, &ownError{}), "_OTHER", "retry"},
		{fmt.Errorf("a: %w", kerr.UnknownTopicOrPartition), "UNKNOWN_TOPIC_OR_PARTITION", "retry"},
		{&sluice.ProduceError{Record: &kgo.Record{}, Err: sluice.ErrDeliveryTimeout}, "DELIVERY_TIMEOUT", "retry"},
		{sluice.Poison(secret), "_OTHER", "poison"},
		{fmt.Errorf("a: %w", sluice.Outage(&ownError{})), "tracing_test.ownError", "outage"},
		{sluice.Reclaim(secret), "_OTHER", "reclaim"},
		{sluice.RetryAfter(secret, 1), "_OTHER", "retry"},
		{&sluice.PanicError{Value: "secret"}, "panic", "panic"},
		{fmt.Errorf("a: %w", sluice.Skip("secret")), "", "skipped"},
		{&sluice.BatchError{Failed: map[int]error{1: sluice.Poison(&ownError{}), 2: secret}}, "tracing_test.ownError", "retry"},
	} {
		tr := newTraced(t, tracing.Config{})
		handler := tr.Process()(func(context.Context, *sluice.Delivery) error { return c.err })
		if err := handler(t.Context(), &sluice.Delivery{Records: []*kgo.Record{{Topic: "orders"}}, Attempt: 1}); !errors.Is(err, c.err) {
			t.Errorf("%v became %v", c.err, err)
		}
		got := map[string]string{}
		for _, a := range tr.recorder.Ended()[0].Attributes() {
			got[string(a.Key)] = a.Value.String()
		}
		if got["error.type"] != c.kind || got["sluice.outcome"] != c.outcome {
			t.Errorf("%v: error.type %q, sluice.outcome %q; want %q, %q", c.err, got["error.type"], got["sluice.outcome"], c.kind, c.outcome)
		}
		if strings.Contains(text(tr.recorder.Ended()[0]), "secret") {
			t.Errorf("an error's text is told: %s", text(tr.recorder.Ended()[0]))
		}
	}
}

// A handler that does not return has not succeeded.
func TestACallThatDoesNotReturnIsAnError(t *testing.T) {
	for name, leave := range map[string]func(){
		"goexit": runtime.Goexit, "panic": func() { panic("secret") }, "panic with an error": func() { panic(errors.New("secret")) },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTraced(t, tracing.Config{})
			one := tr.Process()(func(context.Context, *sluice.Delivery) error { leave(); return nil })
			batch := tracing.ProcessBatch(tr.Tracer, "g", func(context.Context, sluice.Batch[string]) error { leave(); return nil })
			var left sync.WaitGroup
			var recovered []any
			for _, f := range []func(){
				func() { _ = one(t.Context(), &sluice.Delivery{Records: []*kgo.Record{{Topic: "orders"}}, Attempt: 1}) },
				func() {
					_ = batch(t.Context(), sluice.Batch[string]{Messages: []sluice.Message[string]{{Record: &kgo.Record{Topic: "orders"}, Attempt: 1}}})
				},
			} {
				left.Go(func() {
					defer func() { recovered = append(recovered, recover()) }()
					f()
				})
				left.Wait()
			}
			for _, v := range recovered { // the app has to see it
				if (v != nil) != (name != "goexit") {
					t.Errorf("recovered %v", v)
				}
			}
			spans := tr.recorder.Ended()
			if len(spans) != 2 {
				t.Fatalf("%d spans", len(spans))
			}
			for _, s := range spans {
				for _, line := range []string{"consumer Error panic", "error.type=string panic", "sluice.outcome=string panic"} {
					if !strings.Contains(text(s), line) {
						t.Errorf("without %q:\n%s", line, text(s))
					}
				}
				if strings.Contains(text(s), "secret") {
					t.Errorf("a panic's text is told: %s", text(s))
				}
			}
		})
	}
}
