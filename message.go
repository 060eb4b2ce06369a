package sluice

import (
	"encoding/hex"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// Message is one record as its handler sees it.
type Message[V any] struct {
	// Value is what the route's Decode made of the record.
	Value V

	// Record is the record as it was fetched, and where it comes from a retry topic as it was in its own one. It must not be
	// changed: a dead letter is copied from it.
	Record *kgo.Record

	// Attempt counts the calls of the handler for this record in this process, from 1. A restart begins again at 1. In a retry topic it
	// goes on from where the record left the topic before.
	Attempt int

	work *engine.Work // nil on a message that no engine made
}

// Key is the record's key; nil means that it has none.
func (m Message[V]) Key() []byte { return m.Record.Key }

// Topic is the record's topic.
func (m Message[V]) Topic() string { return m.Record.Topic }

// Partition is the record's partition.
func (m Message[V]) Partition() int32 { return m.Record.Partition }

// Offset is the record's offset in its partition.
func (m Message[V]) Offset() int64 { return m.Record.Offset }

// Timestamp is the record's timestamp, the producer's or the broker's as the topic is configured.
func (m Message[V]) Timestamp() time.Time { return m.Record.Timestamp }

// ID names the record for ever: topic id (or the topic's name where the broker tells no id), partition and offset, joined
// by dashes. It is what a handler hands to a system that deduplicates: the same record has the same ID at every attempt
// and in every process, and a topic that was deleted and made again does not repeat an ID.
func (m Message[V]) ID() string {
	name := m.Record.Topic
	if m.work != nil && m.work.TopicID != ([16]byte{}) {
		name = hex.EncodeToString(m.work.TopicID[:])
	}
	return name + "-" + strconv.Itoa(int(m.Record.Partition)) + "-" + strconv.FormatInt(m.Record.Offset, 10)
}

// Done finishes the record, where the route commits Manually; elsewhere a handler's return does, and Done does nothing. It
// may be called from any goroutine, before or after the handler has returned nil; when the handler returns an error, that
// counts. A second call does nothing, nor does one for a partition that is gone: the record runs again elsewhere.
func (m Message[V]) Done() {
	if m.work != nil && m.work.Finish != nil {
		m.work.Finish(m.Record)
	}
}

// LogValue tells where the record lies and never what it holds.
func (m Message[V]) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("topic", m.Record.Topic),
		slog.Int("partition", int(m.Record.Partition)),
		slog.Int64("offset", m.Record.Offset),
		slog.Int("attempt", m.Attempt),
	)
}

// Batch is what the handler of a [BatchRoute] gets: records of one partition, in offset order within each lane.
type Batch[V any] struct {
	// Topic and Partition name the partition that every message is from. In a batch of a retry topic they are those of the first
	// message: where the source has got more partitions than the retry topic, the others may be from another partition.
	Topic     string
	Partition int32

	// Messages may be empty on a route with Offsets: then every record of the batch was settled by its policy, and the
	// sink has to step over them.
	Messages []Message[V]

	// Next is the offset after the last record of the batch, records that were skipped or dead-lettered among them. It is
	// what a sink that keeps offsets itself stores. Only meaningful with the ordering ByPartition; -1 in a batch of a retry topic, whose
	// messages come out of order.
	Next int64

	// NextEpoch is the leader epoch of the batch's last record; -1 when unknown.
	NextEpoch int32

	// Claim is what [Offsets].Claim returned for this assignment as its Token; nil on routes without Offsets.
	Claim any
}
