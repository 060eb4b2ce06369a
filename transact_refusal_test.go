package sluice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

const mark = "what brokers refuse"

// refuse has brokers refuse each batch for a topic with a record that is marked, and whatever else is for the topic in that request.
func refuse(c *bubble.Cluster, topic string, err *kerr.Error) *kfake.FaultHandle {
	id := c.TopicInfo(topic).TopicID
	return c.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: err, Count: -1,
		When: func(r kmsg.Request) bool {
			return slices.ContainsFunc(r.(*kmsg.ProduceRequest).Topics, func(t kmsg.ProduceRequestTopic) bool {
				return (t.Topic == topic || t.TopicID == id) && slices.ContainsFunc(t.Partitions, func(p kmsg.ProduceRequestTopicPartition) bool {
					return bytes.Contains(p.Records, []byte(mark))
				})
			})
		},
	})
}

// answer has a member answer each record of orders in bills, and mark the answers to bad ones.
func answer(policy sluice.Policy, calls *atomic.Int64, bad ...string) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
				r := &kgo.Record{Topic: "bills", Key: m.Key(), Value: []byte(m.Value)}
				if slices.Contains(bad, m.Value) {
					calls.Add(1)
					r.Headers = []kgo.RecordHeader{{Key: mark}}
				}
				return []*kgo.Record{r}, nil
			},
			Policy: policy,
		})
	}
}

// Brokers refuse a batch for one record of it. It is found, and settled by its policy; the others are answered, once.
func TestInvariant12WhatBrokersRefuseIsPoison(t *testing.T) {
	for name, test := range map[string]struct {
		err     *kerr.Error
		policy  sluice.Policy
		letters bool
	}{
		"no key in a compacted topic": {kerr.InvalidRecord, sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}}, true},
		"a timestamp":                 {kerr.InvalidTimestamp, sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}}, true},
		"too large, by key": {
			kerr.MessageTooLarge, sluice.Policy{Ordering: sluice.ByKey, Workers: 8, OnFailure: sluice.DeadLetter{Topic: "dead"}}, true,
		},
		"attempts": {
			kerr.InvalidRecord, sluice.Policy{Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dead"}}, true,
		},
		"dropped": {kerr.InvalidRecord, sluice.Policy{OnFailure: sluice.Drop{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bills": 2, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
				const n = 800
				bad := []int{0, 7, 8, 350, n - 1}
				texts := make([]string, len(bad))
				for i, b := range bad {
					texts[i] = strconv.Itoa(b)
				}
				var calls, told atomic.Int64
				refuse(c, "bills", test.err)
				c.Produce("orders", 0, 0, n/2, 5)
				c.Produce("orders", 1, n/2, n/2, 0)
				cfg := configFor(t, c, nil)
				cfg.Events.Failed = func(i sluice.FailedInfo) {
					if told.Add(1); !errors.Is(i.Err, test.err) || !slices.Contains(texts, string(i.Record.Value)) {
						t.Errorf("invariant 12: %s is said to have failed: %v", i.Record.Value, i.Err)
					}
				}
				m := join(t, cfg, answer(test.policy, &calls, texts...))
				c.Until("invariant 12: all is committed", func() bool {
					return c.Committed("g", "orders", 0) == n/2 && c.Committed("g", "orders", 1) == n/2
				})
				m.leave(t)
				once(t, c, n, bad...)
				s := m.app.Stats()
				if told.Load() != int64(len(bad)) || s.Failed != int64(len(bad)) {
					t.Errorf("invariant 12: %d failures are told, and %d counted, want %d", told.Load(), s.Failed, len(bad))
				}
				if s.CommitsFailed > 60 {
					t.Errorf("invariant 12: %d transactions were aborted in the search for %d", s.CommitsFailed, len(bad))
				}
				var dead []string
				for _, r := range c.Read("dead") {
					dead = append(dead, string(r.Value))
					class, reason := header(r, sluice.HeaderErrorClass), header(r, sluice.HeaderError)
					if class != "poison" || !strings.Contains(reason, "write to bills: "+test.err.Message) {
						t.Errorf("a dead letter says %s: %s", class, reason)
					}
				}
				if slices.Sort(dead); test.letters {
					slices.Sort(texts)
					if !slices.Equal(dead, texts) {
						t.Errorf("invariant 12: dead letters %v, want %v", dead, texts)
					}
				}
			})
		})
	}
}

// Brokers that take no answer at all, as somebody has changed the topic, are no fault of the records: but for the first few they wait.
func TestInvariant12AnswersThatAreAllRefusedAreAnOutage(t *testing.T) {
	for name, test := range map[string]struct{ breaker, dead int }{"by default": {0, 10}, "every record by itself": {-1, 100}} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bills": 1, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
				const n = 100
				texts := make([]string, n)
				for i := range texts {
					texts[i] = strconv.Itoa(i)
				}
				var calls atomic.Int64
				faults := refuse(c, "bills", kerr.InvalidTimestamp)
				policy := sluice.Policy{Retry: sluice.Retry{Breaker: test.breaker}, OnFailure: sluice.DeadLetter{Topic: "dead"}}
				c.Produce("orders", 0, 0, n/2, 0)
				c.Produce("orders", 1, n/2, n/2, 0)
				m := join(t, configFor(t, c, nil), answer(policy, &calls, texts...))
				time.Sleep(10 * time.Minute)
				if dead := len(c.Read("dead")); dead != test.dead {
					t.Errorf("invariant 12: %d dead letters, want %d", dead, test.dead)
				}
				h := strings.Join(m.app.Health().Problems, "; ")
				if told := strings.Contains(h, "INVALID_TIMESTAMP"); told != (test.dead < n) {
					t.Errorf("health says %q", h)
				}
				faults.Remove()
				c.Until("invariant 12: all is committed", func() bool {
					return c.Committed("g", "orders", 0) == n/2 && c.Committed("g", "orders", 1) == n/2
				})
				m.leave(t)
				var dead []int
				for _, r := range c.Read("dead") {
					i, err := strconv.Atoi(string(r.Value))
					if err != nil {
						t.Fatal(err)
					}
					dead = append(dead, i)
				}
				once(t, c, n, dead...)
			})
		})
	}
}

// theOtherGoesOn demands that partition 1 goes on by itself: 20 records every 40 s, five times.
func theOtherGoesOn(t *testing.T, c *bubble.Cluster) {
	t.Helper()
	for from := 20; from < 120; from += 20 {
		c.Produce("orders", 1, from, 20, 0)
		began := time.Now()
		c.Until("invariant 12: the other partition", func() bool { return c.Committed("g", "orders", 1) == int64(from) })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("invariant 12: the other partition waited for %v", took)
		}
		time.Sleep(40 * time.Second)
	}
}

// A record that stays holds up its partition alone; without OnFailure it is tried again.
func TestInvariant12WhatBrokersRefuseMayStay(t *testing.T) {
	for name, policy := range map[string]sluice.Policy{
		"parked": {}, "parked for a moment": {Retry: sluice.Retry{MaxBackoff: time.Second}}, "halted": {OnFailure: sluice.Halt{}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				var calls atomic.Int64
				faults := refuse(c, "bills", kerr.InvalidRecord)
				m := join(t, configFor(t, c, nil), answer(policy, &calls, "5"))
				c.Produce("orders", 0, 0, 20, 0)
				theOtherGoesOn(t, c)
				if h := strings.Join(m.app.Health().Problems, "; "); !strings.Contains(h, "INVALID_RECORD") || !strings.Contains(h, "offset 5") {
					t.Errorf("health says %q", h)
				}
				if got := c.Committed("g", "orders", 0); got > 5 {
					t.Errorf("invariant 12: committed %d past the record that is refused", got)
				}
				tries, aborts := calls.Load(), m.app.Stats().CommitsFailed
				faults.Remove()
				if policy.OnFailure != nil {
					m.leave(t)
					m = join(t, configFor(t, c, nil), answer(policy, &calls, "5"))
				} else if tries < 5+5 || aborts > 30+2*tries {
					t.Errorf("it was called %d times in 200 s, and %d transactions were aborted", tries, aborts)
				}
				c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 20 })
				m.leave(t)
				once(t, c, 120)
			})
		})
	}
}

// A dead letter that cannot be written leaves its record unfinished, as on every route, and its partition waits alone.
func TestInvariant12ADeadLetterThatIsRefusedHoldsUpItsPartitionAlone(t *testing.T) {
	for name, large := range map[string]int{"by brokers": 0, "by the client": 999_800} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bills": 1, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
				faults := refuse(c, "dead", kerr.InvalidRecord)
				var calls atomic.Int64
				add := forward(sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}}, func(_ context.Context, m sluice.Message[string]) error {
					if m.Partition() == 0 && m.Offset() == 5 {
						calls.Add(1)
						return sluice.Poison(errors.New(mark))
					}
					return nil
				})
				m := join(t, configFor(t, c, nil), add)
				c.Produce("orders", 0, 0, 5, 0)
				poison := &kgo.Record{Topic: "orders", Value: []byte(strings.Repeat("x", large))}
				if err := c.Client().ProduceSync(t.Context(), poison).FirstErr(); err != nil {
					t.Fatal(err)
				}
				c.Produce("orders", 0, 5, 15, 0)
				theOtherGoesOn(t, c)
				if h := strings.Join(m.app.Health().Problems, "; "); !strings.Contains(h, "a dead letter could not be written: write to dead: ") {
					t.Errorf("health says %q", h)
				}
				if notes := m.app.Health().Notes; len(notes) > 0 { // the topic takes what the client does not
					t.Errorf("health notes %q", notes)
				}
				if got := c.Committed("g", "orders", 0); got > 5 {
					t.Errorf("invariant 12: committed %d past a record whose dead letter was not written", got)
				}
				if aborts := m.app.Stats().CommitsFailed; aborts > 30 {
					t.Errorf("invariant 12: %d transactions were aborted in 200 s", aborts)
				}
				before := calls.Load()
				if large == 0 {
					faults.Remove()
					c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 21 })
					if calls.Load() != before {
						t.Errorf("its handler was called again")
					}
					once(t, c, 120)
					if got := len(c.Read("dead")); got != 1 {
						t.Errorf("invariant 12: %d dead letters, want 1", got)
					}
				}
				m.leave(t)
			})
		})
	}
}

// takesAtMost sets how much a topic takes in a batch.
func takesAtMost(t *testing.T, c *bubble.Cluster, topic, value string) {
	t.Helper()
	_, err := c.Admin().AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, topic)
	if err != nil {
		t.Fatal(err)
	}
}

// Answers that are too large together, be they to one record or to many, are no record's fault. The topic is asked how much it takes: one
// transaction is refused, and never another; where it may not be asked, they go by fewer and fewer. An answer that is too large by itself is found.
func TestInvariant12WhatIsTooLargeTogetherIsNobodysFault(t *testing.T) {
	for name, test := range map[string]struct {
		answers int
		large   int64 // the record whose answers are, by themselves; -1 none
		unread  bool
	}{
		"to one record": {40, -1, false}, "to many": {1, -1, false}, "and one by itself": {2, 150, false},
		"to one record, not read": {40, -1, true}, "to many, not read": {1, -1, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				takesAtMost(t, c, "bills", "10000")
				if test.unread {
					c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
				}
				const n = 200
				var log warnings
				cfg := configFor(t, c, nil)
				cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
				m := join(t, cfg, func(app *sluice.App) error {
					return sluice.AddTransact(app, sluice.TransactRoute[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, m sluice.Message[string]) (rs []*kgo.Record, _ error) {
							for i := range test.answers {
								value, more := fmt.Append(nil, int(m.Offset())*test.answers+i), make([]byte, 1000)
								if m.Offset() == test.large {
									more = make([]byte, 20_000)
								}
								rs = append(rs, &kgo.Record{Topic: "bills", Value: value, Headers: []kgo.RecordHeader{{Key: "k", Value: more}}})
							}
							return rs, nil
						},
						Policy: sluice.Policy{OnFailure: sluice.Drop{}},
					})
				})
				for i := range 4 {
					c.Produce("orders", 0, i*n/4, n/4, 0)
					c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == int64(i+1)*n/4 })
				}
				notes := strings.Join(m.app.Health().Notes, "; ")
				m.leave(t)
				var left []int
				refused := int64(1)
				if test.large >= 0 {
					refused++
					for i := range test.answers {
						left = append(left, int(test.large)*test.answers+i)
					}
				}
				s := m.app.Stats()
				if s.Failed != refused-1 || s.CommitsFailed < refused || !test.unread && s.CommitsFailed > refused {
					t.Errorf("invariant 12: %d records are to blame, and %d transactions were refused", s.Failed, s.CommitsFailed)
				}
				if !test.unread && (log.count("max_message_bytes=10000") != 1 || !strings.Contains(notes, "bills takes batches of up to 10000 bytes")) {
					t.Errorf("health notes %q, and the log says: %s", notes, log.text.String())
				}
				if log.count("lower batch.size to its max.message.bytes") == 0 {
					t.Errorf("no advice: %s", log.text.String())
				}
				once(t, c, n*test.answers, left...)
			})
		})
	}
}

// What is larger than its topic takes, but not when it is compressed, is taken all the same.
func TestInvariant12WhatIsSmallEnoughCompressedIsTaken(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		takesAtMost(t, c, "bills", "10000")
		cfg, err := sluice.FromProperties(strings.NewReader(
			"group.id=g\ncompression.type=gzip\nbootstrap.servers=" + strings.Join(c.ListenAddrs(), ",")))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Logger, cfg.ClientOptions = configFor(t, c, nil).Logger, c.Options(c.Dial)[1:]
		random := rand.NewChaCha8([32]byte{})
		const n, large = 100, 50
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					more := make([]byte, 1000)
					_, _ = random.Read(more)
					if m.Offset() == large {
						more = make([]byte, 20_000)
					}
					return []*kgo.Record{{Topic: "bills", Value: []byte(m.Value), Headers: []kgo.RecordHeader{{Key: "k", Value: more}}}}, nil
				},
				Policy: sluice.Policy{OnFailure: sluice.Drop{}},
			})
		})
		c.Produce("orders", 0, 0, n, 0)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		if s := m.app.Stats(); s.Failed > 0 || s.CommitsFailed != 1 {
			t.Errorf("invariant 12: %d records are to blame, and %d transactions were refused", s.Failed, s.CommitsFailed)
		}
		once(t, c, n)
	})
}
