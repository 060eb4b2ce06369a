package sluice_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// An eager assignor takes every partition away at each rebalance, the broker's one at a time: what is finished is committed first,
// and nothing ahead of it.
func TestEveryAssignorDeliversEverythingAndCommitsNothingAhead(t *testing.T) {
	ways := map[string]func(*sluice.Config){
		"remote uniform": func(c *sluice.Config) { c.GroupProtocol = sluice.ConsumerProtocol },
		"remote range": func(c *sluice.Config) {
			c.GroupProtocol, c.RemoteAssignor = sluice.ConsumerProtocol, sluice.RemoteRange
		},
	}
	for _, a := range []sluice.Assignor{sluice.CooperativeSticky, sluice.Sticky, sluice.Range, sluice.RoundRobin} {
		ways[string(a)] = func(c *sluice.Config) { c.Assignors = []sluice.Assignor{a} }
	}
	for name, set := range ways {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
				const each = 300
				var done finished
				start := func() *member {
					cfg := configFor(t, c, nil)
					set(&cfg)
					cfg.Events.Committed = func(i sluice.CommittedInfo) { done.committed(t, i) }
					return join(t, cfg, done.route)
				}
				first := start()
				produced := make(chan struct{})
				go func() {
					defer close(produced)
					for i := range each {
						for p := range int32(4) {
							c.Produce("orders", p, i, 1, 0)
						}
						time.Sleep(100 * time.Millisecond) // virtual: records come while members come and go
					}
				}()
				time.Sleep(5 * time.Second)
				second := start()
				c.Until("both have partitions", func() bool {
					return len(first.app.Snapshot().Partitions) == 2 && len(second.app.Snapshot().Partitions) == 2
				})
				time.Sleep(5 * time.Second)
				first.leave(t)
				c.Until("the other has all", func() bool { return len(second.app.Snapshot().Partitions) == 4 })
				<-produced
				c.Until("every commit", func() bool {
					for p := range int32(4) {
						if c.Committed("g", "orders", p) != each {
							return false
						}
					}
					return true
				})
				second.leave(t)
				if n, times := done.count(); n != 4*each || times != n { // nobody was killed: nothing is handled twice
					t.Errorf("%d records were handled, %d times in all, want %d", n, times, 4*each)
				}
			})
		})
	}
}

// A group of an eager assignor moves over in two rounds of restarts: first every member offers both, then only the new one.
func TestAGroupMovesFromRangeToCooperativeSticky(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		const each = 400
		var done finished
		start := func(assignors ...sluice.Assignor) *member {
			cfg := configFor(t, c, nil)
			cfg.Assignors = assignors
			cfg.Events.Committed = func(i sluice.CommittedInfo) { done.committed(t, i) }
			return join(t, cfg, done.route)
		}
		members := []*member{start(sluice.Range), start(sluice.Range)}
		settled := func() bool {
			return len(members[0].app.Snapshot().Partitions) == 2 && len(members[1].app.Snapshot().Partitions) == 2
		}
		produced := make(chan struct{})
		go func() {
			defer close(produced)
			for i := range each {
				for p := range int32(4) {
					c.Produce("orders", p, i, 1, 0)
				}
				time.Sleep(100 * time.Millisecond) // virtual
			}
		}()
		for _, assignors := range [][]sluice.Assignor{{sluice.CooperativeSticky, sluice.Range}, {sluice.CooperativeSticky}} {
			for i := range members {
				c.Until("two each", settled)
				members[i].leave(t)
				members[i] = start(assignors...)
			}
		}
		c.Until("two each", settled)
		<-produced
		c.Until("every commit", func() bool {
			for p := range int32(4) {
				if c.Committed("g", "orders", p) != each {
					return false
				}
			}
			return true
		})
		group, err := c.Admin().DescribeGroups(t.Context(), "g")
		if err != nil || group["g"].Protocol != string(sluice.CooperativeSticky) {
			t.Errorf("the group shares out by %q, %v", group["g"].Protocol, err)
		}
		for _, m := range members {
			m.leave(t)
		}
		if n, times := done.count(); n != 4*each || times != n {
			t.Errorf("%d records were handled, %d times in all, want %d", n, times, 4*each)
		}
	})
}

// finished knows what handlers have ended, and holds commits to it.
type finished struct {
	mu    sync.Mutex
	all   map[string]bool
	times int
}

func (f *finished) route(app *sluice.App) error {
	return sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text, Policy: sluice.Policy{Commit: sluice.Every(time.Second)},
		Handle: func(_ context.Context, m sluice.Message[string]) error {
			time.Sleep(50 * time.Millisecond) // virtual
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.all == nil {
				f.all = make(map[string]bool)
			}
			f.all[fmt.Sprintf("%d@%d", m.Partition(), m.Offset())] = true
			f.times++
			return nil
		},
	})
}

func (f *finished) count() (records, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all), f.times
}

func (f *finished) committed(t *testing.T, i sluice.CommittedInfo) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, next := range i.Offsets["orders"] {
		for o := range next {
			if !f.all[fmt.Sprintf("%d@%d", p, o)] {
				t.Errorf("committed %d in partition %d, where %d is not finished", next, p, o)
				return
			}
		}
	}
}

// A static member that is back within its session has its partitions as they were, and nobody else notices.
func TestAStaticMemberComesBackWithoutARebalance(t *testing.T) {
	for name, c := range map[string]struct {
		instances []string
		calm      bool
	}{
		"static":  {[]string{"pod-0", "pod-1"}, true},
		"dynamic": {[]string{"", ""}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, cl *bubble.Cluster) {
				joins := watch(cl, new(kmsg.JoinGroupRequest))
				count := func() int { joins.mu.Lock(); defer joins.mu.Unlock(); return len(joins.seen) }
				var l ledger
				start := func(instance string) *member {
					cfg := configFor(t, cl, nil)
					cfg.InstanceID = instance
					return join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
				}
				owned := func(m *member) (ps []int32) {
					for _, p := range m.app.Snapshot().Partitions {
						ps = append(ps, p.Partition)
					}
					return ps
				}
				stays, restarts := start(c.instances[0]), start(c.instances[1])
				cl.Until("both have partitions", func() bool { return len(owned(stays)) == 2 && len(owned(restarts)) == 2 })
				time.Sleep(30 * time.Second)
				before, joined, rebalances := owned(restarts), count(), stays.app.Stats().Rebalances

				restarts.leave(t)
				time.Sleep(20 * time.Second) // less than the session
				for p := range int32(4) {
					cl.Produce("orders", p, 0, 100, 0)
				}
				restarts = start(c.instances[1])
				cl.Until("every record", func() bool { return l.count() == 400 })
				time.Sleep(30 * time.Second)

				calm := stays.app.Stats().Rebalances == rebalances && count() <= joined+2 && slices.Equal(owned(restarts), before)
				if calm != c.calm {
					t.Errorf("%d rebalances of the member that stayed, %d joins, partitions %v after %v",
						stays.app.Stats().Rebalances-rebalances, count()-joined, owned(restarts), before)
				}
				restarts.leave(t)
				stays.leave(t)
			})
		})
	}
}

// A partition that comes while the leader of a group is away, and is another member's by its plan, has somebody within about a minute, also
// when the leader is a static member: brokers then give the group the assignment from before.
func TestAPartitionThatCameWhileAStaticLeaderWasAwayIsRead(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, cl *bubble.Cluster) {
		cl.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (answer kmsg.Response, err error, handled bool) {
			cl.KeepControl()
			for i := range r.(*kmsg.JoinGroupRequest).Protocols { // as if the leader had joined once: brokers compare what it says
				p := &r.(*kmsg.JoinGroupRequest).Protocols[i]
				var m kmsg.ConsumerMemberMetadata
				if err := m.ReadFrom(p.Metadata); err != nil {
					t.Error(err)
				}
				m.Generation = -1
				p.Metadata = m.AppendTo(nil)
			}
			return answer, err, handled
		})
		var l ledger
		start := func(instance string) *member {
			cfg := configFor(t, cl, nil)
			cfg.InstanceID, cfg.Assignors = instance, []sluice.Assignor{sluice.Range}
			return join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
		}
		owned := func(m *member) int { return len(m.app.Snapshot().Partitions) }
		leader := start("pod-0") // the first one in
		cl.Until("it has all", func() bool { return owned(leader) == 3 })
		stays := start("pod-1")
		cl.Until("both have partitions", func() bool { return owned(leader) == 2 && owned(stays) == 1 })
		time.Sleep(time.Minute)

		leader.leave(t)
		time.Sleep(time.Second)
		if resp, err := cl.Admin().CreatePartitions(t.Context(), 1, "orders"); err != nil || resp.Error() != nil {
			t.Fatal(err, resp.Error())
		}
		cl.Produce("orders", 3, 0, 100, 0)
		began, rebalances := time.Now(), stays.app.Stats().Rebalances
		leader = start("pod-0")
		cl.Until("the new partition's records", func() bool { return l.count() == 100 })
		if took := time.Since(began); took > 75*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(5 * time.Minute)
		if n := stays.app.Stats().Rebalances - rebalances; n > 4 { // each member joins again once at the most; with an eager assignor all is taken away, and given
			t.Errorf("%d rebalances for one partition", n)
		}
		leader.leave(t)
		stays.leave(t)
	})
}

// Whoever comes next under the id of a static member that stopped is to find its partitions: the group knows it still.
func TestInvariant10AStaticMemberThatStopsKeepsItsPlace(t *testing.T) {
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, cl *bubble.Cluster) {
				cfg := configFor(t, cl, nil)
				cfg.GroupProtocol, cfg.InstanceID = protocol, "pod-0"
				m := join(t, cfg, ledgerRoute(new(ledger), sluice.Policy{}))
				cl.Until("it has both", func() bool { return len(m.app.Snapshot().Partitions) == 2 })
				m.leave(t)
				if members := cl.GroupInfo(cfg.Group).Members; len(members) != 1 || members[0].InstanceID == nil {
					t.Errorf("invariant 10: a static member stopped, and the group has forgotten it: %+v", members)
				}
			})
		})
	}
}
