package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Members of a group are to read the same topics: one that does not is given none of those that it lacks, which may leave them to too
// few, or to nobody. A deployment passes through that, so it is told and not refused. Members do not know each other; so after a
// rebalance, when the topics are looked at, the group is described.

// membership is what a change of the group's members changes.
type membership struct {
	member     string
	generation int32
}

// subscriber is another member of the group.
type subscriber struct {
	name    string
	topics  []string
	pattern bool // beside them, which only the brokers can match
}

// lookAtMembers compares the topics of the group's members with ours, once in a generation. Only topicsLoop calls it.
func (e *Engine) lookAtMembers(ctx context.Context) {
	member, generation := e.client.GroupMetadata()
	at := membership{member, generation}
	if at == e.compared || member == "" || generation < 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	others, err := e.subscribers(ctx, member)
	if err != nil && !mayNotDescribe(err) {
		return // the next look asks again
	}
	e.compared = at
	what, note := e.differing(others)
	e.mu.Lock()
	before := e.differs
	e.differs, e.membersNote = what, note
	e.unlock()
	switch what {
	case before:
	case "":
		e.log.Info("the members of the group read the same topics again", "event", "members_agree", "group", e.cfg.Group)
	default:
		e.log.Warn(note, "event", "members_differ", "group", e.cfg.Group)
	}
}

// mayNotDescribe tells of an error that no later look changes: then nothing is known, and nothing is told.
func mayNotDescribe(err error) bool {
	_, refused := errors.AsType[*kadm.AuthError](err)
	return refused || errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.TopicAuthorizationFailed) ||
		errors.Is(err, kerr.UnsupportedVersion)
}

var errUnsettled = errors.New("the group is not settled")

// subscribers are the other members of the group.
func (e *Engine) subscribers(ctx context.Context, self string) ([]subscriber, error) {
	if e.protocolInUse() == consumerProtocol {
		return e.consumers(ctx, self)
	}
	described, err := e.admin.DescribeGroups(ctx, e.cfg.Group)
	if err != nil {
		return nil, err
	}
	group := described[e.cfg.Group]
	if group.Err != nil || group.State != "Stable" {
		return nil, cmp.Or(group.Err, errUnsettled)
	}
	var others []subscriber
	for _, m := range group.Members {
		if join, ok := m.Join.AsConsumer(); ok && m.MemberID != self {
			others = append(others, subscriber{name: m.ClientID + " at " + m.ClientHost, topics: join.Topics})
		}
	}
	return others, nil
}

// consumers is subscribers with the protocol of KIP-848.
func (e *Engine) consumers(ctx context.Context, self string) ([]subscriber, error) {
	described, err := e.admin.DescribeConsumerGroups(ctx, e.cfg.Group)
	if err != nil {
		return nil, err
	}
	group, ok := described[e.cfg.Group]
	if group.Err != nil || !ok {
		return nil, cmp.Or(group.Err, errUnsettled)
	}
	var others []subscriber
	for _, m := range group.Members {
		if m.MemberID != self {
			others = append(others, subscriber{
				name: m.ClientID + " at " + m.ClientHost, topics: m.SubscribedTopics,
				pattern: m.SubscribedTopicRegex != nil && *m.SubscribedTopicRegex != "",
			})
		}
	}
	return others, nil
}

// differing says in which topics other members differ from us, shortly and in a sentence; "" when in none. A topic that a pattern of
// ours matches may be one that the others, or we, have not noticed yet.
func (e *Engine) differing(others []subscriber) (what, note string) {
	var found []string
	count, name := 0, ""
	for _, o := range others {
		more, less := e.difference(o)
		if len(more)+len(less) == 0 {
			continue
		}
		text := ""
		if len(more) > 0 {
			text = "reads " + strings.Join(more, ", ") + ", which this one does not"
		}
		if len(less) > 0 {
			text += strings.Repeat(", and ", min(1, len(more))) + "does not read " + strings.Join(less, ", ")
		}
		if count++; name == "" {
			name = o.name
		}
		if !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	if count == 0 {
		return "", ""
	}
	slices.Sort(found)
	what = strings.Join(found, "; ")
	return what, fmt.Sprintf("%d of the group's %d other members have other routes, %s among them: one %s; a deployment passes through "+
		"that; after it, give all members of a group the same routes, or groups of their own", count, len(others), name, what)
}

// difference are the topics that a member reads and we do not, and those that our routes name and it does not read.
func (e *Engine) difference(o subscriber) (more, less []string) {
	for _, t := range o.topics {
		if e.RouteOf(t) == nil {
			more = append(more, t)
		}
	}
	for t := range e.routes {
		if !o.pattern && !slices.Contains(o.topics, t) {
			less = append(less, t)
		}
	}
	slices.Sort(more)
	slices.Sort(less)
	return more, less
}
