package sluice_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func consumerConfig(t testing.TB, c *bubble.Cluster, link *bubble.Link) sluice.Config {
	cfg := configFor(t, c, link)
	cfg.GroupProtocol = sluice.ConsumerProtocol
	return cfg
}

// What a broker lacks is told with the way out, and before anything is joined.
func TestABrokerThatCannotServeTheConsumerProtocolIsRefused(t *testing.T) {
	refuse := func(c *bubble.Cluster) {
		c.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			return resp, nil, true
		})
	}
	for name, test := range map[string]struct {
		spoil func(*testing.T, *bubble.Cluster)
		opts  []kfake.Opt
		says  string
	}{
		"an old broker": {func(*testing.T, *bubble.Cluster) {}, []kfake.Opt{kfake.MaxVersions(kversion.V3_6_0())}, "does not speak it"},
		"a feature that is off": {func(t *testing.T, c *bubble.Cluster) {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			f.Feature, f.MaxVersionLevel, f.AllowDowngrade, f.UpgradeType = "group.version", 0, true, 2
			req.FeatureUpdates = append(req.FeatureUpdates, f)
			resp, err := req.RequestWith(t.Context(), c.Client())
			if err != nil || resp.ErrorCode != 0 {
				t.Fatalf("update the feature: %v, %+v", err, resp)
			}
		}, nil, "kafka-features --bootstrap-server HOST:PORT upgrade --feature group.version=1"},
		"a coordinator that is told not to": {func(_ *testing.T, c *bubble.Cluster) { refuse(c) }, nil, "group.coordinator.rebalance.protocols"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				joins := watch(c, new(kmsg.JoinGroupRequest))
				test.spoil(t, c)
				app, err := sluice.New(consumerConfig(t, c, nil))
				if err != nil {
					t.Fatal(err)
				}
				var l ledger
				if err := ledgerRoute(&l, sluice.Policy{})(app); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err = app.Run(ctx)
				if err == nil {
					t.Fatal("it ran")
				}
				e, ok := errors.AsType[*sluice.ConfigError](err)
				if !ok || e.Property != "group.protocol" || e.Field != "GroupProtocol" || e.Value != "consumer" || !strings.Contains(e.Problem, test.says) {
					t.Errorf("%v, want %s", err, test.says)
				}
				if !strings.Contains(err.Error(), "leave group.protocol out") {
					t.Errorf("no way out: %v", err)
				}
				if n := len(joins.seen); n > 0 {
					t.Errorf("%d joins of the classic protocol", n)
				}
			}, test.opts...)
		})
	}
}

// A client that falls back later, in silence, is seen by what it sends.
func TestAFallBackToTheClassicProtocolIsAProblem(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
			resp.ErrorCode = kerr.UnsupportedVersion.Code
			if r.(*kmsg.ConsumerGroupHeartbeatRequest).MemberID == "check" {
				resp.ErrorCode = kerr.GroupIDNotFound.Code // all was well at the start
			}
			return resp, nil, true
		})
		c.Produce("orders", 0, 0, 10, 0)
		var l ledger
		m := join(t, consumerConfig(t, c, nil), ledgerRoute(&l, sluice.Policy{}))
		c.Until("every record", func() bool { return l.count() == 10 })
		h := m.app.Health()
		if h.Protocol != sluice.ClassicProtocol || h.Ready || len(h.Problems) != 1 ||
			!strings.Contains(h.Problems[0], "asked for group.protocol=consumer, but classic is in use") {
			t.Errorf("%+v", h)
		}
		m.leave(t)
	})
}

func TestTheProtocolInUseIsSeenOnTheWire(t *testing.T) {
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				classic, consumer := watch(c, new(kmsg.JoinGroupRequest)), watch(c, new(kmsg.ConsumerGroupHeartbeatRequest))
				c.Produce("orders", 0, 0, 10, 0)
				cfg := configFor(t, c, nil)
				cfg.GroupProtocol = protocol
				var l ledger
				m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
				c.Until("every record", func() bool { return l.count() == 10 })
				if h := m.app.Health(); h.Protocol != protocol || !h.Ready {
					t.Errorf("%+v", h)
				}
				m.leave(t)
				if on := protocol == sluice.ConsumerProtocol; on == (len(classic.seen) > 0) || on != (len(consumer.seen) > 0) {
					t.Errorf("%d joins, %d heartbeats of the new protocol", len(classic.seen), len(consumer.seen))
				}
			})
		})
	}
}

// An expelled member changes nothing any more, and works again: with the same id after a fence, with another where the group does
// not know it any more.
func TestAnExpulsionFromAConsumerGroupLosesNothing(t *testing.T) {
	for name, code := range map[string]int16{"fenced": kerr.FencedMemberEpoch.Code, "unknown": kerr.UnknownMemberID.Code} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
				var expel atomic.Bool
				c.ControlKey(int16(kmsg.ConsumerGroupHeartbeat), func(r kmsg.Request) (answer kmsg.Response, err error, handled bool) {
					c.KeepControl()
					if q := r.(*kmsg.ConsumerGroupHeartbeatRequest); q.MemberEpoch <= 0 || !expel.CompareAndSwap(true, false) {
						return answer, err, handled
					}
					resp := r.ResponseKind().(*kmsg.ConsumerGroupHeartbeatResponse)
					resp.ErrorCode = code
					return resp, nil, true
				})
				var done finished
				cfg := consumerConfig(t, c, nil)
				var lost atomic.Int32
				cfg.Events.Committed = func(i sluice.CommittedInfo) { done.committed(t, i) }
				cfg.Events.Released = func(i sluice.ReleasedInfo) {
					if i.Lost {
						lost.Add(1)
					}
				}
				m := join(t, cfg, done.route)
				c.Until("both partitions", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
				for round := range 5 {
					expel.Store(true)
					for p := range int32(2) {
						c.Produce("orders", p, round*100, 100, 0)
					}
					time.Sleep(time.Minute) // virtual: a member that the cluster thinks is there keeps its partitions for a session
				}
				c.Until("every commit", func() bool {
					return c.Committed("g", "orders", 0) == 500 && c.Committed("g", "orders", 1) == 500
				})
				if n := lost.Load(); n != 10 {
					t.Errorf("%d partitions were lost, want 10", n)
				}
				m.leave(t)
				if n, _ := done.count(); n != 1000 {
					t.Errorf("%d records, want 1000", n)
				}
			})
		})
	}
}

// A member that was away for longer than its session must not rewind what its successor committed.
func TestAFrozenMemberOfAConsumerGroupRewindsNothing(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		var highest [2]int64
		rewound := 0
		link := c.NewLink()
		var done finished
		frozen := join(t, consumerConfig(t, c, link), done.route)
		stays := join(t, consumerConfig(t, c, nil), done.route)
		c.Until("one partition each", func() bool {
			return len(frozen.app.Snapshot().Partitions) == 1 && len(stays.app.Snapshot().Partitions) == 1
		})
		look := func() {
			for p := range highest {
				at := c.Committed("g", "orders", int32(p))
				if at < highest[p] {
					rewound++
				}
				highest[p] = max(highest[p], at)
			}
		}
		for round := range 3 {
			for p := range int32(2) {
				c.Produce("orders", p, round*1000, 1000, 0)
			}
			time.Sleep(5 * time.Second)
			link.Freeze()
			c.Until("the other has all", func() bool { look(); return len(stays.app.Snapshot().Partitions) == 2 })
			time.Sleep(10 * time.Second)
			look()
			link.Thaw()
			c.Until("one partition each", func() bool {
				look()
				return len(frozen.app.Snapshot().Partitions) == 1 && len(stays.app.Snapshot().Partitions) == 1
			})
		}
		c.Until("every commit", func() bool { look(); return highest[0] == 3000 && highest[1] == 3000 })
		if rewound > 0 {
			t.Errorf("%d times a commit went back", rewound)
		}
		if n, _ := done.count(); n != 6000 {
			t.Errorf("%d records, want 6000", n)
		}
		stays.leave(t)
		frozen.leave(t)
	})
}

func TestTheConsumerProtocolLeavesTheGroupInOrder(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		cfg := consumerConfig(t, c, nil)
		var l ledger
		begun := make(chan struct{})
		m := join(t, cfg, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"}, Decode: sluice.Text,
				Handle: func(_ context.Context, m sluice.Message[string]) error {
					if m.Offset() == 0 {
						close(begun)
						time.Sleep(3 * time.Second) // virtual: the drain waits for it
					}
					l.note(m)
					return nil
				},
			})
		})
		<-begun
		m.leave(t)
		if at := c.Committed("g", "orders", 0); at < 1 || int(at) != l.count() {
			t.Errorf("committed %d, handled %d", at, l.count())
		}
	})
}
