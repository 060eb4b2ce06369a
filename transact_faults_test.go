package sluice_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// thief loses one request of a kind, or its answer, and ends the connection.
type thief struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	key     kmsg.Key
	answers bool
	after   int64 // requests of that kind that it lets pass
	seen    atomic.Int64
	stole   atomic.Bool
}

func (h *thief) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := h.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watched{Conn: conn, h: h}, nil
}

type watched struct {
	net.Conn
	h     *thief
	steal atomic.Bool // what is read next
}

func (c *watched) Write(b []byte) (int, error) {
	if len(b) >= 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.h.key && c.h.seen.Add(1) == c.h.after+1 {
		if !c.h.answers {
			c.h.stole.Store(true)
			_ = c.Close() // in memory
			return 0, net.ErrClosed
		}
		c.steal.Store(true)
	}
	return c.Conn.Write(b)
}

func (c *watched) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.steal.Load() {
		c.h.stole.Store(true)
		_ = c.Close() // in memory
		return 0, io.EOF
	}
	return n, err
}

// Of each request that a transaction needs, one is lost on its way, or its answer is: then it was done, and nobody knows.
func TestInvariant12ALostRequestOrAnswerIsSettled(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		for _, key := range []kmsg.Key{kmsg.InitProducerID, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
			for what, answers := range map[string]bool{"request": false, "answer": true} {
				t.Run(key.Name()+" "+what, func(t *testing.T) {
					bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
						const rounds, each = 10, 20
						h := &thief{dial: c.Dial, key: key, answers: answers}
						if key != kmsg.InitProducerID {
							h.after = 3
						}
						cfg := set(configFor(t, c, nil))
						cfg.ClientOptions = c.Options(h.Dial)[1:]
						m := join(t, cfg, forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
						for i := range rounds {
							c.Produce("orders", int32(i%2), i*each, each, 5)
							time.Sleep(300 * time.Millisecond)
						}
						c.Until("invariant 12: all is committed", func() bool {
							return c.Committed("g", "orders", 0) == rounds*each/2 && c.Committed("g", "orders", 1) == rounds*each/2
						})
						m.leave(t)
						if !h.stole.Load() {
							t.Error("nothing was lost")
						}
						seen := make(map[string]int)
						for _, r := range c.Read("bills") {
							seen[string(r.Value)]++
						}
						for value, n := range seen {
							if n != 1 {
								t.Errorf("invariant 12: %s is there %d times", value, n)
							}
						}
						if len(seen) != rounds*each {
							t.Errorf("invariant 12: %d are there, want %d", len(seen), rounds*each)
						}
					})
				})
			}
		}
	})
}

// A commit for the group alone, whose answer is lost, is not sent again: the first may still be on its way, and would put the group back
// behind what transactions commit after it. The member comes back as another one instead, from which brokers tell it.
func TestInvariant12ACommitThatWasNotAnsweredIsNotSentAgain(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		for what, answers := range map[string]bool{"request": false, "answer": true} {
			t.Run(what, func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
					const n = 40
					members := make(map[string]int) // commits, by who sent them
					c.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
						c.KeepControl()
						members[r.(*kmsg.OffsetCommitRequest).MemberID]++
						return nil, nil, false //nolint:nilnil // not answered here
					})
					h := &thief{dial: c.Dial, key: kmsg.OffsetCommit, answers: answers}
					cfg := set(configFor(t, c, nil))
					cfg.Start, cfg.ClientOptions = sluice.Latest(), c.Options(h.Dial)[1:]
					c.Produce("orders", 0, 1000, 10, 0)
					m := join(t, cfg, forward(sluice.Policy{}, nil))
					c.Until("its start is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
					c.Produce("orders", 0, 0, n, 0)
					c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 10+n })
					m.leave(t)
					if !h.stole.Load() {
						t.Error("nothing was lost")
					}
					for id, commits := range members {
						if commits > 1 {
							t.Errorf("invariant 12: member %s sent its commit %d times", id, commits)
						}
					}
					once(t, c, n)
				})
			})
		}
	})
}

// hanger hangs up on whoever dials it, as a proxy does in front of a broker that is dead.
type hanger struct {
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	hangs  atomic.Bool
	hanged atomic.Int64
}

func (h *hanger) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := h.dial(ctx, network, address)
	if err == nil && h.hangs.Load() {
		h.hanged.Add(1)
		return hungUp{conn}, nil
	}
	return conn, err
}

type hungUp struct{ net.Conn }

func (hungUp) Read([]byte) (int, error) { return 0, io.EOF }

// A commit for the group alone that never went out, although a connection was made, is simply sent later: nobody has to be made anew.
func TestInvariant12ACommitThatWasNotWrittenIsSentLater(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var log warnings
		link := c.NewLink()
		h := &hanger{dial: link.Dial}
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = c.Options(h.Dial)[1:]
		cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		inside, leave := make(chan struct{}), make(chan struct{})
		var once sync.Once
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					if m.Offset() == 5 {
						once.Do(func() { close(inside) })
						<-leave
					}
					return nil, nil // so that it is committed for the group alone
				},
			})
		})
		c.Produce("orders", 0, 0, 3, 0)
		c.Until("it knows who takes its commits", func() bool { return c.Committed("g", "orders", 0) == 3 })
		c.Produce("orders", 0, 3, 7, 0)
		<-inside
		h.hangs.Store(true)
		link.Drop()
		close(leave)
		time.Sleep(time.Second)
		h.hangs.Store(false)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		if h.hanged.Load() == 0 {
			t.Error("nobody hung up")
		}
		if log.count("made anew") > 0 {
			t.Errorf("invariant 12: a client was made anew, although nothing was written:\n%s", log.text.String())
		}
	})
}

// Each attempt is of another transaction, as the next one comes later than a transaction may take: they count all the same.
func TestInvariant12AttemptsCountAcrossTransactions(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "orders.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n, bad, attempts = 20, 7, 4
		var calls, aborts atomic.Int64
		policy := sluice.Policy{
			Retry:     sluice.Retry{MaxAttempts: attempts, Backoff: 8 * time.Second, MaxBackoff: 8 * time.Second},
			OnFailure: sluice.DeadLetter{Topic: "orders.dlq"},
		}
		cfg := configFor(t, c, nil)
		cfg.Events.CommitFailed = func(sluice.CommitFailedInfo) { aborts.Add(1) }
		m := join(t, cfg, forward(policy, func(_ context.Context, m sluice.Message[string]) error {
			if m.Offset() != bad {
				return nil
			}
			if n := calls.Add(1); m.Attempt != int(n) {
				t.Errorf("invariant 12: call %d of it is attempt %d", n, m.Attempt)
			}
			return errors.New("bad")
		}))
		c.Produce("orders", 0, 0, n, 0)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		if calls.Load() != attempts || aborts.Load() < attempts-1 {
			t.Errorf("invariant 12: %d attempts in %d transactions, want %d, each in one of its own", calls.Load(), aborts.Load()+1, attempts)
		}
		once(t, c, n, bad)
		if got := len(c.Read("orders.dlq")); got != 1 {
			t.Errorf("invariant 12: %d dead letters, want 1", got)
		}
	})
}

// A transaction that is committed has no word on records behind it, which were in one that was aborted: what they failed of still counts.
func TestInvariant12AttemptsOutliveTheCommitOfWhatIsBefore(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n, refused, bad, attempts = 100, 10, 60, 3
		var calls, aborts atomic.Int64
		refuse(c, "bills", kerr.InvalidRecord)
		policy := sluice.Policy{
			Retry:     sluice.Retry{MaxAttempts: attempts, Backoff: 8 * time.Second, MaxBackoff: 8 * time.Second},
			OnFailure: sluice.Drop{},
		}
		cfg := configFor(t, c, nil)
		cfg.Events.CommitFailed = func(sluice.CommitFailedInfo) { aborts.Add(1) }
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.AddTransact(app, sluice.TransactRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
					r := &kgo.Record{Topic: "bills", Value: []byte(m.Value)}
					switch m.Offset() {
					case refused:
						if aborts.Load() > 0 {
							r.Headers = []kgo.RecordHeader{{Key: mark}}
						}
					case refused + 1:
						time.Sleep(100 * time.Millisecond) // brokers refuse it before the next one is called
					case bad:
						if n := calls.Add(1); m.Attempt != int(n) {
							t.Errorf("invariant 12: call %d of it is attempt %d", n, m.Attempt)
						}
						return nil, errors.New("bad")
					}
					return []*kgo.Record{r}, nil
				},
				Policy: policy,
			})
		})
		c.Produce("orders", 0, 0, n, 0)
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		if calls.Load() != attempts {
			t.Errorf("invariant 12: %d attempts, want %d", calls.Load(), attempts)
		}
		once(t, c, n, refused, bad)
	})
}
