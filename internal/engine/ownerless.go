package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The leader of a classic group gives new partitions to members. A static member that leads and starts again is told the assignment from
// before (KIP-814), and the client compares its own part of it only (kgo 1.22.2): a partition that came meanwhile and is another
// member's by the leader's own plan would be nobody's until the next rebalance. So static members look whether each partition of their
// topics has somebody, and join again when one has nobody in two looks: then the leader makes a new plan.

const unsettledAgain = 3 * time.Second // a look that came too early

// ownerlessAgain is the time from the first look to the second: a rebalance in two steps is over by then, and members do not all join again
// at the same time.
func ownerlessAgain() time.Duration { return 10*time.Second + rand.N(20*time.Second) }

// ownerless are partitions that nobody has, with the group as it was when they were found. Only topicsLoop uses it.
type ownerless struct {
	at    membership
	parts []part // sorted
	asked bool   // to join again, because of these; that nobody has them then is not for the leader to mend
}

// lookForOwnerless looks for partitions that nobody has, as a static member of a classic group.
func (e *Engine) lookForOwnerless(ctx context.Context) {
	if instance, _ := e.client.OptValue(kgo.InstanceID).(string); instance == "" || e.protocolInUse() != classicProtocol {
		return
	}
	member, generation := e.client.GroupMetadata()
	if member == "" || generation < 0 { // the answer to its join is what this look comes from
		e.lookAtTopicsIn(unsettledAgain)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	found, err := e.withoutOwner(ctx, member)
	if errors.Is(err, errUnsettled) {
		e.lookAtTopicsIn(unsettledAgain)
	}
	if err != nil {
		return // the next look asks again
	}
	now := ownerless{at: membership{member, generation}, parts: found}
	was := e.ownerless
	same := len(found) > 0 && slices.Equal(found, was.parts)
	switch {
	case same && was.asked:
		return
	case same && was.at == now.at:
		now.asked = true
		e.log.Warn("partitions belong to no member of the group: joining again, for another assignment",
			"event", "partitions_ownerless", "group", e.cfg.Group, "partitions", fmt.Sprint(found))
		e.client.ForceRebalance()
	case len(found) > 0:
		e.lookAtTopicsIn(ownerlessAgain())
	}
	e.ownerless = now
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
	var topics []string
	for _, m := range group.Members {
		if join, ok := m.Join.AsConsumer(); ok && m.MemberID == self {
			topics = join.Topics
		}
	}
	if len(topics) == 0 {
		return nil, errUnsettled
	}
	md, err := e.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, err
	}
	owned := group.AssignedPartitions()
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
