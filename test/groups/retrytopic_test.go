package groups

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice"
)

// retryApp is an app with retry topics whose handler is handle.
func (k *kit) retryApp(handle func(sluice.Message[string]) error, delays ...time.Duration) *sluice.App {
	k.Helper()
	app, err := sluice.New(sluice.Config{
		Brokers: k.k.Seeds(), Group: k.name,
		Logger: slog.New(slog.NewTextHandler(k.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		k.Fatal(err)
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{k.name}, Decode: sluice.Text,
		Handle: func(_ context.Context, m sluice.Message[string]) error { return handle(m) },
		Policy: sluice.Policy{
			Retry:       sluice.Retry{MaxAttempts: 2, Backoff: 10 * time.Millisecond, Breaker: -1},
			RetryTopics: delays,
			OnFailure:   sluice.DeadLetter{Topic: k.name + ".dlq"},
		},
	})
	if err != nil {
		k.Fatal(err)
	}
	return app
}

// Retry topics are created with the partitions of their source; a record that failed comes back from there after the delay, and is the
// same record.
func TestRetryTopics(t *testing.T) {
	k := newKit(t)
	k.create(3, k.name)
	k.create(1, k.name+".dlq")
	var mu sync.Mutex
	calls := map[string][]time.Time{}
	shown := map[string][]string{}
	app := k.retryApp(func(m sluice.Message[string]) error {
		mu.Lock()
		defer mu.Unlock()
		at := fmt.Sprintf("%d/%s", m.Partition(), m.Value)
		calls[at] = append(calls[at], time.Now())
		shown[at] = append(shown[at], fmt.Sprint(m.ID(), m.Topic(), m.Offset(), m.Timestamp().UnixMilli(), len(m.Record.Headers)))
		if m.Value == "3" && m.Attempt <= 3 || m.Value == "5" {
			return errors.New("not yet")
		}
		return nil
	}, time.Second, 2*time.Second)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	k.until("it runs", func() bool { return len(app.Snapshot().Partitions) == 9 })
	k.produce(k.name, 3, 0, 10)
	k.until("the dead letters", func() bool { return app.Stats().DeadLettered == 3 })
	k.until("all of it", func() bool { return app.Stats().Finished == 3*(10+2+2) })
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	topics, err := k.admin.ListTopics(t.Context(), k.name+"."+k.name+".retry.1s", k.name+"."+k.name+".retry.2s")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if len(topic.Partitions) != 3 {
			t.Errorf("%s has %d partitions", topic.Topic, len(topic.Partitions))
		}
	}
	for p := range 3 {
		for value, want := range map[string]int{"2": 1, "3": 4, "5": 4} {
			at := fmt.Sprintf("%d/%s", p, value)
			cs := calls[at]
			if len(cs) != want {
				t.Errorf("%s was handled %d times, want %d", at, len(cs), want)
				continue
			}
			if want > 1 && (cs[2].Sub(cs[1]) < time.Second || cs[3].Sub(cs[2]) < 2*time.Second) {
				t.Errorf("%s came back after %v and %v", at, cs[2].Sub(cs[1]), cs[3].Sub(cs[2]))
			}
			if s := shown[at]; len(slices.Compact(slices.Clone(s))) != 1 || strings.HasPrefix(s[0], k.name) {
				t.Errorf("%s was shown as %v, which is to be one record with its topic's id", at, s)
			}
		}
	}
	commits, err := k.admin.FetchOffsets(t.Context(), k.name)
	if err != nil {
		t.Fatal(err)
	}
	var lag int64
	commits.Each(func(o kadm.OffsetResponse) { lag += o.At })
	if lag != 3*(10+2+2) {
		t.Errorf("committed %d offsets together, want %d", lag, 3*(10+2+2))
	}
}

// A retry topic with another number of partitions, or with a log that forgets copies, is refused.
func TestRetryTopicsThatDoNotFitAreRefused(t *testing.T) {
	k := newKit(t)
	k.create(3, k.name)
	k.create(1, k.name+".dlq")
	retry := k.name + "." + k.name + ".retry."
	k.create(2, retry+"1m")
	for topic, config := range map[string]string{retry + "2m": "cleanup.policy=compact", retry + "3m": "retention.ms=180000"} {
		name, value, _ := strings.Cut(config, "=")
		if _, err := k.admin.CreateTopics(t.Context(), 3, 1, map[string]*string{name: &value}, topic); err != nil {
			t.Fatal(err)
		}
	}
	k.until("the broker knows the topics", func() bool { // CreateTopics is answered by the controller, before that
		configs, err := k.admin.DescribeTopicConfigs(t.Context(), retry+"1m", retry+"2m", retry+"3m")
		return err == nil && !slices.ContainsFunc(configs, func(c kadm.ResourceConfig) bool { return c.Err != nil })
	})
	app := k.retryApp(func(sluice.Message[string]) error { return nil }, time.Minute, 2*time.Minute, 3*time.Minute)
	err := app.Run(t.Context())
	if _, ok := errors.AsType[*sluice.ConfigError](err); !ok {
		t.Fatalf("Run: %v", err)
	}
	for _, says := range []string{
		retry + `1m": the topic exists with 2 partitions, and its source ` + k.name + " has 3",
		retry + `2m": the topic is compacted`, retry + `3m": the topic keeps its records for 3m`,
	} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v\ndoes not say %q", err, says)
		}
	}
}
