package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

// expelInSilence lets the group forget the member while it joins again: the client joins under another member id, keeps what it had, and
// tells nobody.
func expelInSilence(c *bubble.Cluster) {
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.RebalanceInProgress, Count: 1})
}

// A partition that was halted when the group took its member for dead may have been somebody else's since: it begins again at the
// group's commit, as after any other loss. What it had committed was no loss: a stop is clean.
func TestInvariant10AHaltedPartitionOfAnotherMemberBeginsAgain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var mended atomic.Bool
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 7 && !mended.Load() {
				return engine.Outcome{Kind: engine.Poison, Err: errBad}
			}
			return engine.Outcome{}
		})
		cfg.Routes[0].OnFailure = engine.Halt
		e, stop := run(t, cfg)
		state := func() string {
			if s := e.Snapshot(); len(s.Partitions) == 1 {
				return s.Partitions[0].State
			}
			return ""
		}
		c.Until("the halt", func() bool { return state() == "halted" && c.Committed("g", "orders", 0) == 7 })
		member := e.Snapshot().MemberID
		expelInSilence(c)
		c.Until("it is another member", func() bool { id := e.Snapshot().MemberID; return id != "" && id != member })
		c.Until("it begins again, and halts again", func() bool { return e.Stats().Failed == 2 && state() == "halted" })
		mended.Store(true)
		expelInSilence(c)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 20 })
		time.Sleep(time.Minute)
		if n := e.Stats().CommitsFailed; n > 0 {
			t.Errorf("%d commits failed", n)
		}
		if err := stop(); err != nil {
			t.Errorf("invariant 10: Run: %v", err)
		}
	})
}

// The same where the halted partition only stays as it was: nothing of it is lost.
func TestInvariant10AStopWithAHaltedPartitionOfAnotherMemberIsClean(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if r.Offset == 7 {
				return engine.Outcome{Kind: engine.Poison, Err: errBad}
			}
			return engine.Outcome{}
		})
		cfg.Routes[0].OnFailure = engine.Halt
		e, stop := run(t, cfg)
		c.Until("the halt", func() bool { return c.Committed("g", "orders", 0) == 7 })
		member := e.Snapshot().MemberID
		expelInSilence(c)
		c.Until("it is another member", func() bool { id := e.Snapshot().MemberID; return id != "" && id != member })
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Errorf("invariant 10: Run: %v", err)
		}
	})
}

// A stop handles what BeforeHandle has committed, but not as another member: then it is lost, and nothing of it begins again.
func TestAStopThatHandlesWhatIsCommittedFirstEndsWhenItIsExpelled(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var assigned, lost, released atomic.Int64
		release := make(chan struct{})
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { <-release; return engine.Outcome{} })
		cfg.Routes[0].CommitFirst, cfg.Routes[0].CommitInterval = true, 0
		cfg.DrainTimeout = 10 * time.Minute
		cfg.Observer.Assigned = func(engine.AssignedInfo) { assigned.Add(1) }
		cfg.Observer.Released = func(i engine.ReleasedInfo) {
			released.Add(1)
			if i.Lost {
				lost.Add(1)
			}
		}
		e, stop := run(t, cfg)
		c.Until("they are committed first", func() bool { return c.Committed("g", "orders", 0) == 20 })
		member := e.Snapshot().MemberID
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		c.Until("the drain", func() bool { s := e.Snapshot(); return len(s.Partitions) == 1 && s.Partitions[0].State == "leaving" })
		expelInSilence(c)
		c.Until("it is another member", func() bool { id := e.Snapshot().MemberID; return id != "" && id != member })
		time.Sleep(2 * time.Minute) // the group waits for the one that it takes for dead
		close(release)
		if err := <-stopped; !errors.Is(err, engine.ErrLost) {
			t.Errorf("Run: %v, want ErrLost", err)
		}
		if a, r, l := assigned.Load(), released.Load(), lost.Load(); a != 1 || r != 1 || l != 1 {
			t.Errorf("%d times assigned, %d released, %d lost; want one of each", a, r, l)
		}
	})
}

// What a commit leaves out as it is another member's is not for this one to commit, however often it tries.
func TestTheLastCommitOfAnotherMemberIsTriedOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		var held, joins, stops atomic.Bool
		var commits atomic.Int64
		release := make(chan struct{})
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
		cfg.CommitTimeout, cfg.Routes[0].CommitInterval = 5*time.Minute, time.Hour
		cfg.AfterPoll = func() { // holds the assign up, so that the client is another member and we do not know yet
			if held.Load() {
				<-release
			}
		}
		cfg.BeforeCommit = func() {
			if stops.Load() {
				commits.Add(1)
			}
		}
		e, stop := run(t, cfg)
		c.Until("the work", func() bool { return e.Stats().Finished == 20 })
		held.Store(true)
		c.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (answer kmsg.Response, err error, handled bool) {
			joins.Store(true)
			c.SleepControl(func() { time.Sleep(5 * time.Second) })
			return answer, err, handled
		})
		expelInSilence(c)
		c.Until("it joins", joins.Load)
		stops.Store(true)
		time.AfterFunc(2*time.Minute, func() { close(release) })
		if err := stop(); !errors.Is(err, engine.ErrLost) {
			t.Errorf("Run: %v, want ErrLost", err)
		}
		if n := commits.Load(); n != 1 {
			t.Errorf("%d last commits, want one", n)
		}
	})
}

// The client asks again at once for what it could not fetch. A partition that moves may do so for long: until its place is known.
func TestAPartitionThatMovesIsNotFetchedAgainAtOnce(t *testing.T) {
	for name, err := range map[string]*kerr.Error{"a right is gone": kerr.TopicAuthorizationFailed, "outside of the log": kerr.OffsetOutOfRange} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 20, 0)
				link := c.NewLink()
				cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
				cfg.Options = c.Options(link.Dial)
				e, stop := run(t, cfg)
				c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
				lookUp := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "g", Err: kerr.UnknownServerError, Count: -1})
				expelInSilence(c)
				c.Until("it moves", func() bool { return e.Snapshot().Partitions[0].State == "reclaiming" })
				var fetches atomic.Int64
				refused := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: err, Count: -1, When: func(kmsg.Request) bool {
					if fetches.Add(1) == 1000 {
						go link.Cut() // else no virtual time would ever pass
					}
					return true
				}})
				time.Sleep(10 * time.Second)
				if n := fetches.Load(); n == 0 || n > 30 {
					t.Errorf("%d fetches within 10 s", n)
				}
				refused.Remove()
				lookUp.Remove()
				c.Produce("orders", 0, 20, 10, 0)
				c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 30 })
				if err := stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

// While the partition's place is looked up the member may be taken for dead once more, and somebody else go on meanwhile.
func TestInvariant3APartitionOfAnotherMemberBeginsWhereTheGroupStandsNow(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		const elsewhere = 15 // committed by another member meanwhile
		var again, first atomic.Int64
		first.Store(-1)
		cfg := engineConfig(t, c, func(r *kgo.Record) engine.Outcome {
			if again.Load() > 0 {
				first.CompareAndSwap(-1, r.Offset)
			}
			return engine.Outcome{}
		})
		refused := c.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: "g", Err: kerr.CoordinatorLoadInProgress, Count: -1, When: func(req kmsg.Request) bool {
				return req.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Offset != elsewhere
			},
		})
		e, stop := run(t, cfg)
		c.Until("all is handled", func() bool { return e.Stats().Finished == 20 })
		lookUp := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Err: kerr.NotLeaderForPartition, Count: -1})
		expelInSilence(c)
		c.Until("it moves", func() bool { return e.Snapshot().Partitions[0].State == "reclaiming" })
		again.Store(1)
		time.Sleep(5 * time.Second) // it has read that there is no commit
		member := e.Snapshot().MemberID
		expelInSilence(c)
		c.Until("it is another member", func() bool { id := e.Snapshot().MemberID; return id != "" && id != member })
		time.Sleep(time.Minute) // and was told so: the group has waited for the old one
		commitAs(t, c, elsewhere)
		lookUp.Remove()
		c.Until("it goes on", func() bool { return first.Load() >= 0 })
		refused.Remove()
		if at := first.Load(); at != elsewhere {
			t.Errorf("invariant 3: it went on at %d, the group stood at %d", at, elsewhere)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// commitAs commits as the group's only member.
func commitAs(t *testing.T, c *bubble.Cluster, offset int64) {
	t.Helper()
	info := c.GroupInfo("g")
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = "g", info.Epoch
	for _, m := range info.Members {
		req.MemberID = m.MemberID
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "orders", c.TopicInfo("orders").TopicID, append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), c.Client())
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A partition whose place is not found stands still, and health says so, though its fetches are refused and rest.
func TestInvariant8APartitionWhosePlaceIsNotFoundIsTold(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		cfg := engineConfig(t, c, func(*kgo.Record) engine.Outcome { return engine.Outcome{} })
		cfg.StallAfter = time.Minute
		e, stop := run(t, cfg)
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		lookUp := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "g", Err: kerr.UnknownServerError, Count: -1})
		expelInSilence(c)
		c.Until("it moves", func() bool { return e.Snapshot().Partitions[0].State == "reclaiming" })
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "orders", Err: kerr.OffsetOutOfRange, Count: 1})
		time.Sleep(5 * time.Minute)
		if h := fmt.Sprint(e.Health().Problems); !strings.Contains(h, "its new position is not known") {
			t.Errorf("invariant 8: health says %s", h)
		}
		lookUp.Remove()
		c.Produce("orders", 0, 20, 10, 0)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 30 })
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
