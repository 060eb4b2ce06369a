package sluice

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// What tests of package sluice_test see of the inside.

// OwnedOptions are the names of kgo's options that are refused.
var OwnedOptions = owned

// WithDefaults is what New makes of a configuration.
func (c Config) WithDefaults() (Config, error) { return c.withDefaults() }

// WithDefaults is what Add makes of a policy.
func (p Policy) WithDefaults() (Policy, error) {
	var bad mistakes
	p = p.withDefaults(&bad)
	return p, bad.err()
}

// Delay is the wait after some failures.
func (r Retry) Delay(failures int) time.Duration { return r.delay(failures) }

// Parts are what a Commit is made of.
func (c Commit) Parts() (interval time.Duration, records int, each bool) {
	return c.interval, c.records, c.each
}

// OutcomeOf is what the engine is told of a handler's error.
func OutcomeOf(err error) engine.Outcome { return outcome(err) }

// BatchOutcomeOf is what the engine is told of a batch handler's error about n records.
func BatchOutcomeOf(err error, n int, fenced bool) engine.BatchOutcome {
	return batchOutcome(err, n, fenced)
}

// ObserverOf is what the engine is given of some events.
func ObserverOf(e Events) engine.Observer { return e.observer() }

// DeadLetterRecord is the copy of a failed record.
func DeadLetterRecord(d DeadLetter, group string, f engine.Failure) *kgo.Record {
	return deadLetterRecord(d, group, f)
}

// TotalsOf and TrafficOf are what the engine counted, as an App tells it.
func TotalsOf(from engine.Totals) Totals  { return totals(from) }
func TrafficOf(wire *engine.Wire) Traffic { return traffic(wire) }

// RetryCopy is the copy of a failed source record for a retry topic.
func RetryCopy(to string, f engine.Failure, now time.Time) *kgo.Record {
	return retryCopy(to, f.Record.Partition, "g", f, now)
}

// OriginOf makes the source record of a copy again, and the failure that it had.
func OriginOf(copied *kgo.Record, source string) (engine.Failure, error) {
	o, err := retrySources{"g", map[string]string{copied.Topic: source}}.origin(copied)
	return engine.Failure{Record: o.record, TopicID: o.topicID, Attempts: o.attempts, First: o.first}, err
}

// WithTopicID is the message as it is where the broker tells the topic's id.
func WithTopicID[V any](m Message[V], id [16]byte) Message[V] {
	m.work = &engine.Work{TopicID: id}
	return m
}

// KeyText is a key as health and logs name it.
func KeyText(key []byte) string { return engine.KeyText(key) }
