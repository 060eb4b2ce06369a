package groups

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// Each member sees in the group's description what the others read, with both protocols.
func TestMembersWithOtherRoutesAreNoted(t *testing.T) {
	t.Parallel()
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel() // a look comes once a minute
			k := newKit(t)
			k.name += string(protocol)
			orders, payments := k.name+"-orders", k.name+"-payments"
			k.create(2, orders, payments)
			var l ledger
			first := k.join(&l, protocol, "", orders)
			second := k.join(&l, protocol, "", orders, payments)
			k.until("both tell of it", func() bool {
				return strings.Contains(strings.Join(first.Health().Notes, ""), "one reads "+payments+", which this one does not;") &&
					strings.Contains(strings.Join(second.Health().Notes, ""), "one does not read "+payments+";")
			})
			for _, m := range []*member{first, second} {
				if h := m.Health(); !h.Ready {
					t.Errorf("%+v", h)
				}
			}
			second.leave(k)
			k.until("there is nobody else", func() bool { return len(first.Health().Notes) == 0 })
			first.leave(k)
		})
	}
}

// Brokers give a static leader that starts again the assignment from before: a partition that came meanwhile, and is the other member's by
// the leader's plan, is asked for all the same.
func TestAPartitionThatCameWhileAStaticLeaderWasAwayIsRead(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	k.create(3, k.name)
	var l ledger
	static := func(instance string) *member { return k.joinAs(instance, &l, sluice.ClassicProtocol, "", k.name) }
	leader := static("pod-0") // the first one in
	k.until("it is in", func() bool { return leader.Health().Protocol != "" })
	stays := static("pod-1") // within group.initial.rebalance.delay.ms, so that the leader's next first join says what this one said
	k.until("both have partitions", func() bool { return leader.owns(2)() && stays.owns(1)() })

	leader.leave(k)
	if resp, err := k.admin.CreatePartitions(t.Context(), 1, k.name); err != nil || resp.Error() != nil {
		t.Fatal(err, resp.Error())
	}
	began := time.Now()
	leader = static("pod-0")
	k.until("the new partition has somebody", func() bool { return leader.owns(2)() && stays.owns(2)() })
	t.Logf("after %v", time.Since(began))
	k.client.ForceMetadataRefresh()
	k.produce(k.name, 4, 0, 10)
	k.until("the records", func() bool { n, _ := l.count(); return n == 40 })
	leader.leave(k)
	stays.leave(k)
}
