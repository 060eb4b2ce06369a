package sluice_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-go/sluice"
)

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := sluice.Retry{Backoff: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "backoff"))}
		r.MaxBackoff = time.Duration(rapid.Int64Range(int64(r.Backoff), math.MaxInt64/2).Draw(t, "max"))
		failures := rapid.IntRange(1, 1_000_000).Draw(t, "failures")
		full := float64(r.Backoff) * math.Pow(2, float64(failures-1)) // may be +Inf
		full = min(full, float64(r.MaxBackoff))
		got := r.Delay(failures)
		if float64(got) > full || float64(got) < full*3/4-1 || got < 0 {
			t.Fatalf("%v after %d failures, want %v less up to a quarter", got, failures, time.Duration(full))
		}
	})
}

func TestBackoffHasJitter(t *testing.T) {
	r := sluice.Retry{Backoff: time.Second, MaxBackoff: time.Minute}
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[r.Delay(3)] = true
	}
	if len(seen) < 50 {
		t.Fatalf("%d different waits of 100", len(seen))
	}
}

func TestPolicyDefaults(t *testing.T) {
	p, err := sluice.Policy{}.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if p.Workers != 16 || p.Ordering != sluice.ByPartition || p.OnFailure != nil || p.Commit != sluice.Every(time.Second) ||
		p.Retry != (sluice.Retry{Backoff: 100 * time.Millisecond, Breaker: 10, MaxBackoff: 30 * time.Second}) {
		t.Fatalf("defaults: %+v", p)
	}
	p, err = sluice.Policy{Retry: sluice.Retry{Backoff: time.Minute}}.WithDefaults()
	if err != nil || p.Retry.MaxBackoff != time.Minute {
		t.Fatalf("a backoff above the longest one's default: %+v, %v", p.Retry, err)
	}
}

func TestCommitConstructors(t *testing.T) {
	for name, c := range map[string]struct {
		commit   sluice.Commit
		interval time.Duration
		records  int
		each     bool
	}{
		"Every":      {sluice.Every(time.Minute), time.Minute, 0, false},
		"EveryN":     {sluice.EveryN(7), 0, 7, false},
		"EveryOrN":   {sluice.EveryOrN(time.Minute, 7), time.Minute, 7, false},
		"EachRecord": {sluice.EachRecord(), 0, 0, true},
	} {
		interval, records, each := c.commit.Parts()
		if interval != c.interval || records != c.records || each != c.each {
			t.Errorf("%s: %v, %d, %v", name, interval, records, each)
		}
		if p, err := (sluice.Policy{Commit: c.commit}).WithDefaults(); err != nil || p.Commit != c.commit {
			t.Errorf("%s: %v, %v", name, p.Commit, err)
		}
	}
}

func TestPolicyNamesTheFieldOfAMistake(t *testing.T) {
	pass := func(next sluice.Handler) sluice.Handler { return next }
	for name, c := range map[string]struct {
		policy sluice.Policy
		field  string
	}{
		"ordering":            {sluice.Policy{Ordering: 3}, `Policy.Ordering: "3"`},
		"ordering below":      {sluice.Policy{Ordering: -1}, `Policy.Ordering: "-1"`},
		"workers":             {sluice.Policy{Workers: -1}, `Policy.Workers: "-1"`},
		"breaker":             {sluice.Policy{Retry: sluice.Retry{Breaker: -2}}, `Policy.Retry.Breaker: "-2"`},
		"attempts":            {sluice.Policy{Retry: sluice.Retry{MaxAttempts: -1}}, `Policy.Retry.MaxAttempts: "-1"`},
		"backoff":             {sluice.Policy{Retry: sluice.Retry{Backoff: -1}}, "Policy.Retry"},
		"max backoff":         {sluice.Policy{Retry: sluice.Retry{MaxBackoff: -1}}, "Policy.Retry"},
		"max below backoff":   {sluice.Policy{Retry: sluice.Retry{Backoff: 2, MaxBackoff: 1}}, "Policy.Retry.MaxBackoff"},
		"attempts, no end":    {sluice.Policy{Retry: sluice.Retry{MaxAttempts: 3}}, "Policy.OnFailure: Retry.MaxAttempts is 3"},
		"no dead letter":      {sluice.Policy{OnFailure: sluice.DeadLetter{}}, "DeadLetter.Topic"},
		"interval":            {sluice.Policy{Commit: sluice.Every(-1)}, "Policy.Commit"},
		"interval too short":  {sluice.Policy{Commit: sluice.Every(9 * time.Millisecond)}, "Policy.Commit"},
		"count":               {sluice.Policy{Commit: sluice.EveryN(-1)}, "Policy.Commit"},
		"count with interval": {sluice.Policy{Commit: sluice.EveryOrN(time.Second, -1)}, "Policy.Commit"},
		"delay too short":     {retrying(time.Second, 999*time.Millisecond), `Policy.RetryTopics[1]: "999ms"`},
		"delay twice":         {retrying(time.Minute, time.Second, 60*time.Second), `Policy.RetryTopics[2]: "1m0s"`},
		"delays, no attempts": {sluice.Policy{RetryTopics: []time.Duration{time.Hour}}, "Policy.RetryTopics"},
		"delays and attempts": {sluice.Policy{RetryTopics: []time.Duration{time.Hour}, Retry: sluice.Retry{MaxAttempts: 1}}, "Policy.OnFailure"},
		"middleware":          {sluice.Policy{Middleware: []sluice.Middleware{pass, nil}}, "Policy.Middleware[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			app, err := sluice.New(goodConfig())
			if err != nil {
				t.Fatal(err)
			}
			err = sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: c.policy,
				Handle: func(context.Context, sluice.Message[string]) error { return nil },
			})
			if !errors.Is(err, sluice.ErrConfig) || !strings.Contains(err.Error(), c.field) || !strings.Contains(err.Error(), "orders") {
				t.Fatalf("%v names no %q", err, c.field)
			}
		})
	}
}

func TestAttemptsThatEndDemandAnOnFailure(t *testing.T) {
	retry := sluice.Retry{MaxAttempts: 1}
	for _, f := range []sluice.OnFailure{sluice.DeadLetter{Topic: "dlq"}, sluice.Drop{}, sluice.Halt{}} {
		if _, err := (sluice.Policy{Retry: retry, OnFailure: f}).WithDefaults(); err != nil {
			t.Errorf("%T: %v", f, err)
		}
	}
	if _, err := (sluice.Policy{Retry: retry}).WithDefaults(); err == nil {
		t.Error("a record that failed once would be dropped in silence")
	}
}

func TestOrderingNames(t *testing.T) {
	for o, want := range map[sluice.Ordering]string{
		sluice.ByPartition: "partition", sluice.ByKey: "key", sluice.Unordered: "unordered", 9: "Ordering(9)",
	} {
		if o.String() != want {
			t.Errorf("%d is %q", int(o), o)
		}
	}
}
