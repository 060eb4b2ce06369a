package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// streams notes the calls of a stream's handler, and that two of a partition never run at once.
type streams struct {
	mu      sync.Mutex
	running map[int32]bool
	begun   []string // partition@offset of each call
	over    int
}

func (s *streams) enter(t *testing.T, partition int32, begin int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = make(map[int32]bool)
	}
	if s.running[partition] {
		t.Errorf("two handlers of partition %d", partition)
	}
	s.running[partition] = true
	s.begun = append(s.begun, fmt.Sprintf("%d@%d", partition, begin))
}

func (s *streams) leave(partition int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[partition] = false
	s.over++
}

func (s *streams) calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.begun))
}

// A stream's handler is called once an assignment, with records or none, sees each record once and in order, and has returned
// before its partition is let go.
func TestAStreamIsOnePartitionFromAssignToRevoke(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
			var all ledger
			var mine, theirs streams
			start := func(s *streams) *member {
				cfg := set(configFor(t, c, nil))
				cfg.Events.Released = func(i sluice.ReleasedInfo) {
					s.mu.Lock()
					defer s.mu.Unlock()
					if s.running[i.Partition] {
						t.Errorf("partition %d was let go while its handler ran", i.Partition)
					}
				}
				return join(t, cfg, func(app *sluice.App) error {
					return sluice.AddStream(app, sluice.StreamRoute[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, stream *sluice.Stream[string]) error {
							s.enter(t, stream.Partition(), stream.Begin())
							defer s.leave(stream.Partition())
							last := stream.Begin() - 1
							for m := range stream.Messages() {
								if m.Offset() != last+1 || m.Partition() != stream.Partition() || m.Topic() != stream.Topic() {
									t.Errorf("%d after %d", m.Offset(), last)
								}
								last = m.Offset()
								time.Sleep(100 * time.Millisecond) // virtual
								all.note(m)
							}
							time.Sleep(2 * time.Second) // virtual: what it had open is closed
							return nil
						},
					})
				})
			}
			m := start(&mine)
			c.Until("a call for each partition", func() bool { return len(mine.calls()) == 4 })
			if calls := mine.calls(); !slices.Equal(calls, []string{"0@0", "1@0", "2@0", "3@0"}) {
				t.Error(calls)
			}
			for round := range 3 {
				for p := range int32(4) {
					c.Produce("orders", p, round*100, 100, 0)
				}
				other := start(&theirs)
				c.Until("two each", func() bool {
					return len(m.app.Snapshot().Partitions) == 2 && len(other.app.Snapshot().Partitions) == 2
				})
				time.Sleep(3 * time.Second)
				other.leave(t)
				c.Until("all again", func() bool { return len(m.app.Snapshot().Partitions) == 4 })
				c.Until("every record", func() bool { return all.count() == 400*(round+1) })
			}
			m.leave(t)
			for p := range int32(4) {
				if at := c.Committed("g", "orders", p); at != 300 {
					t.Errorf("committed %d in %d", at, p)
				}
			}
			if n := len(mine.calls()); n != 4+3*2 || mine.over != n {
				t.Errorf("%d calls, %d returns: %v", n, mine.over, mine.calls())
			}
			for at, n := range all.seen {
				if n != 1 {
					t.Errorf("%s was handled %d times", at, n)
				}
			}
		})
	})
}

// What a handler returns is the outcome of the message that it had last, and it goes on with the first that is not finished.
func TestAStreamsReturnIsTheOutcomeOfItsMessage(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var seen []string
		var calls int
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: func(m *kgo.Record) (string, error) {
					if string(m.Value) == "9" {
						return "", errors.New("not a number")
					}
					return string(m.Value), nil
				},
				Policy: sluice.Policy{Retry: sluice.Retry{MaxAttempts: 3}, OnFailure: sluice.DeadLetter{Topic: "dlq"}},
				Handle: func(_ context.Context, s *sluice.Stream[string]) error {
					calls++
					if calls == 1 {
						return errors.New("not ready yet") // about no message
					}
					for m := range s.Messages() {
						seen = append(seen, fmt.Sprintf("%d/%d", m.Offset(), m.Attempt))
						switch {
						case m.Offset() == 3 && m.Attempt == 1:
							return errors.New("once")
						case m.Offset() == 5:
							return sluice.Poison(errors.New("bad"))
						case m.Offset() == 7:
							return nil // early
						case m.Offset() == 11:
							return errors.New("never")
						case m.Offset() == 13:
							panic("thirteen")
						case m.Offset() == 15 && m.Attempt == 1:
							return sluice.RetryAfter(errors.New("later"), time.Minute)
						case m.Offset() == 17:
							return sluice.Skip("not for us")
						}
					}
					return nil
				},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
		want := "0/1 1/1 2/1 3/1 3/2 4/1 5/1 6/1 7/1 8/1 10/1 11/1 11/2 11/3 12/1 13/1 14/1 15/1 15/2 16/1 17/1 18/1 19/1"
		if got := strings.Join(seen, " "); got != want {
			t.Errorf("%s,\nwant %s", got, want)
		}
		if n := len(c.Read("dlq")); n != 4 { // 5, 9, 11, 13
			t.Errorf("%d dead letters", n)
		}
		if s := m.app.Stats(); s.Skipped != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A handler that ends its goroutine costs the message that it had, and no other.
func TestAStreamOutlivesItsHandlersGoroutine(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var seen []int64
		calls := 0
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}},
				Handle: func(_ context.Context, s *sluice.Stream[string]) error {
					if calls++; calls == 1 {
						runtime.Goexit() // with no message
					}
					for m := range s.Messages() {
						seen = append(seen, m.Offset())
						if m.Offset() == 3 {
							runtime.Goexit()
						}
					}
					return nil
				},
			})
		})
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		if n := len(c.Read("dlq")); len(seen) != 10 || n != 1 {
			t.Errorf("%d dead letters; the handler saw %v", n, seen)
		}
	})
}

// With Manual a message is finished by its Done, in whatever order, and a drain waits for it.
func TestAStreamThatCommitsByHand(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		got := make(chan struct{})
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.Manual()},
				Handle: func(_ context.Context, s *sluice.Stream[string]) error {
					var held []sluice.Message[string]
					for m := range s.Messages() {
						if held = append(held, m); len(held) == 10 {
							close(got)
						}
					}
					for _, m := range held[:7] {
						m.Done()
					}
					for _, m := range held[8:] {
						m.Done()
					}
					time.Sleep(time.Second) // virtual
					held[7].Done()
					return nil
				},
			})
		})
		<-got
		time.Sleep(10 * time.Second)
		if err := m.app.Commit(t.Context()); err != nil || c.Committed("g", "orders", 0) > 0 {
			t.Errorf("committed %d before any Done, %v", c.Committed("g", "orders", 0), err)
		}
		m.leave(t)
		if at := c.Committed("g", "orders", 0); at != 10 {
			t.Errorf("committed %d", at)
		}
	})
}

// A seek ends the stream, and another begins at the new position. A pause lets it wait.
func TestAStreamIsMovedAndPaused(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var s streams
		var l ledger
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, stream *sluice.Stream[string]) error {
					s.enter(t, 0, stream.Begin())
					defer s.leave(0)
					for m := range stream.Messages() {
						l.note(m)
						time.Sleep(100 * time.Millisecond) // virtual
					}
					return nil
				},
			})
		})
		c.Until("some", func() bool { return l.count() == 10 })
		if err := m.app.Pause("orders", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if n := l.count(); n > 11 {
			t.Errorf("%d records in spite of the pause", n)
		}
		if err := errors.Join(m.app.Seek(t.Context(), "orders", 0, 50), m.app.Resume("orders")); err != nil {
			t.Fatal(err)
		}
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		if n := l.count(); n > 61 || !slices.Equal(s.calls(), []string{"0@0", "0@50"}) {
			t.Errorf("%d records, %v", n, s.calls())
		}
		m.leave(t)
	})
}

// A handler that outlives its partition keeps the next stream of the same partition waiting.
func TestAStreamThatOverrunsItsDrain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		var s streams
		free := make(chan struct{})
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, stream *sluice.Stream[string]) error {
					s.enter(t, 0, stream.Begin())
					defer s.leave(0)
					for range stream.Messages() {
						continue
					}
					if stream.Begin() == 0 {
						<-free
					}
					return nil
				},
			})
		})
		c.Until("all", func() bool { return c.Committed("g", "orders", 0) == 10 })
		if err := m.app.Seek(t.Context(), "orders", 0, 5); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := m.app.Seek(t.Context(), "orders", 0, 6); err != nil { // the second never begins
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := len(s.calls()); n != 1 {
			t.Errorf("%d calls while the first still runs", n)
		}
		close(free)
		c.Until("all again", func() bool { return c.Committed("g", "orders", 0) == 10 && len(s.calls()) == 2 })
		if calls := s.calls(); !slices.Equal(calls, []string{"0@0", "0@6"}) || m.app.Stats().Failed != 0 {
			t.Errorf("%v, %+v", calls, m.app.Stats())
		}
		m.leave(t)
	})
}

func TestAStreamRouteThatCannotBeIsRefused(t *testing.T) {
	for field, policy := range map[string]sluice.Policy{
		"Policy.Ordering": {Ordering: sluice.ByKey}, "Policy.Workers": {Workers: 4}, "Policy.Commit": {Commit: sluice.BeforeHandle()},
		"Policy.Timeout":   {Timeout: time.Second},
		"Policy.OnFailure": {Retry: sluice.Retry{MaxAttempts: 3}},
	} {
		app, err := sluice.New(goodConfig())
		if err != nil {
			t.Fatal(err)
		}
		err = sluice.AddStream(app, sluice.StreamRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: policy,
			Handle: func(context.Context, *sluice.Stream[string]) error { return nil },
		})
		if all := configErrors(errors.Unwrap(err)); len(all) != 1 || all[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	app, err := sluice.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := sluice.AddStream(app, sluice.StreamRoute[string]{}); !errors.Is(err, sluice.ErrConfig) || len(configErrors(errors.Unwrap(err))) != 3 {
		t.Error(err)
	}
}

// A message that a stream's handler is stuck with is named with the stack of that handler, which has a goroutine of its own.
func TestAStreamThatHangsIsNamedWithItsStack(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		release := make(chan struct{})
		var l told
		cfg := configFor(t, c, nil)
		cfg.Events = l.events()
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddStream(app, sluice.StreamRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, s *sluice.Stream[string]) error {
					for m := range s.Messages() {
						if m.Value == "7" {
							handlerHangsHere(release)
						}
					}
					return nil
				},
			})
		})
		time.Sleep(6 * time.Minute)
		overran := of[sluice.HandlerOverranInfo](&l, "HandlerOverran")
		if len(overran) != 1 || overran[0].Offset != 7 || !strings.Contains(overran[0].Stack, "handlerHangsHere") {
			t.Errorf("told %+v", overran)
		}
		close(release)
		m.leave(t)
	})
}
