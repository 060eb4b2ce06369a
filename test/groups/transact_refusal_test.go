package groups

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// What a topic takes, each in its own way. The broker refuses the answer to one record in a hundred, and so its whole batch: that record
// ends among the dead letters, and the others are answered once, in their order.
func TestWhatATopicRefusesIsPoison(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		configs map[string]string
		answer  func(r *kgo.Record)
		err     *kerr.Error
	}{
		"no-key": {
			map[string]string{"cleanup.policy": "compact"}, func(r *kgo.Record) { r.Key = nil }, kerr.InvalidRecord,
		},
		"size": {
			map[string]string{"max.message.bytes": "1000"},
			func(r *kgo.Record) { r.Headers = []kgo.RecordHeader{{Key: "large", Value: make([]byte, 1000)}} }, kerr.MessageTooLarge,
		},
		"name": {nil, func(r *kgo.Record) { r.Topic = "no such name!" }, kerr.InvalidTopicException},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n, every = 1000, 100
			k := newKit(t)
			from, to, dead := k.name+name+"-in", k.name+name+"-out", k.name+name+"-dead"
			k.create(1, from, dead)
			configs := make(map[string]*string)
			for key, value := range test.configs {
				configs[key] = &value
			}
			if _, err := k.admin.CreateTopics(t.Context(), 1, 1, configs, to); err != nil {
				t.Fatal(err)
			}
			var told atomic.Int64
			app, err := sluice.New(sluice.Config{
				Brokers: k.k.Seeds(), Group: from,
				Events: sluice.Events{Failed: func(i sluice.FailedInfo) {
					if told.Add(1); !errors.Is(i.Err, test.err) {
						t.Errorf("offset %d failed: %v", i.Record.Offset, i.Err)
					}
				}},
				Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
			})
			if err == nil {
				err = sluice.AddTransact(app, sluice.TransactRoute[string]{
					Topics: []string{from}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
						r := &kgo.Record{Topic: to, Key: []byte("0"), Value: []byte(m.Value)}
						if m.Offset()%every == every/2 {
							test.answer(r)
						}
						return []*kgo.Record{r}, nil
					},
					Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: dead}},
				})
			}
			if err != nil {
				t.Fatal(err)
			}
			k.produce(from, 1, 0, n)
			m := k.start(app)
			k.until("all is committed", func() bool {
				o, err := k.admin.FetchOffsets(t.Context(), from)
				at, _ := o.Lookup(from, 0)
				return err == nil && at.At == n
			})
			m.leave(k)
			t.Logf("%d transactions were refused for %d records", m.Stats().CommitsFailed, told.Load())
			answers, letters := k.read(to, n-n/every), k.read(dead, n/every)
			for i := range n {
				of := &answers
				if i%every == every/2 {
					of = &letters
				}
				if len(*of) == 0 || !bytes.Equal((*of)[0].Value, strconv.AppendInt(nil, int64(i), 10)) {
					t.Fatalf("record %d is not where it belongs", i)
				}
				*of = (*of)[1:]
			}
			if len(answers)+len(letters) > 0 || told.Load() != n/every {
				t.Errorf("%d answers and %d dead letters too many, and %d failures", len(answers), len(letters), told.Load())
			}
		})
	}
}

// A topic that takes smaller batches than the client makes refuses one transaction: it is asked how much it takes, and no record is to blame.
func TestATopicThatTakesSmallerBatchesRefusesOneTransaction(t *testing.T) {
	t.Parallel()
	const n = 1000
	k := newKit(t)
	from, to := k.name+"-small-in", k.name+"-small-out"
	k.create(1, from)
	most := "20000"
	if _, err := k.admin.CreateTopics(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &most}, to); err != nil {
		t.Fatal(err)
	}
	app, err := sluice.New(sluice.Config{
		Brokers: k.k.Seeds(), Group: from, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err == nil {
		err = sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{from}, Decode: sluice.Text,
			Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
				more := []kgo.RecordHeader{{Key: "k", Value: make([]byte, 1000)}}
				return []*kgo.Record{{Topic: to, Value: []byte(m.Value), Headers: more}}, nil
			},
			Policy: sluice.Policy{OnFailure: sluice.Drop{}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	k.produce(from, 1, 0, n)
	m := k.start(app)
	k.until("all is committed", func() bool { return k.committed(from, 1, n) })
	if notes := strings.Join(app.Health().Notes, "; "); !strings.Contains(notes, to+" takes batches of up to 20000 bytes") {
		t.Errorf("health notes %q", notes)
	}
	m.leave(k)
	if s := m.Stats(); s.Failed > 0 || s.CommitsFailed != 1 {
		t.Errorf("%d records are to blame, and %d transactions were refused", s.Failed, s.CommitsFailed)
	}
	for i, r := range k.read(to, n) {
		if string(r.Value) != strconv.Itoa(i) {
			t.Fatalf("%s is in the place of %d", r.Value, i)
		}
	}
}
