package engine

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The protocols of groups, by Kafka's names.
const (
	classicProtocol  = "classic"
	consumerProtocol = "consumer"
)

// OnBrokerE2E notes when the group's coordinator answers, and to what: the keys on the wire tell which protocol is in use. The
// client falls back from one to the other without a word (kgo 1.22.2).
func (h hooks) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if e2e.Err() != nil {
		if kmsg.Key(key) == kmsg.OffsetCommit {
			h.e.unansweredCommit(time.Now())
		}
		return
	}
	switch kmsg.Key(key) {
	case kmsg.JoinGroup:
		h.e.protocol.Store(new(classicProtocol))
	case kmsg.ConsumerGroupHeartbeat:
		h.e.protocol.Store(new(consumerProtocol))
	case kmsg.SyncGroup, kmsg.Heartbeat:
	default:
		return
	}
	now := time.Now()
	h.e.answered.Store(now.UnixNano())
	h.e.beat(now)
}

// protocolInUse is what the group is managed by; "" before the first join.
func (e *Engine) protocolInUse() string {
	if p := e.protocol.Load(); p != nil {
		return *p
	}
	return ""
}

// protocolProblem says that another protocol is in use than was asked for.
func (e *Engine) protocolProblem() string {
	if inUse := e.protocolInUse(); e.cfg.Consumer && inUse == classicProtocol {
		return "the group: asked for group.protocol=consumer, but classic is in use, as the group's coordinator stopped serving it; " +
			"see its group.coordinator.rebalance.protocols and feature group.version, and restart this member"
	}
	return ""
}
