package sluice

import (
	"crypto/tls"
	"errors"
	"fmt"
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

	// ClientID is what brokers log and quotas know this client by. Zero: "sluice".
	ClientID string

	// ClientOptions are given to the Kafka client as they are: the way out for what has no field here. Options that the
	// engine owns (group, topics, offsets, callbacks, isolation) are refused by name.
	ClientOptions []kgo.Opt

	// CommitTimeout bounds one commit. Zero: 10 s, which is also the most.
	CommitTimeout time.Duration

	// DrainTimeout bounds how long a revoke and a stop wait for the handlers that run. Zero: 20 s. A handler that takes
	// longer has its context cancelled, and its records run again elsewhere. The larger of DrainTimeout and CommitTimeout,
	// plus CommitTimeout, must be below RebalanceTimeout.
	DrainTimeout time.Duration

	// Events are told what happens.
	Events Events

	// Logger gets what an operator should know, never a record's payload. Nil: slog.Default().
	Logger *slog.Logger

	// MaxBufferedBytes bounds keys, values, headers and 200 bytes a record of what was polled and is not finished; over it
	// the next poll waits, which costs no membership. The client holds up to one fetch a broker beside it. Zero: 256 MiB.
	MaxBufferedBytes int64

	// MaxBufferedRecords is the same bound as a number of records. Zero: 500,000.
	MaxBufferedRecords int

	// OnDataLoss says what happens when a partition's position is no longer in its log: records were lost to retention, an
	// unclean election took them back, or the topic was made again. Zero: GoOn. Routes with Offsets always halt.
	OnDataLoss DataLoss

	// ReadUncommitted also delivers records of transactions that are open or aborted. Zero: they are not delivered.
	ReadUncommitted bool

	// RebalanceTimeout is how long the group waits for this member to let its partitions go. Zero: 60 s.
	RebalanceTimeout time.Duration

	// SASL is how to log in. Nil: not at all.
	SASL *SASL

	// SessionTimeout is how long the group waits for a sign of life before it gives our partitions away. Zero: 45 s. The
	// broker bounds it (group.min.session.timeout.ms, group.max.session.timeout.ms). Heartbeats are sent ten times as often,
	// at most every 3 s.
	SessionTimeout time.Duration

	// Start is where a partition begins that the group has no commit for. Zero: Earliest.
	Start Start

	// TLS makes every connection TLS. Nil: plain text. An empty tls.Config trusts the system's authorities.
	TLS *tls.Config
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

// Latest starts after the newest record. The offset is resolved once, when the partition is first assigned, and committed.
func Latest() Start { return Start{at: startLatest} }

// StartAt starts at the first record with a timestamp of t or later, or after the newest record if there is none.
func StartAt(t time.Time) Start { return Start{at: startTime, time: t} }

const (
	defaultBytes            = 256 << 20
	defaultRecords          = 500_000
	defaultCommitTimeout    = 10 * time.Second
	defaultDrainTimeout     = 20 * time.Second
	defaultRebalanceTimeout = 60 * time.Second
	defaultSessionTimeout   = 45 * time.Second
	defaultClientID         = "sluice"
)

// ErrConfig is wrapped by every error about a Config, a Route or a properties file.
var ErrConfig = errors.New("invalid configuration")

func (c Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if len(c.Brokers) == 0 {
		bad("Brokers: give at least one host:port")
	}
	for i, b := range c.Brokers {
		if b == "" {
			bad("Brokers[%d]: empty", i)
		}
	}
	if c.Group == "" {
		bad("Group: a consumer group is required")
	}
	if c.ClientID == "" {
		c.ClientID = defaultClientID
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	duration := func(name string, d *time.Duration, def time.Duration) {
		switch {
		case *d < 0:
			bad("%s: %v is negative", name, *d)
		case *d == 0:
			*d = def
		}
	}
	duration("CommitTimeout", &c.CommitTimeout, defaultCommitTimeout)
	duration("DrainTimeout", &c.DrainTimeout, defaultDrainTimeout)
	duration("RebalanceTimeout", &c.RebalanceTimeout, defaultRebalanceTimeout)
	duration("SessionTimeout", &c.SessionTimeout, defaultSessionTimeout)
	if c.CommitTimeout > defaultCommitTimeout {
		bad("CommitTimeout: %v is above %v; a group cannot rebalance while a commit is under way", c.CommitTimeout, defaultCommitTimeout)
	}
	if need := max(c.DrainTimeout, c.CommitTimeout) + c.CommitTimeout; need >= c.RebalanceTimeout {
		bad("RebalanceTimeout: %v is not above %v, which a revoke may take "+
			"(the larger of DrainTimeout %v and CommitTimeout %v, plus CommitTimeout)",
			c.RebalanceTimeout, need, c.DrainTimeout, c.CommitTimeout)
	}
	if c.MaxBufferedBytes < 0 || c.MaxBufferedRecords < 0 {
		bad("MaxBufferedBytes, MaxBufferedRecords: a negative bound")
	}
	if c.MaxBufferedBytes == 0 {
		c.MaxBufferedBytes = defaultBytes
	}
	if c.MaxBufferedRecords == 0 {
		c.MaxBufferedRecords = defaultRecords
	}
	if c.OnDataLoss < GoOn || c.OnDataLoss > HaltPartition {
		bad("OnDataLoss: %d is neither GoOn nor HaltPartition", int(c.OnDataLoss))
	}
	if c.SASL != nil {
		if _, err := c.SASL.mechanism(); err != nil {
			bad("SASL: %v", err)
		}
	}
	if name := ownedOption(c.ClientOptions); name != "" {
		bad("ClientOptions: kgo.%s belongs to the engine; use the field of Config that stands for it", name)
	}
	return c, errors.Join(errs...)
}
