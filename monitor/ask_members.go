package monitor

import (
	"cmp"
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

// askMembers asks for the descriptions of all groups.
func (r *round) askMembers() (all []question) {
	for kind, describe := range map[string]func(portion[string]) question{
		"classic": r.describeClassic, "consumer": r.describeConsumer, "share": r.describeShare,
	} {
		for _, p := range r.groupsBy(func(of string) bool { return of == kind }) {
			all = append(all, describe(p))
		}
	}
	return all
}

// notDescribed notes why groups are not described.
func (r *round) notDescribed(groups []string, err error) {
	for _, id := range groups {
		r.describe(id, description{err: err})
	}
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

func (r *round) describeClassic(p portion[string]) question {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = p.of
	return ask(p.broker, req, func(resp *kmsg.DescribeGroupsResponse, a reply) {
		if a.err != nil {
			if !halve(r, p, r.describeClassic) {
				r.notDescribed(p.of, a.err)
			}
			return
		}
		for _, g := range resp.Groups {
			d := description{state: g.State, protocol: g.Protocol, err: fromBroker(p.broker, kerr.ErrorForCode(g.ErrorCode))}
			for i := range g.Members {
				d.members = append(d.members, classicMember(&g.Members[i], g.ProtocolType))
			}
			r.describe(g.Group, d)
		}
	})
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

func (r *round) describeConsumer(p portion[string]) question {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = p.of
	return ask(p.broker, req, func(resp *kmsg.ConsumerGroupDescribeResponse, a reply) {
		if a.err != nil {
			if !halve(r, p, r.describeConsumer) {
				r.notDescribed(p.of, a.err)
			}
			return
		}
		for _, g := range resp.Groups {
			d := description{state: g.State, protocol: g.AssignorName, err: fromBroker(p.broker, kerr.ErrorForCode(g.ErrorCode))}
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
	})
}

func (r *round) describeShare(p portion[string]) question {
	req := kmsg.NewPtrShareGroupDescribeRequest()
	req.GroupIDs = p.of
	return ask(p.broker, req, func(resp *kmsg.ShareGroupDescribeResponse, a reply) {
		if a.err != nil {
			if !halve(r, p, r.describeShare) {
				r.notDescribed(p.of, a.err)
			}
			return
		}
		for _, g := range resp.Groups {
			d := description{state: g.GroupState, protocol: g.Assignor, err: fromBroker(p.broker, kerr.ErrorForCode(g.ErrorCode))}
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
	})
}
