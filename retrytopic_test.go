package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

// retrying is a policy of two attempts, some retry topics, and dead letters in the dlq; every record counts by itself.
func retrying(delays ...time.Duration) sluice.Policy {
	return sluice.Policy{
		Retry:       sluice.Retry{MaxAttempts: 2, Backoff: time.Second, Breaker: -1},
		RetryTopics: delays,
		OnFailure:   sluice.DeadLetter{Topic: "dlq"},
	}
}

// attempt is one call for a record, with all that its handler was shown.
type attempt struct {
	at time.Time
	n  int
	as string
}

// calls notes what handlers were called for, by value, and fails those that fail says.
type calls struct {
	mu   sync.Mutex
	of   map[string][]attempt
	fail func(value string, n int) error
}

func (c *calls) handle(m sluice.Message[string]) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string][]attempt)
	}
	r := m.Record
	c.of[m.Value] = append(c.of[m.Value], attempt{time.Now(), m.Attempt, fmt.Sprint(
		m.Topic(), m.Partition(), m.Offset(), " ", m.ID(), " ", m.Timestamp().UnixMilli(), " ", string(r.Key), r.Headers)})
	if c.fail == nil {
		return nil
	}
	return c.fail(m.Value, m.Attempt)
}

func (c *calls) attempts(value string) []attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.of[value])
}

func (c *calls) values() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.of)
}

// route adds a route of orders, records one by one or in batches.
func (c *calls) route(p sluice.Policy, batch bool) func(*sluice.App) error {
	return func(app *sluice.App) error {
		if !batch {
			return failing(p, c.handle)(app)
		}
		return sluice.AddBatch(app, sluice.BatchRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p, MaxSize: 10,
			Handle: func(_ context.Context, b sluice.Batch[string]) error {
				failed := make(map[int]error)
				for i, m := range b.Messages {
					if b.Topic != "orders" || b.Partition != m.Partition() {
						return sluice.Poison(fmt.Errorf("a batch of %s[%d] with a message of %d", b.Topic, b.Partition, m.Partition()))
					}
					if err := c.handle(m); err != nil {
						failed[i] = err
					}
				}
				if len(failed) > 0 {
					return &sluice.BatchError{Failed: failed}
				}
				return nil
			},
		})
	}
}

// spaced demands as many attempts as there are waits and one, each at least its wait behind the one before, and no second later; all
// of them for the same record.
func spaced(t *testing.T, what string, as []attempt, waits ...time.Duration) {
	t.Helper()
	if len(as) != len(waits)+1 {
		t.Fatalf("%s: %d attempts, want %d", what, len(as), len(waits)+1)
	}
	for i, a := range as {
		if a.n != i+1 || a.as != as[0].as {
			t.Errorf("%s: attempt %d was shown as number %d of\n%s, and the first of\n%s", what, i+1, a.n, a.as, as[0].as)
		}
		if i == 0 {
			continue
		}
		wait := a.at.Sub(as[i-1].at)
		if least := waits[i-1]; wait < least || wait > least+time.Second {
			t.Errorf("%s: attempt %d came %v after the one before, want %v", what, i+1, wait, least)
		}
	}
}

func TestAFailedRecordPassesThroughItsRetryTopics(t *testing.T) {
	for name, w := range ways {
		if w.partitions == 1 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				for p := range w.partitions {
					c.Produce("orders", p, int(p)*100, 20, 7)
				}
				c.Client().ProduceSync(t.Context(), &kgo.Record{
					Topic: "orders", Partition: 2, Key: []byte("k"), Value: []byte("never"), Timestamp: time.Date(1999, 1, 2, 3, 4, 5, 6e6, time.UTC),
					Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("t1")}, {Key: "trace", Value: []byte("t2")}},
				})
				all := calls{fail: func(value string, n int) error {
					switch {
					case value == "7" && n <= 2, value == "108" && n <= 3, value == "never":
						return fmt.Errorf("%s: %w", value, io.ErrUnexpectedEOF)
					}
					return nil
				}}
				var l told
				cfg := configFor(t, c, nil)
				cfg.Events = l.events()
				policy := retrying(5*time.Second, time.Minute)
				policy.Ordering, policy.Retry.Backoff, policy.Retry.MaxBackoff = w.ordering, time.Millisecond, time.Millisecond
				m := join(t, cfg, all.route(policy, w.batch))
				c.Until("the dead letter", func() bool { return m.app.Stats().DeadLettered == 1 })
				c.Until("the commits", func() bool { return c.Committed("g", "orders.g.retry.1m", 2) == 1 })
				m.leave(t)

				spaced(t, "7", all.attempts("7"), 0, 5*time.Second)
				spaced(t, "108", all.attempts("108"), 0, 5*time.Second, time.Minute)
				spaced(t, "never", all.attempts("never"), 0, 5*time.Second, time.Minute)
				for p := range w.partitions {
					for i := range 20 {
						value := fmt.Sprint(int(p)*100 + i)
						if n := len(all.attempts(value)); n != 1 && value != "7" && value != "108" {
							t.Errorf("%s was handled %d times", value, n)
						}
					}
				}
				for _, topic := range []string{"orders.g.retry.5s", "orders.g.retry.1m"} {
					if n := len(c.PartitionInfos(topic)); n != int(w.partitions) {
						t.Errorf("%s has %d partitions", topic, n)
					}
				}
				if s := m.app.Stats(); s.Delayed != 5 || s.Failed != 2+3+4 {
					t.Errorf("%+v", s)
				}
				dead := c.Read("dlq")
				if len(dead) != 1 {
					t.Fatalf("%d dead letters", len(dead))
				}
				d, first := dead[0], all.attempts("never")[0].at
				got := fmt.Sprintf("%s %s %s@%s %s %s %s %s", d.Key, d.Value, header(d, sluice.HeaderTopic)+header(d, sluice.HeaderPartition),
					header(d, sluice.HeaderOffset), header(d, sluice.HeaderAttempts), header(d, sluice.HeaderErrorClass), header(d, sluice.HeaderError),
					header(d, sluice.HeaderTimestamp))
				if got != "k never orders2@20 4 attempts never: unexpected EOF 1999-01-02T03:04:05.006Z" || d.Timestamp.Year() != 1999 ||
					header(d, sluice.HeaderFirstFailure) != first.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z") {
					t.Errorf("dead letter: %s, failed first at %s; %v", got, header(d, sluice.HeaderFirstFailure), first)
				}
				if len(d.Headers) != 12 || string(d.Headers[0].Value) != "t1" || string(d.Headers[1].Value) != "t2" {
					t.Errorf("headers: %v", d.Headers)
				}
				waits := map[string][]time.Duration{}
				for _, i := range append(of[sluice.FailedInfo](&l, "Failed"), of[sluice.FailedInfo](&l, "DeadLettered")...) {
					value := string(i.Record.Value)
					if i.Record.Topic != "orders" || i.Attempts != min(len(waits[value])+1, 4) {
						t.Errorf("told of attempt %d of %s@%d: %+v", len(waits[value])+1, i.Record.Topic, i.Record.Offset, i)
					}
					waits[value] = append(waits[value], i.RetryIn.Round(5*time.Second))
				}
				if got := fmt.Sprint(waits["never"]); got != "[0s 5s 1m0s 0s 0s]" {
					t.Errorf("the waits that were told: %s", got)
				}
			})
		})
	}
}

func TestInvariant2ARetryCopyThatWasNotWrittenLeavesItsRecordUnfinished(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		createTopic(t, c, 1, "orders.g.retry.5s")
		fault := c.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders.g.retry.5s", Err: kerr.MessageTooLarge, Count: -1,
		})
		all := calls{fail: func(value string, n int) error {
			if value == "7" && n <= 2 {
				return io.EOF
			}
			return nil
		}}
		m := join(t, configFor(t, c, nil), all.route(retrying(5*time.Second), false))
		c.Until("some writes were refused", func() bool { return fault.Hits() >= 3 })
		time.Sleep(5 * time.Second)
		if got := c.Committed("g", "orders", 0); got != 7 {
			t.Fatalf("invariant 2: committed %d, though the copy of 7 for its retry topic was never written", got)
		}
		if p := problems(m); !strings.Contains(p, "a copy for a retry topic could not be written") || all.values() != 20 {
			t.Fatalf("%d records handled, health %q", all.values(), p)
		}
		fault.Remove()
		c.Until("the commit", func() bool { return c.Committed("g", "orders.g.retry.5s", 0) == 1 })
		c.Until("the other commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		if as := all.attempts("7"); len(as) != 3 || as[2].at.Sub(as[1].at) < 10*time.Second {
			t.Errorf("7 was handled %v", as)
		}
		m.leave(t)
	})
}

// A process that dies between the copy and its commit makes a second copy, and loses nothing; what is copied is read whatever the start.
func TestACrashAfterACopyDuplicatesAndLosesNothing(t *testing.T) {
	for _, start := range []sluice.Start{sluice.Earliest(), sluice.Latest()} {
		bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
			createTopic(t, c, 1, "orders.g.retry.5s")
			all := calls{fail: func(value string, n int) error {
				if value == "7" && n <= 2 {
					return io.EOF
				}
				return nil
			}}
			link := c.NewLink()
			cfg := configFor(t, c, link)
			cfg.Start = start
			var made commits
			cfg.Events.Committed = made.note
			first := join(t, cfg, all.route(retrying(5*time.Second), false))
			c.Until("it begins", func() bool { return first.app.Health().Ready })
			time.Sleep(time.Second)
			fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
			c.Produce("orders", 0, 0, 20, 0)
			c.Until("the copy", func() bool { return first.app.Stats().Delayed == 1 })
			link.Cut()
			first.app.Abort()
			for range first.done { // however
			}
			fault.Remove()
			if n := made.highest("orders[0]"); n > 0 {
				t.Fatalf("committed %d: this test is about nothing", n)
			}
			cfg = configFor(t, c, nil)
			cfg.Start = start
			second := join(t, cfg, all.route(retrying(5*time.Second), false))
			c.Until("the copies", func() bool { return c.Committed("g", "orders.g.retry.5s", 0) == 2 })
			c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
			second.leave(t)
			as := all.attempts("7")
			third := 0
			for _, a := range as {
				if a.n == 3 {
					third++
				}
			}
			if third != 2 || as[0].as != as[len(as)-1].as {
				t.Errorf("7 was handled %v", as)
			}
		})
	}
}

func TestInvariant2ACopyThatNobodyCommittedIsReadWhateverTheStart(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1, "orders.g.retry.5s": 2}, func(t *testing.T, c *bubble.Cluster) {
		forge(t, c, "orders.g.retry.5s", 1, "orders", time.Now().Add(-time.Hour), "1")
		forge(t, c, "orders.g.retry.5s", 1, "orders", time.Now().Add(time.Hour), "2") // by a clock that is ahead
		forge(t, c, "orders.g.retry.5s", 1, "orders", time.Now(), "3")
		var all calls
		cfg := configFor(t, c, nil)
		cfg.Start = sluice.Latest()
		began := time.Now()
		m := join(t, cfg, all.route(retrying(5*time.Second), false))
		time.Sleep(time.Minute)
		if n := all.values(); n != 3 {
			t.Fatalf("invariant 2: %d of 3 copies were handled, whose records are finished where they came from", n)
		}
		m.leave(t)
		for value, least := range map[string]time.Duration{"1": 0, "2": 5 * time.Second, "3": 5 * time.Second} {
			as := all.attempts(value)
			if took := as[0].at.Sub(began); took < least || took > least+2*time.Second || as[0].n != 3 {
				t.Errorf("%s was handled after %v, as attempt %d", value, took, as[0].n)
			}
		}
	})
}

// forge writes a copy as the group would.
func forge(t *testing.T, c *bubble.Cluster, topic string, partition int32, source string, at time.Time, value string, change ...string) {
	t.Helper()
	said := map[string]string{
		"group": "g", "topic": source, "topic-id": strings.Repeat("0", 32), "partition": fmt.Sprint(partition), "offset": "4", "timestamp": "5", "attempts": "2",
		"first-failure": "6", "error": "no",
	}
	for pair := range slices.Chunk(change, 2) {
		if said[pair[0]] = pair[1]; pair[1] == "" {
			delete(said, pair[0])
		}
	}
	r := &kgo.Record{Topic: topic, Partition: partition, Value: []byte(value), Timestamp: at}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: "sluice-retry-" + name, Value: []byte(said[name])})
	}
	if err := c.Client().ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func TestInvariant5NoCopyIsHandledBeforeItIsDue(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.5s": 1}, func(t *testing.T, c *bubble.Cluster) {
		began := time.Now()
		ages := map[string]time.Duration{"1": time.Hour, "2": 4 * time.Second, "3": 2 * time.Second, "4": 0}
		for _, value := range slices.Sorted(maps.Keys(ages)) {
			forge(t, c, "orders.g.retry.5s", 0, "orders", began.Add(-ages[value]), value)
		}
		var all calls
		m := join(t, configFor(t, c, nil), all.route(retrying(5*time.Second), false))
		c.Until("the second", func() bool { return len(all.attempts("2")) > 0 })
		m.leave(t) // who comes next waits for what is left, and no longer
		m = join(t, configFor(t, c, nil), all.route(retrying(5*time.Second), false))
		c.Until("the last", func() bool { return len(all.attempts("4")) > 0 })
		m.leave(t)
		for value, age := range ages {
			as := all.attempts(value)
			if took, due := as[0].at.Sub(began), max(0, 5*time.Second-age); len(as) > 1 || took < due || took > due+2*time.Second {
				t.Errorf("invariant 5: %s was handled %d times, first after %v, and it is due after %v", value, len(as), took, due)
			}
		}
	})
}

func TestInvariant1NothingIsCommittedPastACopyThatWaits(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.1h": 1}, func(t *testing.T, c *bubble.Cluster) {
		for i := range 3 {
			forge(t, c, "orders.g.retry.1h", 0, "orders", time.Now(), fmt.Sprint(i))
		}
		var all calls
		m := join(t, configFor(t, c, nil), all.route(retrying(time.Hour), false))
		c.Until("the copies", func() bool {
			return slices.ContainsFunc(m.app.Snapshot().Partitions, func(p sluice.PartitionSnapshot) bool { return p.Parked == 3 })
		})
		time.Sleep(time.Minute)
		m.leave(t)
		if got := c.Committed("g", "orders.g.retry.1h", 0); got > 0 {
			t.Errorf("invariant 1: committed %d, and no copy was handled", got)
		}
	})
}

func TestWhatIsNoCopyIsPoison(t *testing.T) {
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch %v", batch), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.5s": 1}, func(t *testing.T, c *bubble.Cluster) {
				wrong := [][]string{
					{"group", ""}, {"topic", "other"}, {"topic", ""}, {"partition", "-1"}, {"partition", "2147483648"}, {"offset", "x"}, {"offset", ""}, {"offset", "-1"},
					{"timestamp", "now"}, {"attempts", "0"}, {"attempts", "99999999999"}, {"first-failure", "1e3"}, {"topic-id", "zz"}, {"topic-id", "00"},
					{"topic-id", strings.Repeat("0", 100_000)},
				}
				for i, change := range wrong {
					forge(t, c, "orders.g.retry.5s", 0, "orders", time.Now(), fmt.Sprint("good ", i))
					forge(t, c, "orders.g.retry.5s", 0, "orders", time.Now(), fmt.Sprint("bad ", i), change...)
				}
				c.Produce("orders.g.retry.5s", 0, 0, 1, 0) // none at all
				forge(t, c, "orders.g.retry.5s", 0, "orders", time.Now(), "another group's", "group", "h")
				all := calls{fail: func(value string, _ int) error {
					if !strings.HasPrefix(value, "good") {
						return errors.New("was handled")
					}
					return nil
				}}
				m := join(t, configFor(t, c, nil), all.route(retrying(5*time.Second, time.Minute), batch))
				c.Until("the commit", func() bool { return c.Committed("g", "orders.g.retry.5s", 0) == int64(2*len(wrong)+2) })
				m.leave(t)
				if n := m.app.Stats().Skipped; n != 1 {
					t.Errorf("%d skipped, want the one of another group", n)
				}
				if n := all.values(); n != len(wrong) {
					t.Errorf("%d handled, want %d", n, len(wrong))
				}
				dead := c.Read("dlq")
				for _, d := range dead {
					reason := header(d, sluice.HeaderError)
					if header(d, sluice.HeaderTopic) != "orders.g.retry.5s" || header(d, sluice.HeaderErrorClass) != "poison" || len(reason) > 2000 ||
						!strings.Contains(reason, "orders.g.retry.5s[0]@"+header(d, sluice.HeaderOffset)+" is no copy") {
						t.Errorf("%s: %v", d.Value, d.Headers)
					}
				}
				if len(dead) != len(wrong)+1 {
					t.Errorf("%d dead letters, want %d", len(dead), len(wrong)+1)
				}
			})
		})
	}
}

func TestPoisonPassesByTheRetryTopics(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		all := calls{fail: func(value string, n int) error {
			switch {
			case value == "3", value == "7" && n == 3: // in the retry topic
				return sluice.Poison(io.EOF)
			case value == "5":
				panic("five")
			case value == "7":
				return io.EOF
			}
			return nil
		}}
		m := join(t, configFor(t, c, nil), all.route(retrying(5*time.Second, time.Minute), false))
		c.Until("the dead letters", func() bool { return m.app.Stats().DeadLettered == 3 })
		m.leave(t)
		if n := len(c.Read("orders.g.retry.5s")); n != 1 {
			t.Errorf("%d copies, want 1", n)
		}
		if n := len(c.Read("orders.g.retry.1m")); n != 0 {
			t.Errorf("%d copies of copies, want none", n)
		}
		var got []string
		for _, d := range c.Read("dlq") {
			got = append(got, fmt.Sprint(string(d.Value), header(d, sluice.HeaderTopic), header(d, sluice.HeaderAttempts), header(d, sluice.HeaderErrorClass)))
		}
		slices.Sort(got)
		if want := "[3orders1poison 5orders1panic 7orders3poison]"; fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
	})
}

// A database outage sends nothing to the retry topics, nor from one to the next, nor to the dead letters.
func TestAnOutageSendsNothingToRetryTopics(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": w.partitions, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				s := server{unordered: true}
				s.bad = func(value int) bool { return value%1000 == 9 }
				all, next := w.produce(c, 0, 50), 50
				policy := sluice.Policy{
					Retry: sluice.Retry{MaxAttempts: 3}, RetryTopics: []time.Duration{time.Minute, 10 * time.Minute},
					OnFailure: sluice.DeadLetter{Topic: "dlq"},
				}
				m := join(t, configFor(t, c, nil), w.route(&s, policy))
				c.Until("the work", func() bool {
					if w.committed(c) == all {
						return true
					}
					all += w.produce(c, next, 10) // as long as others succeed, a record that fails is to blame
					next += 10
					time.Sleep(time.Second)
					return false
				})
				copies := int64(w.partitions)
				if n := m.app.Stats().Delayed; n != copies {
					t.Fatalf("%d copies, want %d", n, copies)
				}
				s.set(true) // before the first delay is over
				all += w.produce(c, next, 50)
				time.Sleep(40 * time.Minute)
				if st := m.app.Stats(); st.Delayed != copies || st.DeadLettered != 0 || m.app.Health().Ready {
					t.Fatalf("in an outage: %+v, %v", st, m.app.Health())
				}
				s.mu.Lock()
				s.bad = nil
				s.mu.Unlock()
				s.set(false)
				c.Until("the rest", func() bool { return w.committed(c) == all })
				c.Until("what was retried", func() bool {
					sum := int64(0)
					for p := range w.partitions {
						sum += max(0, c.Committed("g", "orders.g.retry.1m", p))
					}
					return sum == copies
				})
				if st := m.app.Stats(); st.Delayed != copies || st.DeadLettered != 0 {
					t.Errorf("after an outage: %+v", st)
				}
				if n := s.lanes(t); n != all {
					t.Errorf("%d records handled, want %d", n, all)
				}
				m.leave(t)
			})
		})
	}
}

// Behind the last retry topic OnFailure decides. With Halt the copy's partition stops there, and the source goes on.
func TestTheLastRetryTopicMayEndInAHalt(t *testing.T) {
	for _, breaker := range []int{-1, 0} {
		bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
			var mended atomic.Bool
			all := calls{fail: func(value string, _ int) error {
				if value == "7" && !mended.Load() {
					return io.EOF
				}
				return nil
			}}
			policy := retrying(2*time.Second, 5*time.Second)
			policy.OnFailure, policy.Retry.Breaker, policy.Ordering = sluice.Halt{}, breaker, sluice.Unordered
			var l told
			cfg := configFor(t, c, nil)
			cfg.Events = l.events()
			m := join(t, cfg, all.route(policy, false))
			sent := 0
			c.Until("the halt", func() bool { // others succeed all the while
				c.Produce("orders", 0, sent, 10, 0)
				sent += 10
				time.Sleep(time.Second)
				return len(of[sluice.HaltedInfo](&l, "Halted")) > 0
			})
			h := of[sluice.HaltedInfo](&l, "Halted")[0]
			if h.Topic != "orders.g.retry.5s" || h.Partition != 0 || h.Offset != 0 || !errors.Is(h.Err, io.EOF) {
				t.Errorf("halted: %+v", h)
			}
			if text := problems(m); !strings.Contains(text, "orders.g.retry.5s[0]: halted at offset 0") {
				t.Errorf("health says %q", text)
			}
			c.Produce("orders", 0, sent, 10, 0)
			c.Until("the source", func() bool { return c.Committed("g", "orders", 0) == int64(sent)+10 })
			m.leave(t)
			if at := c.Committed("g", "orders.g.retry.5s", 0); at > 0 {
				t.Errorf("committed %d past the copy that halted its partition", at)
			}
			before := len(all.attempts("7"))
			mended.Store(true)
			m = join(t, configFor(t, c, nil), all.route(policy, false))
			c.Until("the copy", func() bool { return c.Committed("g", "orders.g.retry.5s", 0) == 1 })
			m.leave(t)
			if n := len(all.attempts("7")); n != before+1 {
				t.Errorf("after the restart it was called %d times", n-before)
			}
		})
	}
}

// While a record waits for its delay everything else goes on, nothing is red, and neither a rebalance nor a stop waits for it.
func TestADelayHoldsUpNobody(t *testing.T) {
	for _, ordering := range []sluice.Ordering{sluice.ByPartition, sluice.ByKey, sluice.Unordered} {
		t.Run(ordering.String(), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
				all := calls{fail: func(value string, n int) error {
					if strings.HasSuffix(value, "7") && n <= 2 {
						return io.EOF
					}
					return nil
				}}
				policy := retrying(time.Hour)
				policy.Ordering, policy.Workers = ordering, 1
				var l told
				cfg := configFor(t, c, nil)
				cfg.Events = l.events()
				m := join(t, cfg, all.route(policy, false))
				c.Produce("orders", 0, 0, 100, 3)
				c.Until("the others", func() bool { return c.Committed("g", "orders", 0) == 100 })
				for i := range 5 {
					time.Sleep(2 * time.Minute)
					began := time.Now()
					c.Produce("orders", 1, 1000+10*i, 5, 3)
					c.Until("what comes meanwhile", func() bool { return len(all.attempts(fmt.Sprint(1004+10*i))) == 1 })
					if took := time.Since(began); took > time.Second {
						t.Errorf("a neighbour waited %v", took)
					}
					if h := m.app.Health(); !h.Ready {
						t.Fatalf("red while records wait for their delay: %v", h.Problems)
					}
				}
				for _, p := range m.app.Snapshot().Partitions {
					if p.Topic == "orders.g.retry.1h" && p.Partition == 0 && (p.Parked != 10 || p.Queued != 10 || p.OldestAge != 0) {
						t.Errorf("%+v", p)
					}
				}
				other := join(t, configFor(t, c, nil), all.route(policy, false))
				began := time.Now()
				c.Until("the other's part", func() bool { return len(other.app.Snapshot().Partitions) == 2 })
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("a rebalance waited %v", took)
				}
				for _, m := range []*member{other, m} {
					began = time.Now()
					m.leave(t)
					if took := time.Since(began); took > time.Second {
						t.Errorf("a stop waited %v", took)
					}
				}
				if n := len(of[sluice.StalledInfo](&l, "Stalled")); n != 0 {
					t.Errorf("%d partitions were called stalled", n)
				}
				for _, v := range []string{"7", "17", "97"} {
					if n := len(all.attempts(v)); n != 2 {
						t.Errorf("%s was handled %d times before its time", v, n)
					}
				}
				last := join(t, configFor(t, c, nil), all.route(policy, false))
				time.Sleep(time.Until(all.attempts("7")[1].at.Add(time.Hour - time.Second)))
				c.Until("the retries", func() bool { return c.Committed("g", "orders.g.retry.1h", 0) == 10 })
				last.leave(t)
				for _, v := range []string{"7", "17", "97"} {
					as := all.attempts(v)
					if wait := as[len(as)-1].at.Sub(as[1].at); len(as) != 3 || wait < time.Hour || wait > time.Hour+time.Minute {
						t.Errorf("%s was retried after %v", v, wait)
					}
				}
			})
		})
	}
}

// What waits keeps to a part of the memory, however much there is, and leaves the rest to the others.
func TestWhatWaitsForItsDelayKeepsToItsShare(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.1h": 1}, func(t *testing.T, c *bubble.Cluster) {
		const copies = 3000
		now := time.Now()
		for i := range copies {
			forge(t, c, "orders.g.retry.1h", 0, "orders", now, fmt.Sprint("copy ", i, strings.Repeat("x", 1000)))
		}
		var all calls
		cfg := configFor(t, c, nil)
		cfg.MaxBufferedBytes = 1 << 20
		m := join(t, cfg, all.route(retrying(time.Hour), false))
		c.Until("a full share", func() bool {
			for _, p := range m.app.Snapshot().Partitions {
				if p.Topic != "orders" && p.Paused == "share" {
					return true
				}
			}
			return false
		})
		for i := range 20 {
			c.Produce("orders", 0, i*100, 100, 0)
			began := time.Now()
			c.Until("the others", func() bool { return all.values() == (i+1)*100 })
			if took := time.Since(began); took > time.Second {
				t.Errorf("a neighbour waited %v", took)
			}
			if held := m.app.Stats().BufferedBytes; held > cfg.MaxBufferedBytes/4 {
				t.Fatalf("%d bytes are held of a budget of %d", held, cfg.MaxBufferedBytes)
			}
		}
		time.Sleep(time.Hour - time.Since(now) - time.Second)
		c.Until("the copies", func() bool { return c.Committed("g", "orders.g.retry.1h", 0) == copies })
		if took := time.Since(now); took < time.Hour || took > time.Hour+5*time.Minute {
			t.Errorf("the copies took %v", took)
		}
		m.leave(t)
	})
}

// A source that grows while the app runs has the records of its new partitions retried as well.
func TestASourceMayGrow(t *testing.T) {
	for _, batch := range []bool{false, true} {
		bubble.Run(t, map[string]int32{"orders": 2, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
			var mu sync.Mutex
			got := make(map[string]int)
			handle := func(m sluice.Message[string]) error {
				mu.Lock()
				defer mu.Unlock()
				if m.Attempt <= 2 {
					return io.EOF
				}
				got[fmt.Sprintf("%s %s[%d]@%d", m.Value, m.Topic(), m.Partition(), m.Offset())]++
				return nil
			}
			cfg := configFor(t, c, nil)
			cfg.Network.MetadataMaxAge = 10 * time.Second
			m := join(t, cfg, func(app *sluice.App) error {
				if !batch {
					return failing(retrying(5*time.Second), handle)(app)
				}
				return sluice.AddBatch(app, sluice.BatchRoute[string]{
					Topics: []string{"orders"}, Decode: sluice.Text, Policy: retrying(5 * time.Second),
					Handle: func(_ context.Context, b sluice.Batch[string]) error {
						failed := map[int]error{}
						for i, m := range b.Messages {
							failed[i] = handle(m)
						}
						return &sluice.BatchError{Failed: failed}
					},
				})
			})
			c.Until("it begins", func() bool { return m.app.Health().Ready })
			if _, err := c.Admin().UpdatePartitions(t.Context(), 5, "orders"); err != nil {
				t.Fatal(err)
			}
			c.Reconnect()
			for p := range int32(5) {
				c.Produce("orders", p, int(p)*100, 3, 0)
			}
			c.Until("the retries", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 15 })
			m.leave(t)
			for p := range 5 {
				for o := range 3 {
					if n := got[fmt.Sprintf("%d orders[%d]@%d", p*100+o, p, o)]; n != 1 {
						t.Errorf("%d of partition %d was retried %d times", p*100+o, p, n)
					}
				}
			}
		})
	}
}

func TestACopyIsItsSourceRecordAgain(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 8_000_001, time.UTC)
	for name, r := range map[string]kgo.Record{
		"plain":        {Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(now.UnixMilli())},
		"a tombstone":  {Key: []byte("k"), Offset: 1<<63 - 1, Partition: 1<<31 - 1, Timestamp: time.UnixMilli(0)},
		"empty":        {Key: []byte{}, Value: []byte{}, Timestamp: time.UnixMilli(-1)}, // Kafka's "no timestamp"
		"the far past": {Value: []byte("v"), Timestamp: time.UnixMilli(-1 << 60)},
		"headers": {Value: []byte("v"), Timestamp: time.UnixMilli(1 << 60), Headers: []kgo.RecordHeader{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: ""}, {Key: "sluice-topic", Value: []byte("x")},
		}},
	} {
		r.Topic = "orders"
		f := engine.Failure{
			Record: &r, TopicID: [16]byte{1, 15: 255}, Attempts: 3, First: time.UnixMilli(77), Err: errors.New(strings.Repeat("x", 10_000)),
		}
		copied := sluice.RetryCopy("orders.g.retry.1s", f, now)
		if copied.Timestamp.Before(now) || copied.Timestamp.After(now.Add(time.Millisecond)) || len(header(copied, "sluice-retry-error")) != 2000 {
			t.Errorf("%s: %+v", name, copied)
		}
		copied.Offset = 9
		for range 2 {
			got, err := sluice.OriginOf(copied, "orders")
			if err != nil {
				t.Fatal(err)
			}
			want := r
			want.LeaderEpoch = -1
			if !reflect.DeepEqual(*got.Record, want) || got.TopicID != f.TopicID || got.Attempts != 3 || !got.First.Equal(f.First) {
				t.Errorf("%s: %+v\nwant %+v", name, got.Record, want)
			}
			got.Err = f.Err
			copied = sluice.RetryCopy("orders.g.retry.1m", got, now) // the next hop's headers take the place of these
		}
		if len(copied.Headers) != len(r.Headers)+9 {
			t.Errorf("%s: after two hops: %v", name, copied.Headers)
		}
	}
}

// A batch may hold copies of a topic's records from before and after it was made again; each has its own ID.
func TestCopiesInABatchHaveTheirOwnIDs(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "orders.g.retry.5s": 1}, func(t *testing.T, c *bubble.Cluster) {
		for i := range 3 {
			forge(t, c, "orders.g.retry.5s", 0, "orders", time.Now(), fmt.Sprint(i), "topic-id", strings.Repeat(fmt.Sprint(i+1), 32))
		}
		var all calls
		m := join(t, configFor(t, c, nil), all.route(retrying(5*time.Second), true))
		c.Until("the copies", func() bool { return all.values() == 3 })
		m.leave(t)
		for i := range 3 {
			if as := all.attempts(fmt.Sprint(i)); !strings.Contains(as[0].as, strings.Repeat(fmt.Sprint(i+1), 32)+"-0-4") {
				t.Errorf("%d was shown as %s", i, as[0].as)
			}
		}
	})
}
