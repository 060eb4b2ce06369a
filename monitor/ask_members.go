package monitor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// description is what a group's coordinator says of its members.
type description struct {
	known    bool
	err      error
	state    string
	protocol string
	members  []describedMember
}

// describedMember is a member with what it wants and has.
type describedMember struct {
	Member

	topics     []string
	pattern    bool // it wants more, by a regular expression
	understood bool // false: it is no consumer, or speaks a language of its own
	has        []place
}

// askMembers are the requests that describe all groups.
func (r *round) askMembers() (tasks []func(context.Context)) {
	for _, ids := range r.chunks("classic") {
		tasks = append(tasks, func(ctx context.Context) { r.describeClassic(ctx, ids) })
	}
	for _, ids := range r.chunks("consumer") {
		tasks = append(tasks, func(ctx context.Context) { r.describeConsumer(ctx, ids) })
	}
	for _, ids := range r.chunks("share") {
		tasks = append(tasks, func(ctx context.Context) { r.describeShare(ctx, ids) })
	}
	return tasks
}

// describe notes the description of a group.
func (r *round) describe(group string, d description) {
	a := r.groups[group]
	if a == nil {
		return
	}
	if d.err != nil && !errors.Is(d.err, kerr.GroupIDNotFound) {
		r.problem("members", d.err)
	}
	d.known = d.err == nil
	slices.SortFunc(d.members, func(a, b describedMember) int {
		return cmp.Or(strings.Compare(a.InstanceID, b.InstanceID), strings.Compare(a.ID, b.ID))
	})
	a.description = d
}

func (r *round) describeClassic(ctx context.Context, ids []string) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = ids
	shards := r.sharded(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, id := range shard.Req.(*kmsg.DescribeGroupsRequest).Groups { //nolint:forcetypeassert // what was asked
				r.describe(id, description{err: fromBroker(shard, shard.Err)})
			}
			continue
		}
		for _, g := range shard.Resp.(*kmsg.DescribeGroupsResponse).Groups { //nolint:forcetypeassert // what is answered to it
			d := description{state: g.State, protocol: g.Protocol, err: fromBroker(shard, kerr.ErrorForCode(g.ErrorCode))}
			for i := range g.Members {
				d.members = append(d.members, classicMember(&g.Members[i], g.ProtocolType))
			}
			r.describe(g.Group, d)
		}
	}
}

// classicMember reads what a member told the group, in the consumers' own format.
func classicMember(m *kmsg.DescribeGroupsResponseGroupMember, protocolType string) describedMember {
	d := describedMember{Member: Member{ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost}}
	if protocolType != "consumer" {
		return d
	}
	var wants kmsg.ConsumerMemberMetadata
	var has kmsg.ConsumerMemberAssignment
	if wants.ReadFrom(m.ProtocolMetadata) != nil || len(m.MemberAssignment) > 0 && has.ReadFrom(m.MemberAssignment) != nil {
		return d
	}
	d.understood, d.topics = true, wants.Topics
	for _, t := range has.Topics {
		d.take(t.Topic, t.Partitions)
	}
	return d
}

func (m *describedMember) take(topic string, partitions []int32) {
	for _, p := range partitions {
		m.has = append(m.has, place{topic, p})
	}
	m.Partitions = len(m.has)
}

func (r *round) describeConsumer(ctx context.Context, ids []string) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = ids
	shards := r.sharded(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, id := range shard.Req.(*kmsg.ConsumerGroupDescribeRequest).Groups { //nolint:forcetypeassert // what was asked
				r.describe(id, description{err: fromBroker(shard, shard.Err)})
			}
			continue
		}
		for _, g := range shard.Resp.(*kmsg.ConsumerGroupDescribeResponse).Groups { //nolint:forcetypeassert // what is answered to it
			d := description{state: g.State, protocol: g.AssignorName, err: fromBroker(shard, kerr.ErrorForCode(g.ErrorCode))}
			for _, m := range g.Members {
				member := describedMember{
					Member:     Member{ID: m.MemberID, InstanceID: text(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost},
					understood: true, topics: m.SubscribedTopics, pattern: text(m.SubscribedTopicRegex) != "",
				}
				for _, t := range m.Assignment.TopicPartitions {
					member.take(cmp.Or(t.Topic, r.book.names[t.TopicID]), t.Partitions)
				}
				d.members = append(d.members, member)
			}
			r.describe(g.Group, d)
		}
	}
}

func (r *round) describeShare(ctx context.Context, ids []string) {
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.GroupIDs = ids
	shards := r.sharded(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, id := range shard.Req.(*kmsg.ShareGroupDescribeRequest).GroupIDs { //nolint:forcetypeassert // what was asked
				r.describe(id, description{err: fromBroker(shard, shard.Err)})
			}
			continue
		}
		for _, g := range shard.Resp.(*kmsg.ShareGroupDescribeResponse).Groups { //nolint:forcetypeassert // what is answered to it
			d := description{state: g.GroupState, protocol: g.Assignor, err: fromBroker(shard, kerr.ErrorForCode(g.ErrorCode))}
			for _, m := range g.Members {
				member := describedMember{
					Member:     Member{ID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost},
					understood: true, topics: m.SubscribedTopicNames,
				}
				for _, t := range m.Assignment.TopicPartitions {
					member.take(cmp.Or(t.Topic, r.book.names[t.TopicID]), t.Partitions)
				}
				d.members = append(d.members, member)
			}
			r.describe(g.GroupID, d)
		}
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
