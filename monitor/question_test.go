package monitor

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-go/sluice/internal/bubble"
)

// lame dials a cluster of which one broker, the second, goes over a way of its own.
func lame(c *bubble.Cluster, second func(ctx context.Context, network, address string) (net.Conn, error)) kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ":9093") {
			return second(ctx, network, address)
		}
		return c.Dial(ctx, network, address)
	})
}

// A broker that does not answer spoils what it alone knows, holds no round up, and is seen again when it answers.
func TestABrokerThatDoesNotAnswer(t *testing.T) {
	groups := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	run := func(t *testing.T, c *bubble.Cluster, m *Monitor, most time.Duration, die, live func()) {
		live = sync.OnceFunc(live)
		t.Cleanup(live) // what hangs ends before the monitor does
		for p := range int32(6) {
			if err := c.MoveTopicPartition("orders", p, p%3); err != nil {
				t.Fatal(err)
			}
			c.Produce("orders", p, 0, 10, 0)
		}
		for _, id := range groups {
			for p := range int32(6) {
				commitAt(t, c, id, "orders", p, 5)
			}
		}
		if s := rounds(c, m, 2); len(s.Problems) > 0 || len(s.Groups) != len(groups) {
			t.Fatalf("%d groups, problems %v", len(s.Groups), s.Problems)
		}
		die()
		rounds(c, m, 1)
		for range 10 {
			s := rounds(c, m, 1)
			if s.Took > most || len(s.Groups) != len(groups) {
				t.Fatalf("%d groups, and the round took %v: %v", len(s.Groups), s.Took, s.Problems)
			}
			topic, _ := s.Topic("orders")
			dark := 0
			for _, l := range topic.Partitions {
				if l.Leader == 1 {
					dark++
				}
				if l.Leader == 1 != (l.Err != nil) || (l.Err == nil) != (l.End == 10) {
					t.Errorf("%+v", l)
				}
			}
			if dark == 0 || dark == 6 {
				t.Fatalf("%d of 6 partitions are led by the broker", dark)
			}
			dark = 0
			for _, g := range s.Groups {
				if g.Coordinator == 1 {
					dark++
				}
				if g.Coordinator == 1 != (g.Err != nil) || (g.Err == nil) != g.AsOf.Equal(s.At) || len(g.Partitions) != 6 {
					t.Errorf("%+v", g)
				}
				for i, p := range g.Partitions {
					if g.Err == nil && (topic.Partitions[i].Leader == 1) != (p.Err != nil) || p.Err == nil && p.Lag != 5 {
						t.Errorf("%s: %+v", g.ID, p)
					}
				}
			}
			if dark == 0 || dark == len(groups) {
				t.Fatalf("%d of %d groups are coordinated by the broker", dark, len(groups))
			}
		}
		live()
		if s := rounds(c, m, 3); len(s.Problems) > 0 || !s.Complete.Equal(s.At) {
			t.Errorf("afterwards: %v", s.Problems)
		}
	}
	topics, ports := map[string]int32{"orders": 6}, kfake.Ports(9092, 9093, 9094)
	t.Run("a black hole", func(t *testing.T) {
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			link := c.NewLink()
			run(t, c, watch(t, c, lame(c, link.Dial)), 7*time.Second, link.Freeze, link.Thaw)
		}, ports)
	})
	t.Run("a black hole to new connections", func(t *testing.T) {
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			link := c.NewLink()
			run(t, c, watch(t, c, lame(c, link.Dial)), 7*time.Second, func() {
				link.Freeze()
				link.Drop()
			}, link.Thaw)
		}, ports)
	})
	t.Run("no broker at its address", func(t *testing.T) {
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			link := c.NewLink()
			var down atomic.Bool
			run(t, c, watch(t, c, lame(c, func(ctx context.Context, network, address string) (net.Conn, error) {
				if down.Load() {
					return nil, errors.New("connection refused")
				}
				return link.Dial(ctx, network, address)
			})), 2*time.Second, func() {
				down.Store(true)
				link.Drop()
			}, func() { down.Store(false) })
		}, ports)
	})
	t.Run("a dialer that hangs whatever its context says", func(t *testing.T) {
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			link := c.NewLink()
			run(t, c, watch(t, c, lame(c, func(ctx context.Context, network, address string) (net.Conn, error) {
				return link.Dial(context.WithoutCancel(ctx), network, address)
			})), 7*time.Second, func() {
				link.Freeze()
				link.Drop()
			}, link.Thaw)
		}, ports)
	})
}

// What a group may have is bounded: one that has more says so, and the others go on.
func TestAGroupWithAMillionPartitions(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		commitAt(t, c, "good", "orders", 0, 5)
		commitAt(t, c, "huge", "orders", 0, 5)
		m := watch(t, c)
		orders, _ := rounds(c, m, 2).Topic("orders")
		c.ControlKey(int16(kmsg.OffsetFetch), func(asked kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			req := asked.(*kmsg.OffsetFetchRequest)
			resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
			for _, g := range req.Groups {
				topic := kmsg.OffsetFetchResponseGroupTopic{Topic: "orders", TopicID: orders.ID}
				for p := range map[bool]int32{true: 1_000_000, false: 1}[g.Group == "huge"] {
					one := kmsg.NewOffsetFetchResponseGroupTopicPartition()
					one.Partition, one.Offset = p, 5
					topic.Partitions = append(topic.Partitions, one)
				}
				group := kmsg.NewOffsetFetchResponseGroup()
				group.Group, group.Topics = g.Group, append(group.Topics, topic)
				resp.Groups = append(resp.Groups, group)
			}
			return resp, nil, true
		})
		s := rounds(c, m, 2)
		if g := groupOf(t, s, "good"); g.Err != nil || g.Lag != 5 || !g.AsOf.Equal(s.At) {
			t.Errorf("%+v", g)
		}
		if g := groupOf(t, s, "huge"); g.Err == nil || len(g.Partitions) != 1 ||
			!strings.Contains(g.Err.Error(), "it has commits on 1000000 partitions: at most 100000 of a group are watched") {
			t.Errorf("%+v", g)
		}
	})
}

func TestATopicWithAMillionPartitions(t *testing.T) {
	t.Parallel()
	b := newBook()
	topic := kmsg.NewMetadataResponseTopic()
	topic.Partitions = make([]kmsg.MetadataResponseTopicPartition, 1_000_000)
	err := b.learn("huge", &topic)
	const want = "it has 1000000 partitions: at most 100000 of a topic are watched"
	if err == nil || !strings.Contains(err.Error(), want) || len(b.topics["huge"].logs) != 0 {
		t.Errorf("%v, %d logs", err, len(b.topics["huge"].logs))
	}
	if err := b.missing(place{"huge", 7}); !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

// Groups that a broker leaves out of its answer are not taken for groups without commits.
func TestABrokerThatCannotTellOfManyGroups(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		commitAt(t, c, "a", "orders", 0, 0)
		commitAt(t, c, "b", "orders", 0, 0)
		old := kversion.Stable()
		old.SetMaxKeyVersion(int16(kmsg.OffsetFetch), 7)
		s := rounds(c, watch(t, c, kgo.MaxVersions(old)), 2)
		if g := groupOf(t, s, "a"); !errors.Is(g.Err, errLeftOut) || len(s.Problems) != 1 || s.Problems[0].What != "commits" {
			t.Errorf("%+v, problems %v", g, s.Problems)
		}
	})
}
