package sluicetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fault is something that is wrong with a cluster's answers, until it has befallen its number of requests, or is lifted. The number of
// requests is given where it is made; -1 is any number.
type Fault struct {
	c    *Cluster
	hits func() int
	lift func()
}

// Hits is how many requests it has befallen.
func (f *Fault) Hits() int { return f.hits() }

// Lift ends it.
func (f *Fault) Lift() { f.lift() }

// Wait waits until it has befallen n requests.
func (f *Fault) Wait(n int) {
	f.c.t.Helper()
	f.c.WaitFor(fmt.Sprintf("%d requests to meet the fault", n), func() (string, bool) {
		seen := f.Hits()
		return fmt.Sprintf("%d", seen), seen >= n
	})
}

func (c *Cluster) fault(f kfake.Fault) *Fault {
	h := c.kafka.Fault(f)
	return &Fault{c: c, hits: h.Hits, lift: h.Remove}
}

// LoseCommitAnswers applies the group's next n commits and answers REQUEST_TIMED_OUT, as a coordinator does whose replicas are slow. The
// client sees a failed commit, and cannot know. A correct app commits again, and never below what it committed.
func (c *Cluster) LoseCommitAnswers(group string, n int) *Fault {
	return c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Err: kerr.RequestTimedOut, Count: n})
}

// LoseProduceAnswers writes what the next n requests bring for a topic, and answers REQUEST_TIMED_OUT. The client sees a failure that it may
// try again, and cannot know. An idempotent producer, as sluice's is, sends it again and the broker knows it again: the record is there
// once. Any other one writes it twice.
func (c *Cluster) LoseProduceAnswers(topic string, n int) *Fault {
	return c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.RequestTimedOut, Count: n})
}

// NotEnoughReplicas refuses what the next n requests bring for a topic, with NOT_ENOUGH_REPLICAS, and writes nothing: too few replicas
// are in sync. The client tries again. A correct app does not take a record for finished whose dead letter is not written.
func (c *Cluster) NotEnoughReplicas(topic string, n int) *Fault {
	return c.fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.NotEnoughReplicas, Count: n})
}

// UnknownEpoch answers the next n fetches of a partition with UNKNOWN_LEADER_EPOCH: a broker that has not yet heard of the latest election,
// of which the client knows. The client asks again. A correct app notices nothing but the wait.
func (c *Cluster) UnknownEpoch(topic string, partition int32, n int) *Fault {
	return c.fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Partitions: []int32{partition}, Err: kerr.UnknownLeaderEpoch, Count: n,
	})
}

// SlowAnswers has every request wait for d before it is looked at, until it is lifted: brokers under load. The client sees slow answers,
// and its own time-outs where d is long. A correct app stays in its group while d is well below the session timeout.
func (c *Cluster) SlowAnswers(d time.Duration) *Fault {
	var hits atomic.Int64
	lifted := make(chan struct{})
	var once atomic.Bool
	f := &Fault{c: c, hits: func() int { return int(hits.Load()) }, lift: func() {
		if once.CompareAndSwap(false, true) {
			close(lifted)
		}
	}}
	c.kafka.Control(func(kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-lifted:
			c.kafka.DropControl()
			return nil, nil, false //nolint:nilnil // kfake's word for: answer it yourself
		default:
		}
		c.kafka.KeepControl()
		hits.Add(1)
		c.kafka.SleepControl(func() {
			slow := time.NewTimer(d)
			defer slow.Stop()
			select {
			case <-slow.C:
			case <-lifted:
			}
		})
		return nil, nil, false //nolint:nilnil // as above
	})
	c.t.Cleanup(f.lift)
	return f
}

// MoveCoordinator moves a group to another coordinator. The client sees NOT_COORDINATOR, looks for the new one and goes on there; the group,
// its members and its commits stay. A correct app notices nothing but a commit that is tried again.
func (c *Cluster) MoveCoordinator(group string) {
	c.t.Helper()
	was := c.kafka.CoordinatorFor(group)
	c.WaitFor("another coordinator of the group "+group, func() (string, bool) {
		c.kafka.RehashCoordinators()
		return "the same", c.kafka.CoordinatorFor(group) != was
	})
}

// MoveLeader gives a partition to another broker. The client sees NOT_LEADER_OR_FOLLOWER, looks for the new leader and goes on there.
// A correct app notices nothing but the wait.
func (c *Cluster) MoveLeader(topic string, partition int32) {
	c.t.Helper()
	c.lead(topic, partition, (c.kafka.LeaderFor(topic, partition)+1)%brokers)
}

// StaleEpoch has a partition's leader elected anew: the same broker, a later epoch. The client, whose epoch is stale, sees
// FENCED_LEADER_EPOCH, learns the new epoch and asks whether what it has read is still in the log. A correct app notices nothing but the wait.
func (c *Cluster) StaleEpoch(topic string, partition int32) {
	c.t.Helper()
	c.lead(topic, partition, c.kafka.LeaderFor(topic, partition))
}

func (c *Cluster) lead(topic string, partition, broker int32) {
	c.t.Helper()
	if err := c.kafka.MoveTopicPartition(topic, partition, broker); err != nil {
		c.t.Fatalf("move %s[%d] to broker %d: %v", topic, partition, broker, err)
	}
}

// ShuffleLeaders elects a random leader, with a later epoch, for every partition of every topic, as after a rolling restart of brokers.
// The client sees NOT_LEADER_OR_FOLLOWER or FENCED_LEADER_EPOCH, and does as for MoveLeader and StaleEpoch.
func (c *Cluster) ShuffleLeaders() { c.kafka.ShufflePartitionLeaders() }

// KickMember expels the group's member with this client id (Config.ClientID), whose partitions go to the others. Its client sees
// UNKNOWN_MEMBER_ID at its next heartbeat or commit and joins again. What it had not committed runs again, here or elsewhere: a correct
// handler can take that, and a correct app commits nothing for partitions that it has lost.
func (c *Cluster) KickMember(group, clientID string) {
	c.t.Helper()
	info := c.kafka.GroupInfo(group)
	if info == nil {
		c.t.Fatalf("kick a member of the group %s: no such group", group)
	}
	for _, m := range info.Members {
		if m.ClientID == clientID {
			c.kick(group, m)
			return
		}
	}
	c.t.Fatalf("kick a member of the group %s: none has the client id %q; there are %s", group, clientID, memberNames(info.Members))
}

// kick has the member leave, in the word of the protocol that its group has.
func (c *Cluster) kick(group string, m kfake.GroupMember) {
	c.t.Helper()
	client, ctx := c.kafka.Client(), c.t.Context()
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = group
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID, one.InstanceID = m.MemberID, m.InstanceID
	leave.Members = append(leave.Members, one)
	if _, err := leave.RequestWith(ctx, client); err != nil {
		c.t.Fatalf("kick %s out of the group %s: %v", m.MemberID, group, err)
	}
	if c.has(group, m.MemberID) { // a group of the newer protocol
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Group, beat.MemberID, beat.InstanceID, beat.MemberEpoch = group, m.MemberID, m.InstanceID, -1
		if _, err := beat.RequestWith(ctx, client); err != nil {
			c.t.Fatalf("kick %s out of the group %s: %v", m.MemberID, group, err)
		}
	}
	if c.has(group, m.MemberID) {
		c.t.Fatalf("kick %s out of the group %s: it is still there", m.MemberID, group)
	}
}

func (c *Cluster) has(group, memberID string) bool {
	info := c.kafka.GroupInfo(group)
	if info == nil {
		return false
	}
	for _, m := range info.Members {
		if m.MemberID == memberID {
			return true
		}
	}
	return false
}
