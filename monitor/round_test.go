package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/bubble"
)

// watch runs a monitor of the cluster until the test ends.
func watch(t *testing.T, c *bubble.Cluster, opts ...kgo.Opt) *Monitor {
	t.Helper()
	m, err := New(Config{ClientOptions: append(c.Options(c.Dial), opts...), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := m.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return m
}

// rounds waits until that many more rounds have begun and ended, and returns what the last one saw.
func rounds(c *bubble.Cluster, m *Monitor, n int64) *Snapshot {
	until := m.Snapshot().Round + n
	if m.Snapshot().Round > 0 || n > 1 {
		until++ // one may be under way
	}
	c.Until(fmt.Sprintf("round %d has ended", until), func() bool { return m.Snapshot().Round >= until })
	return m.Snapshot()
}

func commitAt(t *testing.T, c *bubble.Cluster, group, topic string, partition int32, offset int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, offset, -1)
	if err := c.Admin().CommitAllOffsets(t.Context(), group, offsets); err != nil {
		t.Fatalf("commit of %s: %v", group, err)
	}
}

func groupOf(t *testing.T, s *Snapshot, id string) *Group {
	t.Helper()
	g, ok := s.Group(id)
	if !ok {
		t.Fatalf("no group %s among %d; problems %v", id, len(s.Groups), s.Problems)
	}
	return g
}

func partitionOf(t *testing.T, s *Snapshot, id, topic string, partition int32) *Partition {
	t.Helper()
	g := groupOf(t, s, id)
	for i := range g.Partitions {
		if p := &g.Partitions[i]; p.Topic == topic && p.Partition == partition {
			return p
		}
	}
	t.Fatalf("group %s has no row of %s[%d]: %+v", id, topic, partition, g)
	return nil
}

// consume runs a consumer until the test ends.
func consume(t *testing.T, c *bubble.Cluster, opts ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(append(c.Options(c.Dial), opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		cl.Close()
	})
}

// Groups of all protocols are seen, with their members, and what they lag is what it is.
func TestGroupsOfEveryProtocol(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		c.SetGroupConfigs("shared", map[string]string{"share.auto.offset.reset": "earliest"})
		reset := kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
		topic := kgo.ConsumeTopics("orders")
		consume(t, c, topic, reset, kgo.ConsumerGroup("old"), kgo.ClientID("ada"), kgo.InstanceID("one"))
		consume(t, c, topic, reset, kgo.ConsumerGroup("new"), kgo.ServerSideBalancer())
		consume(t, c, topic, kgo.ShareGroup("shared"))
		commitAt(t, c, "alone", "orders", 1, 3)
		c.Produce("orders", 0, 0, 10, 0)
		c.Produce("orders", 1, 0, 10, 0)
		m := watch(t, c)
		s := rounds(c, m, 6)
		if len(s.Problems) > 0 || s.Complete.IsZero() || len(s.Groups) != 4 {
			t.Fatalf("%d groups, problems %v", len(s.Groups), s.Problems)
		}
		for id, want := range map[string]string{"old": "classic Stable", "new": "consumer Stable", "shared": "share Stable", "alone": "classic Empty"} {
			g := groupOf(t, s, id)
			if got := g.Type + " " + g.State; got != want || !g.Described || g.Err != nil || len(g.Members) != map[bool]int{true: 0, false: 1}[id == "alone"] {
				t.Errorf("%s is %s, want %s: %+v", id, got, want, g)
			}
			if id == "alone" {
				continue
			}
			if len(g.Partitions) != 2 || g.Status != OK || g.Members[0].Partitions != 2 {
				t.Errorf("%s: %+v", id, g)
			}
			for _, p := range g.Partitions {
				if p.Err != nil || p.Owner != 0 || p.Lag != 0 || p.Commit != 10 || p.Start != 0 || p.End != 10 || !p.TimeLag.Known || p.TimeLag.Behind != 0 {
					t.Errorf("%s: %+v", id, p)
				}
			}
		}
		if m := groupOf(t, s, "old").Members[0]; m.ClientID != "ada" || m.InstanceID != "one" {
			t.Errorf("%+v", m)
		}
		p := partitionOf(t, s, "alone", "orders", 1)
		if records, share, ok := p.Margin(); p.Lag != 7 || p.Owner != -1 || records != 3 || share != 0.7 || !ok {
			t.Errorf("%+v, margin %d %v %v", p, records, share, ok)
		}
		if topic, ok := s.Topic("orders"); !ok || len(topic.Partitions) != 2 || topic.Partitions[1].End != 10 || topic.Partitions[1].Leader != 0 {
			t.Errorf("%+v", topic)
		}
	})
}

// The order of the questions is what keeps lags from being negative, and losses from being false.
func TestCommitsAreAskedForBetweenStartsAndEnds(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		commitAt(t, c, "g", "orders", 0, 0)
		var mu sync.Mutex
		var order []string
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets, kmsg.OffsetFetch}, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			what := "commits"
			if list, ok := req.(*kmsg.ListOffsetsRequest); ok {
				what = map[int64]string{-2: "starts", -1: "ends"}[list.Topics[0].Partitions[0].Timestamp]
			}
			if n := len(order); n == 0 || order[n-1] != what {
				order = append(order, what)
			}
			return true
		}})
		rounds(c, watch(t, c), 3)
		mu.Lock()
		defer mu.Unlock()
		for i, what := range order {
			if want := []string{"starts", "commits", "ends"}[i%3]; what != want {
				t.Fatalf("asked for %s", strings.Join(order, ", "))
			}
		}
	})
}

// One bad group, or one bad partition, spoils its own rows, whatever is wrong with it.
func TestWhatIsBadSpoilsItsOwnRows(t *testing.T) {
	offsets, commits, members := kmsg.ListOffsets, kmsg.OffsetFetch, kmsg.DescribeGroups
	for name, test := range map[string]struct {
		fault kfake.Fault
		what  string // of the problem
		check func(t *testing.T, g *Group)
	}{
		"a group that may not be seen": {kfake.Fault{Keys: []kmsg.Key{commits}, Group: "bad", Err: kerr.GroupAuthorizationFailed}, "commits", keepsItsRows},
		"a group that is loading":      {kfake.Fault{Keys: []kmsg.Key{commits}, Group: "bad", Err: kerr.CoordinatorLoadInProgress}, "commits", keepsItsRows},
		"a group whose coordinator nobody knows": {
			kfake.Fault{Keys: []kmsg.Key{commits}, Group: "bad", Err: kerr.NotCoordinator}, "commits", keepsItsRows,
		},
		"members that may not be seen": {kfake.Fault{Keys: []kmsg.Key{members}, Group: "bad", Err: kerr.GroupAuthorizationFailed}, "members", func(t *testing.T, g *Group) {
			if g.Described || g.Partitions[0].Lag != 5 || !strings.Contains(g.Err.Error(), "its members are not known") {
				t.Errorf("%+v", g)
			}
		}},
		"a partition without an answer": {kfake.Fault{Keys: []kmsg.Key{offsets}, Topic: "bad", Err: kerr.NotLeaderForPartition}, "log ends", hasABadRow},
		"a topic that may not be seen":  {kfake.Fault{Keys: []kmsg.Key{offsets}, Topic: "bad", Err: kerr.TopicAuthorizationFailed}, "log ends", hasABadRow},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2, "bad": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				c.Produce("bad", 0, 0, 10, 0)
				for i := range 20 {
					commitAt(t, c, fmt.Sprintf("good%02d", i), "orders", 0, 5)
				}
				commitAt(t, c, "bad", "orders", 0, 5)
				commitAt(t, c, "bad", "bad", 0, 5)
				m := watch(t, c)
				rounds(c, m, 2)
				test.fault.Count = -1
				fault := c.Fault(test.fault)
				s := rounds(c, m, 2)
				if !slices.ContainsFunc(s.Problems, func(p Problem) bool { return p.What == test.what && errors.Is(p.Err, test.fault.Err) }) {
					t.Errorf("problems %v, want one of %s", s.Problems, test.what)
				}
				if s.Took > m.cfg.Timeout || s.At.Sub(s.Complete) < 10*time.Second {
					t.Errorf("the round took %v, and the last complete one was %v before", s.Took, s.At.Sub(s.Complete))
				}
				for i := range 20 {
					g := groupOf(t, s, fmt.Sprintf("good%02d", i))
					if g.Err != nil || !g.AsOf.Equal(s.At) || g.Partitions[0].Lag != 5 || g.Partitions[0].Err != nil || !g.Described {
						t.Errorf("%+v", g)
					}
				}
				bad := groupOf(t, s, "bad")
				test.check(t, bad)
				fault.Remove()
				if s = rounds(c, m, 2); len(s.Problems) > 0 || groupOf(t, s, "bad").Err != nil || groupOf(t, s, "bad").Lag != 10 {
					t.Errorf("afterwards: problems %v, %+v", s.Problems, groupOf(t, s, "bad"))
				}
			})
		})
	}
}

func keepsItsRows(t *testing.T, g *Group) {
	t.Helper()
	if g.Err == nil || !strings.Contains(g.Err.Error(), "its commits are not known") || len(g.Partitions) != 2 || g.Lag != 10 || time.Since(g.AsOf) < 15*time.Second {
		t.Errorf("%+v", g)
	}
}

func hasABadRow(t *testing.T, g *Group) {
	t.Helper()
	if bad, good := g.Partitions[0], g.Partitions[1]; bad.Topic != "bad" || bad.Err == nil || !strings.Contains(bad.Err.Error(), "log ends of bad[0]") ||
		bad.Lag != 5 || bad.Status != OK || bad.End != 10 || good.Err != nil || good.Lag != 5 || g.Err != nil {
		t.Errorf("%+v", g)
	}
}

// The groups of a broker that does not list them stay as they were, and say so.
func TestABrokerThatListsNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		for i := range 30 {
			commitAt(t, c, fmt.Sprintf("g%02d", i), "orders", 0, 0)
		}
		m := watch(t, c)
		before := rounds(c, m, 2)
		fault := c.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.ListGroups}, Nodes: []int32{1}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: -1,
		})
		s := rounds(c, m, 2)
		unlisted := 0
		for _, g := range s.Groups {
			if g.Coordinator != 1 {
				if g.Err != nil || !g.AsOf.Equal(s.At) {
					t.Errorf("%+v", g)
				}
				continue
			}
			unlisted++
			if g.Err == nil || !strings.Contains(g.Err.Error(), "does not list its groups: broker 1: ") || g.AsOf.Equal(s.At) || len(g.Partitions) != 1 {
				t.Errorf("%+v", g)
			}
		}
		if len(s.Groups) != 30 || len(before.Groups) != 30 || unlisted == 0 || unlisted == 30 || len(s.Problems) != 1 || s.Problems[0].What != "groups" {
			t.Errorf("%d groups, %d of broker 1, problems %v", len(s.Groups), unlisted, s.Problems)
		}
		fault.Remove()
		if s = rounds(c, m, 2); len(s.Groups) != 30 || len(s.Problems) > 0 {
			t.Errorf("afterwards: %d groups, problems %v", len(s.Groups), s.Problems)
		}
	}, kfake.Ports(9092, 9093, 9094))
}

// A monitor outlives its cluster, says that it is blind, and what it saw last.
func TestAMonitorOutlivesItsBrokers(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 5)
		link := c.NewLink()
		m := watch(t, c, kgo.Dialer(link.Dial))
		before := rounds(c, m, 2)
		link.Freeze()
		s := rounds(c, m, 3)
		g := groupOf(t, s, "g")
		if len(s.Problems) != 1 || s.Problems[0].What != "metadata" || g.Err == nil || g.Lag != 5 || g.AsOf.Before(before.At) ||
			s.At.Sub(s.Complete) < 20*time.Second {
			t.Errorf("problems %v, complete %v ago, %+v", s.Problems, s.At.Sub(s.Complete), g)
		}
		link.Thaw()
		link.Drop()
		if s = rounds(c, m, 3); len(s.Problems) > 0 || groupOf(t, s, "g").Err != nil || !s.Complete.Equal(s.At) {
			t.Errorf("afterwards: problems %v, %+v", s.Problems, groupOf(t, s, "g"))
		}
	})
}

// A cluster that is not there when the monitor begins is seen when it comes.
func TestAMonitorBeginsBeforeItsCluster(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		commitAt(t, c, "g", "orders", 0, 0)
		link := c.NewLink()
		link.Freeze()
		m := watch(t, c, kgo.Dialer(link.Dial))
		if s := rounds(c, m, 2); len(s.Groups) != 0 || len(s.Problems) != 1 || !s.Complete.IsZero() {
			t.Errorf("%+v", s)
		}
		link.Thaw()
		if s := rounds(c, m, 3); len(s.Problems) > 0 || len(s.Groups) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A real group that stops, and one that polls and commits nothing more, are told in time; one that goes on is not.
func TestRealGroupsAreJudged(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				c.Produce("orders", int32(i%2), i, 1, 0)
				time.Sleep(10 * time.Second) // virtual
			}
		})
		member := func(group string, commits func() bool) (leave func()) {
			cl, err := kgo.NewClient(append(c.Options(c.Dial), kgo.ConsumeTopics("orders"), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for ctx.Err() == nil {
					cl.PollFetches(ctx)
					if commits() {
						_ = cl.CommitUncommittedOffsets(ctx) // as the context ends
					}
				}
			}()
			return func() {
				cancel()
				<-done
				cl.Close()
			}
		}
		began := time.Now()
		always := func() bool { return true }
		defer member("fine", always)()
		leave := member("stops", always)
		defer member("stuck", func() bool { return time.Since(began) < 2*time.Hour })()
		m := watch(t, c)
		expect := func(stops, stuck Status) {
			t.Helper()
			s := m.Snapshot()
			for id, want := range map[string]Status{"fine": OK, "stops": stops, "stuck": stuck} {
				if g := groupOf(t, s, id); g.Status != want || len(g.Partitions) != 2 || g.Err != nil {
					t.Errorf("after %v %s is %v, want %v: %+v", time.Since(began), id, g.Status, want, g)
				}
			}
		}
		time.Sleep(2 * time.Hour) // virtual
		expect(OK, OK)
		leave()
		time.Sleep(9 * time.Minute)
		expect(OK, OK)
		time.Sleep(3 * time.Minute)
		expect(Stop, Stall)
	})
}

// What was served stays as it was.
func TestASnapshotNeverChanges(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		consume(t, c, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("reads"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		for i := range 20 {
			commitAt(t, c, fmt.Sprintf("g%d", i), "orders", int32(i%3), 1)
		}
		m := watch(t, c)
		var kept []*Snapshot
		var was []string
		for i := range 10 {
			s := rounds(c, m, 1)
			kept, was = append(kept, s), append(was, written(t, s))
			c.Produce("orders", int32(i%3), i*10, 10, 0)
			if i == 5 {
				c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "g3", Count: 20})
			}
		}
		for i, s := range kept {
			if written(t, s) != was[i] {
				t.Errorf("snapshot %d has changed", i)
			}
		}
	})
}

func written(t *testing.T, s *Snapshot) string {
	t.Helper()
	text, err := json.Marshal(s) //nolint:musttag // the names do not matter here
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Nothing is left of a group that was deleted, nor of a topic that was.
func TestWhatIsDeletedGoes(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "gone": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 1)
		commitAt(t, c, "stays", "orders", 0, 1)
		m := watch(t, c)
		rounds(c, m, 2)
		if _, err := c.Admin().DeleteGroups(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Admin().DeleteTopics(t.Context(), "gone"); err != nil {
			t.Fatal(err)
		}
		s := rounds(c, m, 2)
		if _, there := s.Group("g"); there || len(s.Groups) != 1 || len(m.book.groups) != 1 {
			t.Errorf("groups %+v", s.Groups)
		}
		if _, there := s.Topic("gone"); there || len(s.Problems) > 0 {
			t.Errorf("topics %+v, problems %v", s.Topics, s.Problems)
		}
		time.Sleep(11 * time.Minute) // virtual
		rounds(c, m, 1)
		if m.book.topics["gone"] != nil || len(m.book.names) != len(m.Snapshot().Topics) {
			t.Errorf("%d topics, and their names %v", len(m.book.topics), m.book.names)
		}
	})
}

// A topic that is made again begins anew, and a commit of the time before is told as what it is.
func TestATopicMadeAgain(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		commitAt(t, c, "g", "orders", 0, 50)
		m := watch(t, c)
		time.Sleep(15 * time.Minute) // virtual
		admin := c.Admin()
		if _, err := admin.DeleteTopics(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		rounds(c, m, 1)
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
		c.Reconnect()
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 50)
		s := rounds(c, m, 2)
		if p := partitionOf(t, s, "g", "orders", 0); !errors.Is(p.Err, ErrBeyondEnd) || !strings.Contains(p.Err.Error(), "commit 50 of group g is beyond the end of orders[0], 10") || p.Lag != 0 {
			t.Errorf("%+v", p)
		}
		commitAt(t, c, "g", "orders", 0, 5)
		s = rounds(c, m, 2)
		if p := partitionOf(t, s, "g", "orders", 0); p.Err != nil || p.Lag != 5 || p.TimeLag.Behind > time.Minute || p.TimeLag.AtLeast {
			t.Errorf("%+v", p)
		}
	})
}

// So does one that is made again between two rounds, and is longer than it was.
func TestATopicMadeAgainUnseen(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		commitAt(t, c, "g", "orders", 0, 50)
		m := watch(t, c)
		time.Sleep(15*time.Minute + time.Second) // virtual: between two rounds
		before, admin := m.Snapshot(), c.Admin()
		if _, err := admin.DeleteTopics(t.Context(), "orders"); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
		c.Reconnect()
		c.Produce("orders", 0, 0, 150, 0)
		commitAt(t, c, "g", "orders", 0, 5)
		if n := m.Snapshot().Round; n != before.Round {
			t.Fatalf("round %d after round %d", n, before.Round)
		}
		s := rounds(c, m, 2)
		if p := partitionOf(t, s, "g", "orders", 0); p.Err != nil || p.Lag != 145 || p.Status != OK || p.TimeLag.Behind > time.Minute || p.Watched > 0.1 {
			t.Errorf("%+v", p)
		}
	})
}

// Records that were deleted before a group had handled them are counted, once.
func TestRecordsLostToRetention(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 100, 0)
		commitAt(t, c, "g", "orders", 0, 10)
		m := watch(t, c)
		rounds(c, m, 1)
		remove := func(before int64) {
			var offsets kadm.Offsets
			offsets.AddOffset("orders", 0, before, -1)
			if _, err := c.Admin().DeleteRecords(t.Context(), offsets); err != nil {
				t.Fatal(err)
			}
		}
		for _, before := range []int64{30, 60} {
			remove(before)
			s := rounds(c, m, 3)
			if p := partitionOf(t, s, "g", "orders", 0); p.Gone != before-10 || p.Lost != before-10 || p.Lag != 100-before || p.Start != before {
				t.Errorf("%+v", p)
			}
		}
		commitAt(t, c, "g", "orders", 0, 90)
		if p := partitionOf(t, rounds(c, m, 2), "g", "orders", 0); p.Gone != 0 || p.Lost != 50 {
			t.Errorf("%+v", p)
		}
	})
}

// The time lag of a group that lagged before the monitor began is known soon, from the log itself.
func TestTimeLagOfTheTimeBefore(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		for i := range 30 {
			c.Produce("orders", 0, i*10, 10, 0)
			time.Sleep(time.Minute) // virtual
		}
		commitAt(t, c, "g", "orders", 0, 105) // written in the eleventh minute
		began := time.Now()
		time.Sleep(3 * time.Hour)
		m := watch(t, c)
		s := rounds(c, m, 4)
		want := s.At.Sub(began) + 20*time.Minute
		if p := partitionOf(t, s, "g", "orders", 0); !p.TimeLag.Known || p.TimeLag.AtLeast || (p.TimeLag.Behind-want).Abs() > time.Second {
			t.Errorf("%+v, but it is %v", p.TimeLag, want)
		}
	})
}

// transactions writes transactions of so many records, with a producer that is closed when the test ends.
func transactions(t *testing.T, c *bubble.Cluster) (transaction func(n int, end kgo.TransactionEndTry), cl *kgo.Client) {
	t.Helper()
	cl, err := kgo.NewClient(append(c.Options(c.Dial), kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("orders"),
		kgo.TransactionTimeout(15*time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return func(n int, end kgo.TransactionEndTry) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := cl.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}, cl
}

// A group that has read all but markers and aborted records has caught up; one that has not, has not.
func TestMarkersAreNoLag(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		transaction, cl := transactions(t, c)
		transaction(10, kgo.TryCommit) // 0 to 9, and a marker
		transaction(20, kgo.TryAbort)  // 11 to 30, and a marker
		commitAt(t, c, "done", "orders", 0, 10)
		commitAt(t, c, "behind", "orders", 0, 9)
		m := watch(t, c)
		time.Sleep(3 * time.Hour) // virtual: both stand
		s := m.Snapshot()
		if p := partitionOf(t, s, "done", "orders", 0); p.Lag != 22 || p.Readable != 10 || p.Status != OK || p.TimeLag.Behind != 0 || !p.TimeLag.Known {
			t.Errorf("%+v", p)
		}
		if p := partitionOf(t, s, "behind", "orders", 0); p.Lag != 23 || p.Status != Stop || (p.TimeLag.Behind-3*time.Hour).Abs() > time.Minute {
			t.Errorf("%+v", p)
		}
		transaction(1, kgo.TryCommit)
		if p := partitionOf(t, rounds(c, m, 2), "done", "orders", 0); p.Readable != 34 || p.TimeLag.Behind == 0 {
			t.Errorf("%+v", p)
		}
		if err := cl.BeginTransaction(); err != nil { // it hangs
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
		commitAt(t, c, "done", "orders", 0, 34)
		if p := partitionOf(t, rounds(c, m, 2), "done", "orders", 0); p.Lag != 1 || p.Stable != 34 || p.Readable != 34 || p.Status != OK || p.TimeLag.Behind != 0 {
			t.Errorf("%+v", p)
		}
		if topic, _ := rounds(c, m, 6).Topic("orders"); time.Since(topic.Partitions[0].OpenSince) < time.Minute {
			t.Errorf("%+v", topic)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		if topic, _ := rounds(c, m, 1).Topic("orders"); !topic.Partitions[0].OpenSince.IsZero() {
			t.Errorf("%+v", topic)
		}
	})
}

// A round costs as many requests as there are brokers and portions, not as there are groups and partitions.
func TestARoundIsAFewRequests(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 30}, func(t *testing.T, c *bubble.Cluster) {
		const groups = 1_200
		admin := c.Admin()
		for i := range groups {
			offsets := make(kadm.Offsets)
			for p := range int32(10) {
				offsets.AddOffset("orders", p, 0, -1)
			}
			if err := admin.CommitAllOffsets(t.Context(), fmt.Sprintf("g%04d", i), offsets); err != nil {
				t.Fatal(err)
			}
		}
		m := watch(t, c)
		rounds(c, m, 2)
		asked := c.Fault(kfake.Fault{Observe: true, Count: -1})
		before := m.Snapshot().Round
		s := rounds(c, m, 4)
		if n, most := asked.Hits(), int(s.Round-before+1)*20; n > most || len(s.Groups) != groups || len(s.Groups[7].Partitions) != 10 {
			t.Errorf("%d requests in %d rounds, %d groups", n, s.Round-before, len(s.Groups))
		} else {
			t.Logf("%d requests in %d rounds", n, s.Round-before)
		}
	}, kfake.Ports(9092, 9093, 9094))
}
