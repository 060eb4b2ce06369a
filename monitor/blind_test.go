package monitor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/bubble"
)

// instead has a broker answer that to requests of a kind, as long as it is not nil.
func instead(c *bubble.Cluster, key kmsg.Key) *atomic.Pointer[func() kmsg.Response] {
	var answer atomic.Pointer[func() kmsg.Response]
	c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		fresh := answer.Load()
		if fresh == nil {
			return nil, nil, false //nolint:nilnil // not handled
		}
		resp := (*fresh)()
		resp.SetVersion(req.GetVersion())
		return resp, nil, true
	})
	return &answer
}

func put(answer *atomic.Pointer[func() kmsg.Response], resp func() kmsg.Response) (end func()) {
	answer.Store(&resp)
	return func() { answer.Store(nil) }
}

// stopped is a group that lags, and is known to have stopped.
func stopped(t *testing.T, m *Monitor, id, topic string) {
	t.Helper()
	time.Sleep(2 * time.Hour) // virtual
	if g := groupOf(t, m.Snapshot(), id); g.Status != Stop || g.Lag != 5 || g.Err != nil || g.Partitions[0].Topic != topic {
		t.Fatalf("%+v", g)
	}
}

// While a group's coordinator changes, the old one lists it no more, and the new one not yet: it is not deleted for that.
func TestAGroupThatNobodyListsForAWhile(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 5)
		commitAt(t, c, "deleted", "orders", 0, 5)
		m := watch(t, c)
		stopped(t, m, "g", "orders")
		list := instead(c, kmsg.ListGroups)
		move := func() (end func()) {
			listed := put(list, func() kmsg.Response { return kmsg.NewPtrListGroupsResponse() })
			moved := c.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.OffsetFetch, kmsg.DescribeGroups}, Group: "g", Err: kerr.NotCoordinator, Count: -1,
			})
			return func() {
				moved.Remove()
				listed()
			}
		}
		end := move()
		if _, err := c.Admin().DeleteGroups(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		s := rounds(c, m, 3)
		if g := groupOf(t, s, "g"); g.Err == nil || !strings.Contains(g.Err.Error(), "no broker lists the group") || g.Status != Stop || g.Lag != 5 ||
			g.AsOf.Equal(s.At) || len(s.Problems) == 0 {
			t.Errorf("%+v, problems %v", g, s.Problems)
		}
		if _, there := s.Group("deleted"); there {
			t.Error("its coordinator says that it is not there")
		}
		end()
		if s = rounds(c, m, 2); groupOf(t, s, "g").Err != nil || groupOf(t, s, "g").Status != Stop || len(s.Problems) > 0 {
			t.Errorf("afterwards: problems %v, %+v", s.Problems, groupOf(t, s, "g"))
		}
		end = move()
		time.Sleep(9 * time.Minute) // virtual
		groupOf(t, m.Snapshot(), "g")
		time.Sleep(2 * time.Minute)
		if s = rounds(c, m, 1); len(s.Groups) > 0 || len(m.book.groups) > 0 || len(s.Problems) > 0 {
			t.Errorf("nobody has listed it for a window: problems %v, %+v", s.Problems, s.Groups)
		}
		end()
	})
}

// A row whose partition cannot be seen keeps what was known, and its alarm.
func TestAPartitionThatCannotBeSeenKeepsItsAlarm(t *testing.T) {
	fault := func(f kfake.Fault) func(*bubble.Cluster, *Monitor) func() {
		return func(c *bubble.Cluster, _ *Monitor) (end func()) {
			f.Count = -1
			return c.Fault(f).Remove
		}
	}
	for name, blind := range map[string]func(*bubble.Cluster, *Monitor) (end func()){
		"a log without an answer":      fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "orders", Err: kerr.NotLeaderForPartition}),
		"a topic that may not be seen": fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "orders", Err: kerr.TopicAuthorizationFailed}),
		"a commit that is not told": func(c *bubble.Cluster, m *Monitor) func() {
			topic, _ := m.Snapshot().Topic("orders")
			return put(instead(c, kmsg.OffsetFetch), func() kmsg.Response {
				resp := kmsg.NewPtrOffsetFetchResponse()
				one := kmsg.OffsetFetchResponseGroupTopicPartition{Offset: -1, ErrorCode: kerr.TopicAuthorizationFailed.Code}
				resp.Groups = append(resp.Groups, kmsg.OffsetFetchResponseGroup{Group: "g", Topics: []kmsg.OffsetFetchResponseGroupTopic{{
					Topic: "orders", TopicID: topic.ID, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{one},
				}}})
				return resp
			})
		},
		"metadata without the topic": func(c *bubble.Cluster, m *Monitor) func() {
			brokers := m.Snapshot().Cluster.Brokers
			return put(instead(c, kmsg.Metadata), func() kmsg.Response {
				empty := kmsg.NewPtrMetadataResponse()
				for _, b := range brokers {
					one := kmsg.NewMetadataResponseBroker()
					one.NodeID, one.Host, one.Port = b.ID, b.Host, b.Port
					empty.Brokers = append(empty.Brokers, one)
				}
				return empty
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				c.Produce("orders", 0, 0, 10, 0)
				commitAt(t, c, "g", "orders", 0, 5)
				m := watch(t, c)
				stopped(t, m, "g", "orders")
				end := blind(c, m)
				time.Sleep(8 * time.Minute) // virtual
				s := m.Snapshot()
				if g, p := groupOf(t, s, "g"), partitionOf(t, s, "g", "orders", 0); g.Status != Stop || g.Lag != 5 || g.Err != nil || p.Err == nil ||
					p.Lag != 5 || p.Commit != 5 || p.End != 10 || p.Owner != -1 || p.Status != Stop || p.Watched != 1 {
					t.Errorf("%+v", g)
				}
				end()
				s = rounds(c, m, 2)
				if p := partitionOf(t, s, "g", "orders", 0); p.Status != Stop || p.Err != nil || p.Watched != 1 || p.Stands > 2*time.Hour+2*time.Minute {
					t.Errorf("afterwards: problems %v, %+v", s.Problems, p)
				}
			})
		})
	}
}

// What was not seen is not held against a group: it may have been the cluster that stood still.
func TestTimeThatWasNotSeenDoesNotCount(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 10)
		link := c.NewLink()
		m := watch(t, c, kgo.Dialer(link.Dial))
		time.Sleep(2 * time.Hour) // virtual
		c.Produce("orders", 0, 10, 5, 0)
		rounds(c, m, 3)
		link.Freeze()
		time.Sleep(30 * time.Minute)
		link.Thaw()
		link.Drop()
		s := rounds(c, m, 3)
		if p := partitionOf(t, s, "g", "orders", 0); p.Err != nil || p.Status != OK || p.Stands == 0 || p.Stands > 3*time.Minute || p.TimeLag.Behind < 30*time.Minute {
			t.Errorf("problems %v, %+v", s.Problems, p)
		}
		time.Sleep(10 * time.Minute)
		if p := partitionOf(t, m.Snapshot(), "g", "orders", 0); p.Status != Stop {
			t.Errorf("%+v", p)
		}
	})
}

// The oldest unread record of a group that stands at a marker is the one after it.
func TestTimeLagBeginsAfterMarkers(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		transaction, _ := transactions(t, c)
		transaction(10, kgo.TryCommit) // 0 to 9, and a marker
		commitAt(t, c, "g", "orders", 0, 10)
		m := watch(t, c)
		time.Sleep(24 * time.Hour) // virtual
		transaction(10, kgo.TryCommit)
		for range 6 {
			s := rounds(c, m, 1)
			if p := partitionOf(t, s, "g", "orders", 0); p.Readable != 22 || !p.TimeLag.Known || p.TimeLag.Behind > 3*time.Minute {
				t.Errorf("%+v", p)
			}
		}
		commitAt(t, c, "other", "orders", 0, 21)
		rounds(c, m, 3)
		time.Sleep(3 * time.Hour)
		transaction(10, kgo.TryCommit)
		rounds(c, m, 3)
		s := m.Snapshot()
		if p := partitionOf(t, s, "g", "orders", 0); p.TimeLag.Behind < 3*time.Hour || p.TimeLag.Behind > 4*time.Hour {
			t.Errorf("%+v", p)
		}
		if p := partitionOf(t, s, "other", "orders", 0); p.TimeLag.Behind > 3*time.Minute || p.TimeLag.Behind == 0 {
			t.Errorf("%+v", p)
		}
	})
}

// A look into a log's tail that fails is made again.
func TestATailIsLookedAtAgain(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		"of one log": {Topic: "orders", Err: kerr.NotLeaderForPartition},
		"of all":     {TopLevel: true, Err: kerr.UnknownServerError},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				transaction, _ := transactions(t, c)
				transaction(10, kgo.TryCommit) // 0 to 9, and a marker
				commitAt(t, c, "g", "orders", 0, 10)
				fault.Keys, fault.Count = []kmsg.Key{kmsg.Fetch}, 1
				failed := c.Fault(fault)
				s := rounds(c, watch(t, c), 4)
				if p := partitionOf(t, s, "g", "orders", 0); p.Readable != 10 || p.TimeLag.Behind != 0 || failed.Hits() != 1 {
					t.Errorf("%d failed: %+v", failed.Hits(), p)
				}
			})
		})
	}
}

// A group that a broker cannot tell of, whoever is asked for together with it, spoils its own rows.
func TestAGroupThatFailsItsRequest(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "bad", "orders", 0, 5)
		for i := range 60 {
			commitAt(t, c, fmt.Sprintf("good%02d", i), "orders", 0, 5)
		}
		m := watch(t, c)
		rounds(c, m, 2)
		for _, key := range []kmsg.Key{kmsg.OffsetFetch, kmsg.DescribeGroups} {
			c.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				bad := false
				switch req := req.(type) {
				case *kmsg.OffsetFetchRequest:
					bad = slices.ContainsFunc(req.Groups, func(g kmsg.OffsetFetchRequestGroup) bool { return g.Group == "bad" })
				case *kmsg.DescribeGroupsRequest:
					bad = slices.Contains(req.Groups, "bad")
				}
				if bad {
					return nil, errors.New("the broker gives up"), true
				}
				return nil, nil, false //nolint:nilnil // not handled
			})
		}
		s := rounds(c, m, 2)
		for i := range s.Groups {
			if g := &s.Groups[i]; (g.Err != nil) != (g.ID == "bad") || (g.ID == "bad") == g.AsOf.Equal(s.At) || g.Lag != 5 || !g.Described {
				t.Errorf("%+v", g)
			}
		}
		if len(s.Groups) != 61 || s.Took > 5*time.Second || len(s.Problems) == 0 {
			t.Errorf("%d groups, %v, problems %v", len(s.Groups), s.Took, s.Problems)
		}
	})
}

// Of a group without a commit nothing is known, as long as nothing more is written.
func TestAGroupWithoutACommit(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "empty": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		consume(t, c, kgo.ConsumeTopics("orders", "empty"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.DisableAutoCommit())
		m := watch(t, c)
		s := rounds(c, m, 6)
		if p := partitionOf(t, s, "g", "orders", 0); p.Status != Unknown || p.Commit != -1 || p.Owner != 0 || p.Err != nil {
			t.Errorf("%+v", p)
		}
		if p := partitionOf(t, s, "g", "empty", 0); p.Status != OK || p.Commit != -1 {
			t.Errorf("nothing to read: %+v", p)
		}
		c.Produce("orders", 0, 10, 10, 0)
		time.Sleep(15 * time.Minute) // virtual
		if p := partitionOf(t, m.Snapshot(), "g", "orders", 0); p.Status != Stall {
			t.Errorf("%+v", p)
		}
	})
}

// Halving ends: a broker that fails whatever it is asked is not asked a thousand times.
func TestHalvingIsBounded(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		for i := range 200 {
			commitAt(t, c, fmt.Sprintf("g%03d", i), "orders", 0, 0)
		}
		m := watch(t, c)
		rounds(c, m, 2)
		var asked atomic.Int64
		c.ControlKey(int16(kmsg.OffsetFetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			asked.Add(1)
			return nil, errors.New("the broker gives up"), true
		})
		before := m.Snapshot().Round
		s := rounds(c, m, 2)
		const tries = 3
		if n, most := asked.Load(), (s.Round-before+1)*tries*(1+2*halvesARound); n > most || n < 2*halvesARound || s.Took > 15*time.Second || len(s.Groups) != 200 {
			t.Errorf("%d requests, want %d at most; %d groups, and the round took %v", n, most, len(s.Groups), s.Took)
		}
		for i := range s.Groups {
			if s.Groups[i].Err == nil {
				t.Errorf("%+v", s.Groups[i])
			}
		}
	})
}

// A group whose commits were never seen does not say that they were seen just now.
func TestAGroupThatWasNeverSeen(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "g", "orders", 0, 5)
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: "g", Err: kerr.CoordinatorLoadInProgress, Count: -1})
		m := watch(t, c)
		s := rounds(c, m, 2)
		if g := groupOf(t, s, "g"); g.Err == nil || !g.AsOf.IsZero() || len(g.Partitions) != 0 {
			t.Errorf("%+v", g)
		}
		fault.Remove()
		if s = rounds(c, m, 2); !groupOf(t, s, "g").AsOf.Equal(s.At) || groupOf(t, s, "g").Lag != 5 {
			t.Errorf("%+v", groupOf(t, s, "g"))
		}
	})
}
