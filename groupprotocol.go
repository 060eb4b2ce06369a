package sluice

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// GroupProtocol is how the members of a group agree on who has which partition, by Kafka's names.
type GroupProtocol string

// The protocols.
const (
	// ClassicProtocol has the members join together, and one of them share the partitions out, as Assignors says. The default.
	ClassicProtocol GroupProtocol = "classic"

	// ConsumerProtocol is that of KIP-848: the broker shares the partitions out, as RemoteAssignor says, and moves them one by
	// one. A rebalance waits for nobody but the member that gives a partition up, and commits go on meanwhile. It needs Kafka
	// 4.0, better 4.3, on every broker; with one that cannot, the app does not start: it never falls back in silence.
	ConsumerProtocol GroupProtocol = "consumer"
)

// RemoteAssignor is how the broker shares a group's partitions out, by Kafka's names.
type RemoteAssignor string

// The assignors that every broker has. The client can ask for no others.
const (
	RemoteUniform RemoteAssignor = "uniform" // evenly, and moves as few as it can. The default
	RemoteRange   RemoteAssignor = "range"   // the same partitions of different topics go to the same member
)

// checkProtocol judges what the protocol of the group allows. It comes first, while zeros still say that nothing was given.
func checkProtocol(c *Config, m *mistakes) {
	switch c.GroupProtocol {
	case "", ClassicProtocol:
		c.GroupProtocol = ClassicProtocol
		if c.RemoteAssignor != "" {
			m.notTogether("RemoteAssignor", string(c.RemoteAssignor), "needs GroupProtocol (group.protocol) consumer; with classic give "+
				"Assignors (partition.assignment.strategy)")
		}
		return
	case ConsumerProtocol:
	default:
		m.add("GroupProtocol", string(c.GroupProtocol), "is neither classic nor consumer")
		return
	}
	switch c.RemoteAssignor {
	case "":
		c.RemoteAssignor = RemoteUniform
	case RemoteUniform, RemoteRange:
	default:
		m.add("RemoteAssignor", string(c.RemoteAssignor), "the client can ask for uniform and range only; brokers may have others")
	}
	const decides = "cannot be given with GroupProtocol (group.protocol) consumer: the broker decides, by its "
	if c.SessionTimeout != 0 {
		m.notTogether("SessionTimeout", shortDuration(c.SessionTimeout), decides+"group.consumer.session.timeout.ms, or the group's "+
			"consumer.session.timeout.ms (kafka-configs --entity-type groups); leave it out")
		c.SessionTimeout = 0
	}
	if c.HeartbeatInterval != 0 {
		m.notTogether("HeartbeatInterval", shortDuration(c.HeartbeatInterval), decides+"group.consumer.heartbeat.interval.ms, or the "+
			"group's consumer.heartbeat.interval.ms (kafka-configs --entity-type groups); leave it out")
		c.HeartbeatInterval = 0
	}
	if len(c.Assignors) > 0 {
		m.notTogether("Assignors", names(c.Assignors), decides+"own assignors; leave it out, and give RemoteAssignor "+
			"(group.remote.assignor)")
		c.Assignors = nil
	}
}

func names(assignors []Assignor) string {
	texts := make([]string, len(assignors))
	for i, a := range assignors {
		texts[i] = string(a)
	}
	return strings.Join(texts, ",")
}

// setProtocol reads group.protocol.
func setProtocol(c *Config, v string) error {
	switch GroupProtocol(strings.ToLower(v)) {
	case ClassicProtocol:
	case ConsumerProtocol:
		c.GroupProtocol = ConsumerProtocol
	default:
		return oneOf(v, string(ClassicProtocol), string(ConsumerProtocol))
	}
	return nil
}

// setRemoteAssignor reads group.remote.assignor.
func setRemoteAssignor(c *Config, v string) error {
	if a := RemoteAssignor(v); a == RemoteUniform || a == RemoteRange {
		c.RemoteAssignor = a
		return nil
	}
	return oneOf(v, string(RemoteUniform), string(RemoteRange))
}

// groupOptions are what the client is told of the protocol. kgo picks the broker's assignor by its own that is most like it.
func (c Config) groupOptions() []kgo.Opt {
	if c.GroupProtocol != ConsumerProtocol {
		return []kgo.Opt{
			kgo.Balancers(balancers(c.Assignors)...),
			kgo.HeartbeatInterval(c.HeartbeatInterval),
			kgo.SessionTimeout(c.SessionTimeout),
		}
	}
	like := CooperativeSticky
	if c.RemoteAssignor == RemoteRange {
		like = Range
	}
	return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(balancers([]Assignor{like})...)}
}

const (
	groupFeature   = "group.version"
	noConsumer     = "the group cannot be one of group.protocol=consumer: "
	orClassic      = "; or leave group.protocol out, for classic"
	upgradeBrokers = "upgrade every broker to Kafka 4.0 or newer (4.3 is better)" + orClassic
)

// checkConsumerProtocol asks every broker whether it speaks the protocol of KIP-848, as any of them may come to coordinate the
// group, and the coordinator whether it serves it: kgo would fall back to the classic protocol in silence.
func (a *App) checkConsumerProtocol(ctx context.Context, cl *kgo.Client) error {
	brokers, err := kadm.NewClient(cl).ApiVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask the brokers for what they speak: %w", err)
	}
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			continue // away just now; the group's coordinator is asked below
		}
		if problem := consumerProtocolProblem(b.Raw()); problem != "" {
			return refuseProtocol(fmt.Sprintf("broker %d %s", b.NodeID, problem))
		}
	}
	return a.checkCoordinator(ctx, cl)
}

// consumerProtocolProblem says why a broker cannot, by its own account.
func consumerProtocolProblem(versions *kmsg.ApiVersionsResponse) string {
	speaks := false
	for _, k := range versions.ApiKeys {
		speaks = speaks || k.ApiKey == int16(kmsg.ConsumerGroupHeartbeat) && k.MaxVersion >= 1
	}
	if !speaks {
		return "does not speak it (no ConsumerGroupHeartbeat of version 1); " + upgradeBrokers
	}
	for _, f := range versions.FinalizedFeatures {
		if f.Name == groupFeature && f.MaxVersionLevel >= 1 {
			return ""
		}
	}
	return "does not have it switched on (its feature group.version is below 1): kafka-features --bootstrap-server HOST:PORT upgrade " +
		"--feature group.version=1" + orClassic
}

// checkCoordinator shows the group's coordinator a sign of life of a member that there is not. One that does not serve the
// protocol says so before it looks for the member; so it does when we may not be a member.
func (a *App) checkCoordinator(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.MemberEpoch = a.cfg.Group, "check", 1
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if errors.Is(err, kerr.UnsupportedVersion) {
		return refuseProtocol("the group's coordinator does not serve it; have \"consumer\" in its group.coordinator.rebalance.protocols" +
			orClassic)
	}
	if missing := missingPermission(err, toRead, a.cfg.Group); missing != nil {
		return missing
	}
	return nil
}

func refuseProtocol(problem string) error {
	return &ConfigError{
		Property: "group.protocol", Field: "GroupProtocol", Value: string(ConsumerProtocol), Problem: noConsumer + problem,
	}
}
