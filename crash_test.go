package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

const stuck = 5 // the offset of the record that the first process never finishes

// process is an app that may die without leaving its group.
type process struct {
	*member
	link *bubble.Link
	free context.CancelFunc // ends the handler that is stuck
}

// crashing runs an app whose handler of the stuck record hangs, and notes the others in l.
func crashing(t *testing.T, c *bubble.Cluster, l *ledger, p sluice.Policy, change func(*sluice.Config)) *process {
	t.Helper()
	link := c.NewLink()
	cfg := configFor(t, c, link)
	if change != nil {
		change(&cfg)
	}
	hang, free := context.WithCancel(context.Background())
	t.Cleanup(free)
	m := join(t, cfg, func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text, Policy: p,
			Handle: func(_ context.Context, m sluice.Message[string]) error {
				if m.Offset() == stuck {
					<-hang.Done()
					return errors.New("dead")
				}
				l.note(m)
				return nil
			},
		})
	})
	return &process{m, link, free}
}

// crash cuts the process off: nothing that it does from now on is seen.
func (p *process) crash() {
	p.link.Cut()
	p.app.Abort()
	p.free()
	for range p.done { // however
	}
}

// metadata is that of the group's commit.
func metadata(t *testing.T, c *bubble.Cluster) string {
	t.Helper()
	offsets, err := c.Admin().FetchOffsets(context.Background(), "g")
	if err != nil {
		t.Fatal(err)
	}
	o, _ := offsets.Lookup("orders", 0)
	return o.Metadata
}

// commitAs commits as a tool would that resets offsets, once the group has no members any more.
func commitAs(t *testing.T, c *bubble.Cluster, at int64, text string) {
	t.Helper()
	time.Sleep(2 * time.Minute) // the session of the dead member
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: "orders", At: at, LeaderEpoch: -1, Metadata: text})
	if err := c.Admin().CommitAllOffsets(context.Background(), "g", offsets); err != nil {
		t.Fatal(err)
	}
}

// once demands that every record was handled, none of them twice.
func (l *ledger) once(t *testing.T, n int) {
	t.Helper()
	again, missing := 0, 0
	for i := range n {
		switch l.times(fmt.Sprintf("orders[0]@%d", i)) {
		case 1:
		case 0:
			missing++
		default:
			again++
		}
	}
	if missing > 0 {
		t.Errorf("invariant 1: %d of %d records were never handled, as the group's commit said that they are finished", missing, n)
	}
	if again > 0 {
		t.Errorf("invariant 9: %d of %d records were handled again after a crash, though they were finished and committed", again, n)
	}
}

func TestInvariant9WhatWasAheadAtACrashIsNotRunAgain(t *testing.T) {
	const n = 5000
	for name, policy := range map[string]sluice.Policy{
		"by key":      {Ordering: sluice.ByKey, Workers: 8, Commit: sluice.Every(500 * time.Millisecond)},
		"unordered":   {Ordering: sluice.Unordered, Workers: 8, Commit: sluice.EveryOrN(time.Second, 100)},
		"each record": {Ordering: sluice.ByKey, Workers: 8, Commit: sluice.EachRecord()},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, n, 2*n)
				var l ledger
				p := crashing(t, c, &l, policy, nil)
				c.Until("all but one", func() bool { return l.count() == n-1 })
				time.Sleep(time.Second)
				p.crash()
				if got := c.Committed("g", "orders", 0); got != stuck {
					t.Fatalf("invariant 1: committed %d, while %d is unfinished", got, stuck)
				}
				// Another one dies before it is through with what the first has left: it hands that on.
				c.Produce("orders", 0, n, 100, 2*n)
				p = crashing(t, c, &l, policy, nil)
				c.Until("what is new", func() bool { return l.count() == n-1+100 })
				time.Sleep(time.Second)
				p.crash()
				c.Produce("orders", 0, n+100, 100, 2*n)
				m := join(t, configFor(t, c, nil), ledgerRoute(&l, policy))
				c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == n+200 })
				if got := m.app.Stats().Restored; got != n+100-stuck-1 {
					t.Errorf("%d records were restored, want %d", got, n+100-stuck-1)
				}
				m.leave(t)
				l.once(t, n+200)
				if text := metadata(t, c); text != "" {
					t.Errorf("nothing is ahead, and the commit still says %q", text)
				}
			})
		})
	}
}

// A record whose dead letter is not written yet is stuck as well, and its partition goes on.
func TestInvariant9ADeadLetterThatIsNotWrittenHoldsUpNothingElse(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 500, 0)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dlq", Err: kerr.MessageTooLarge, Count: -1})
		var l ledger
		route := func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					l.note(m)
					if m.Offset() == stuck {
						return sluice.Poison(errors.New("bad"))
					}
					return nil
				},
				Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}},
			})
		}
		link := c.NewLink()
		p := &process{join(t, configFor(t, c, link), route), link, func() {}}
		c.Until("all", func() bool { return l.count() == 500 })
		time.Sleep(10 * time.Second)
		p.crash()
		fault.Remove()
		m := join(t, configFor(t, c, nil), route)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 500 })
		m.leave(t)
		for at, n := range l.seen {
			if n > 1 && at != fmt.Sprintf("orders[0]@%d", stuck) {
				t.Errorf("invariant 9: %s was handled %d times", at, n)
			}
		}
		if n := len(c.Read("dlq")); n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
	})
}

// With Manual the set is committed when the offset is: by App.Commit.
func TestInvariant9ManualCommitsSayWhatIsAhead(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		var l ledger
		route := func(hold int64) func(*sluice.App) error {
			return func(app *sluice.App) error {
				return sluice.Add(app, sluice.Route[string]{
					Topics: []string{"orders"}, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) error {
						if m.Offset() != hold {
							l.note(m)
							m.Done()
						}
						return nil
					},
					Policy: sluice.Policy{Commit: sluice.Manual()},
				})
			}
		}
		link := c.NewLink()
		p := &process{join(t, configFor(t, c, link), route(stuck)), link, func() {}}
		c.Until("all but one", func() bool { return p.app.Stats().Finished == 99 })
		time.Sleep(10 * time.Second)
		if text := metadata(t, c); text != "" {
			t.Errorf("%q was committed without being asked for", text)
		}
		if err := p.app.Commit(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.crash()
		m := join(t, configFor(t, c, nil), route(-1))
		c.Until("the one", func() bool { return m.app.Stats().Finished == 1 })
		m.leave(t)
		l.once(t, 100)
	})
}

// The commit that carries the set fails; its records finished, and nothing else does ever after. It is made again all the same.
func TestInvariant9ACommitWithoutAnAnswerIsMadeAgain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		policy := sluice.Policy{Ordering: sluice.Unordered, Workers: 4, Commit: sluice.Every(time.Second)}
		c.Produce("orders", 0, 0, 10, 0)
		var l ledger
		p := crashing(t, c, &l, policy, nil)
		c.Until("the first commit", func() bool { return c.Committed("g", "orders", 0) == stuck })
		time.Sleep(5 * time.Second)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Produce("orders", 0, 10, 90, 0)
		c.Until("all but one", func() bool { return l.count() == 99 })
		c.Until("a commit that fails", func() bool { return fault.Hits() == 1 })
		time.Sleep(10 * time.Second)
		commits := p.app.Stats().Commits
		time.Sleep(5 * time.Minute)
		if more := p.app.Stats().Commits - commits; more > 0 {
			t.Errorf("%d more commits in 5 minutes of nothing", more)
		}
		p.crash()
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, policy))
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		l.once(t, 100)
	})
}

// Whatever moves the group's offset drops the set, also when it leaves the metadata where it is.
func TestInvariant1AnOffsetThatWasResetDropsWhatWasAhead(t *testing.T) {
	for name, kept := range map[string]bool{"metadata dropped": false, "metadata kept": true} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 100, 0)
				policy := sluice.Policy{Ordering: sluice.Unordered, Workers: 4}
				var before, after ledger
				p := crashing(t, c, &before, policy, nil)
				c.Until("all but one", func() bool { return before.count() == 99 })
				time.Sleep(10 * time.Second)
				p.crash()
				text := metadata(t, c)
				if !strings.HasPrefix(text, "sluice1:") {
					t.Fatalf("the commit says %q", text)
				}
				if !kept {
					text = ""
				}
				commitAs(t, c, 3, text)
				m := join(t, configFor(t, c, nil), ledgerRoute(&after, policy))
				c.Until("the end", func() bool { return c.Committed("g", "orders", 0) == 100 })
				m.leave(t)
				if got := after.count(); got != 97 {
					t.Errorf("invariant 1: after a reset to 3, %d of 97 records were handled", got)
				}
			})
		})
	}
}

// What another program wrote is no set: a warning, and the plain frontier.
func TestForeignMetadataIsAWarning(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		commitAs(t, c, 40, "hello")
		var log strings.Builder
		var mu sync.Mutex
		cfg := configFor(t, c, nil)
		cfg.Logger = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(b)
		}), nil))
		var l ledger
		m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
		c.Until("the end", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		if l.count() != 60 {
			t.Errorf("%d records were handled, want 60", l.count())
		}
		if !strings.Contains(log.String(), "metadata") || strings.Contains(log.String(), "hello") {
			t.Errorf("want a warning that shows none of it: %s", log.String())
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A broker that takes less metadata than we send still gets the offsets, at last without any.
func TestMetadataThatIsTooLargeHoldsUpNoCommit(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 2000, 0)
		most := 300
		var sent atomic.Int64
		c.ControlKey(int16(kmsg.OffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			r := req.(*kmsg.OffsetCommitRequest)
			p := r.Topics[0].Partitions[0]
			if p.Metadata == nil || len(*p.Metadata) <= most {
				return nil, nil, false //nolint:nilnil // not handled
			}
			sent.Add(1)
			resp := r.ResponseKind().(*kmsg.OffsetCommitResponse)
			rt := kmsg.NewOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, kerr.OffsetMetadataTooLarge.Code
			rt.Partitions = append(rt.Partitions, rp)
			resp.Topics = append(resp.Topics, rt)
			return resp, nil, true
		})
		hang, free := context.WithCancel(context.Background())
		defer free()
		var done atomic.Int64
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() >= stuck && m.Offset()%3 == 0 {
						<-hang.Done()
					}
					done.Add(1)
					return nil
				},
				Policy: sluice.Policy{Ordering: sluice.Unordered, Workers: 1000, Commit: sluice.Every(time.Second)},
			})
		})
		c.Until("two of three", func() bool { return done.Load() > 1300 })
		time.Sleep(10 * time.Second)
		if got, text := c.Committed("g", "orders", 0), metadata(t, c); got != 6 || len(text) > most || len(text) < most/3 {
			t.Errorf("committed %d with %d characters, want 6 with up to %d", got, len(text), most)
		}
		if sent.Load() < 1 || sent.Load() > 8 || m.app.Stats().CommitsFailed > 0 {
			t.Errorf("%d commits were refused, %+v", sent.Load(), m.app.Stats())
		}
		most = 0
		free()
		c.Until("the end", func() bool { return c.Committed("g", "orders", 0) == 2000 })
		m.leave(t)
	})
}

// Without CommitMetadata nothing is said, and nothing is read.
func TestCommitMetadataOff(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		policy := sluice.Policy{Ordering: sluice.Unordered, Workers: 4}
		var l ledger
		p := crashing(t, c, &l, policy, func(cfg *sluice.Config) { cfg.CommitMetadata = -1 })
		c.Until("all but one", func() bool { return l.count() == 99 })
		time.Sleep(10 * time.Second)
		p.crash()
		if text := metadata(t, c); text != "" {
			t.Errorf("the commit says %q", text)
		}
		m := join(t, configFor(t, c, nil), ledgerRoute(&l, policy))
		c.Until("the end", func() bool { return c.Committed("g", "orders", 0) == 100 })
		m.leave(t)
		if got := l.times("orders[0]@50"); got != 2 {
			t.Errorf("record 50 was handled %d times, want 2", got)
		}
	})
}
