package sluice

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config is what an App needs to know. Zero values are the documented defaults; Brokers and Group are required. All of it
// is checked by New, which returns every mistake at once, each with its field's name.
type Config struct {
	// Brokers are the addresses of some brokers, host:port (the port 9092 may be left out). Required.
	Brokers []string

	// Group is the consumer group. Required.
	Group string

	// Assignors are the ways to share partitions out that this member offers its group, the preferred one first. Zero:
	// CooperativeSticky alone. The others stop every partition at each rebalance: offer them only while a group moves over.
	// With ConsumerProtocol it is RemoteAssignor's: leave it out.
	Assignors []Assignor

	// ClientID is what brokers log and quotas know this client by. Zero: "sluice".
	ClientID string

	// ClientOptions are given to the Kafka client as they are: the way out for what has no field here. Options that the
	// engine owns (group, topics, offsets, callbacks, isolation) are refused by name.
	ClientOptions []kgo.Opt

	// CommitMetadata bounds, in characters, what a partition's commit says of records that are finished above its offset, so that
	// they do not run again after a crash. Over it, the first of them are said. Brokers take 4,096 (offset.metadata.max.bytes); where
	// one takes less, less is sent. Zero: 4,096. -1: nothing is said, and nothing is read. Routes that commit before they handle,
	// and those with Offsets, never use it.
	CommitMetadata int

	// CommitTimeout bounds one commit. Zero: 10 s, which is also the most.
	CommitTimeout time.Duration

	// DrainTimeout bounds how long a revoke and a stop wait for the handlers that run. Zero: 20 s. A handler that takes
	// longer has its context cancelled, and its records run again elsewhere. The larger of DrainTimeout and CommitTimeout,
	// plus CommitTimeout, must be below RebalanceTimeout.
	DrainTimeout time.Duration

	// Events are told what happens.
	Events Events

	// Fetch says how much brokers are asked for, and how long they may wait for it.
	Fetch Fetch

	// GroupProtocol is how the members agree on who has which partition (group.protocol): ClassicProtocol or ConsumerProtocol. All
	// members of a group should give the same; a group moves over by a rolling restart. Zero: ClassicProtocol.
	GroupProtocol GroupProtocol

	// HeartbeatInterval is how often the group is shown a sign of life; it must be at most a third of SessionTimeout. Zero: a
	// third of SessionTimeout, at most 3 s. With ConsumerProtocol the broker decides: leave it out.
	HeartbeatInterval time.Duration

	// InstanceID makes this a static member: a restart within SessionTimeout under the same id gets the same partitions, without
	// a rebalance. It must differ between the members of a group. Zero: a dynamic member.
	InstanceID string

	// Logger gets what an operator should know, never a record's payload. Floods of equal warnings and errors are folded;
	// docs/logs.md lists all lines. Nil: slog.Default().
	Logger *slog.Logger

	// MaxBufferedBytes bounds what was polled and is not finished, over all partitions: keys, values, headers and 200 bytes a
	// record. When less than a fetch of it is free, an eighth, the next poll waits, which costs no membership. A partition that
	// has taken its share is not fetched meanwhile, so that one that stands still does not stop the others. Only a batch that
	// is larger than a fetch goes beyond: brokers send it, and it is handled, however small the budget. A batch that
	// decompresses to more than the budget, and to more than 64 MiB, halts its partition. docs/memory.md has what the
	// process needs for it. Zero: 256 MiB. At least 64 KiB.
	MaxBufferedBytes int64

	// Network says how connections are made and kept.
	Network Network

	// OnDataLoss says what happens when a partition's position is no longer in its log: records were lost to retention, an
	// unclean election took them back, or the topic was made again. Zero: GoOn. Routes with Offsets always halt.
	OnDataLoss DataLoss

	// Rack is where this client stands (broker.rack): brokers then send it to replicas nearby. Zero: leaders only.
	Rack string

	// ReadUncommitted also delivers records of transactions that are open or aborted. Zero: they are not delivered.
	ReadUncommitted bool

	// RebalanceTimeout is how long the group waits for this member to let its partitions go. Zero: 60 s.
	RebalanceTimeout time.Duration

	// RemoteAssignor is how the broker shares partitions out (group.remote.assignor), with ConsumerProtocol only. Zero:
	// RemoteUniform.
	RemoteAssignor RemoteAssignor

	// SASL is how to log in. Nil: not at all.
	SASL *SASL

	// SessionTimeout is how long the group waits for a sign of life before it gives our partitions away. Zero: 45 s. The
	// broker bounds it (group.min.session.timeout.ms, group.max.session.timeout.ms). With ConsumerProtocol it decides: leave it out.
	SessionTimeout time.Duration

	// Start is where a partition begins that the group has no commit for. Zero: Earliest.
	Start Start

	// TLS makes every connection TLS. Nil: plain text, unless there are TLSFiles. An empty tls.Config trusts the system's authorities.
	TLS *tls.Config

	// TLSFiles are certificates in files, which may be replaced while the app runs. They make every connection TLS, too. Zero: none.
	TLSFiles TLSFiles

	producer ProducerConfig // what a properties file says about producers, for Producer
}

// DataLoss says what happens to a partition whose position is no longer in its log.
type DataLoss int

const (
	// GoOn continues at the nearest record that is still there and was not seen, counts the loss and keeps health red for
	// it.
	GoOn DataLoss = iota
	// HaltPartition stops the partition until a person decided: reset the group's offset, and restart.
	HaltPartition
)

// Start is where a partition begins that the group has no commit for.
type Start struct {
	at   startAt
	time time.Time
}

type startAt int

const (
	startEarliest startAt = iota
	startLatest
	startTime
)

// Earliest starts at the oldest record. The default.
func Earliest() Start { return Start{} }

// Latest starts after the newest record. The offset is resolved once, when the partition is first assigned, and committed. A
// partition that came later starts at its first record: one that was not there when this app started, or that the group has no
// commit for while it has some for others of the topic. So nothing is lost that was written before it was noticed.
func Latest() Start { return Start{at: startLatest} }

// StartAt starts at the first record with a timestamp of t or later, or after the newest record if there is none.
func StartAt(t time.Time) Start { return Start{at: startTime, time: t} }

// Time is what StartAt was given; the zero time for Earliest and Latest.
func (s Start) Time() time.Time { return s.time }

// Producer returns the configuration of a producer for the same brokers, with what FromProperties read about producers.
func (c Config) Producer() ProducerConfig {
	p := c.producer
	p.Brokers, p.ClientID, p.ClientOptions = c.Brokers, c.ClientID, c.ClientOptions
	p.Network, p.SASL, p.TLS, p.TLSFiles = c.Network, c.SASL, c.TLS, c.TLSFiles
	p.DeliveryTimeout = cmp.Or(p.DeliveryTimeout, deadLetterTimeout)
	return p
}
