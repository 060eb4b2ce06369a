package engine

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The leader of a classic group gives new partitions to members. A static member that leads and starts again is told the assignment from
// before (KIP-814), and the client compares its own part of it only (kgo 1.22.2): a partition that came meanwhile and is another
// member's by the leader's own plan would be nobody's until the next rebalance. So static members look whether each partition of their
// topics has somebody, and join again when one has nobody, for longer than a leader takes to see it by itself and within one generation:
// then the leader makes a new plan. One plan: what it leaves to nobody, it cannot give.

const unsettledAgain = 3 * time.Second // after a look that came too early

// ownerless are partitions that nobody has. Only topicsLoop uses it.
type ownerless struct {
	parts      []part // sorted
	generation int32  // of the group, when they were found
	due        time.Time
	settled    bool // there is a plan that knows of them, or we have asked for one
}

// lookForOwnerless looks for partitions that nobody has, as a static member of a classic group. It returns when to look again, if that is
// earlier than usual.
func (e *Engine) lookForOwnerless(ctx context.Context) (again time.Duration) {
	if instance, _ := e.client.OptValue(kgo.InstanceID).(string); instance == "" || e.protocolInUse() != classicProtocol {
		return 0
	}
	member, generation := e.client.GroupMetadata()
	if member == "" || generation < 0 { // the answer to its join is what this look comes from
		return unsettledAgain
	}
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	found, err := e.withoutOwner(ctx, member)
	if errors.Is(err, errUnsettled) {
		return unsettledAgain
	}
	if err != nil {
		return 0
	}
	was, now := &e.ownerless, time.Now()
	switch {
	case len(found) == 0 || !slices.Equal(found, was.parts):
		e.ownerless = ownerless{parts: found, generation: generation, settled: len(found) == 0, due: now.Add(e.planTime())}
	case was.generation != generation:
		was.settled = true
	}
	if was.settled {
		return 0
	}
	if left := was.due.Sub(now); left > 0 {
		return left
	}
	was.settled = true
	e.mu.Lock()
	stopping := e.stopping
	e.unlock()
	if !stopping {
		e.log.Warn("partitions belong to no member of the group: joining again, for another assignment", "event", "partitions_ownerless",
			"group", e.cfg.Group, "partitions", len(found), "first", found[0].String())
		e.client.ForceRebalance()
	}
	return 0
}

// planTime is how long a leader may take to see new partitions, and to plan for them; another time for each member, so that not all join
// again at once.
func (e *Engine) planTime() time.Duration {
	age, _ := e.client.OptValue(kgo.MetadataMaxAge).(time.Duration)
	return age + 5*time.Second + rand.N(15*time.Second)
}

// withoutOwner are the partitions of the topics that this member asked the group for which no member has.
func (e *Engine) withoutOwner(ctx context.Context, self string) ([]part, error) {
	described, err := e.admin.DescribeGroups(ctx, e.cfg.Group)
	if err != nil {
		return nil, err
	}
	group := described[e.cfg.Group]
	if group.Err != nil {
		return nil, group.Err
	}
	if group.State != "Stable" {
		return nil, errUnsettled
	}
	in, topics := false, []string(nil)
	owned := group.AssignedPartitions()
	for _, m := range group.Members {
		join, ok := m.Join.AsConsumer()
		if !ok {
			continue
		}
		if m.MemberID == self {
			in, topics = true, join.Topics
		}
		for _, o := range join.OwnedPartitions { // in a cooperative rebalance: it may still have them, and gives them up
			owned.Add(o.Topic, o.Partitions...)
		}
	}
	switch {
	case !in:
		return nil, errUnsettled
	case len(topics) == 0: // of a pattern that nothing matches; asked for none, brokers tell of all
		return nil, nil
	}
	md, err := e.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var found []part
	for _, t := range md.Topics {
		for p := range t.Partitions {
			if !owned.Lookup(t.Topic, p) {
				found = append(found, part{t.Topic, p})
			}
		}
	}
	slices.SortFunc(found, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return found, nil
}
