package sluice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Encoder turns a value into a record's value, as a Decoder turns it back. It may be called from several goroutines.
type Encoder[V any] func(V) ([]byte, error)

// EncodeJSON encodes a value as JSON.
func EncodeJSON[V any](v V) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return b, nil
}

// EncodeRaw takes bytes as they are. The record shares their memory; nil is a tombstone.
func EncodeRaw(v []byte) ([]byte, error) { return v, nil }

// EncodeText takes a text as it is.
func EncodeText(v string) ([]byte, error) { return []byte(v), nil }

// TopicConfig says how values become records of a topic. Name and Encode are required.
type TopicConfig[V any] struct {
	// Name is the topic. Required.
	Name string

	// Encode makes a record's value. A record whose value cannot be encoded is not sent, and fails with Encode's error. Required.
	Encode Encoder[V]

	// Headers of a value's record. Nil: none.
	Headers func(V) []kgo.RecordHeader

	// Key of a value's record: records with the same key keep their order. Nil: none.
	Key func(V) []byte
}

// Topic writes values of one type to one topic, through a producer that many of them may share.
type Topic[V any] struct {
	producer *Producer
	cfg      TopicConfig[V]
}

// NewTopic makes a Topic. Its error joins a *ConfigError for each mistake. It does no I/O: whether the topic exists shows when
// the first record is sent.
func NewTopic[V any](p *Producer, cfg TopicConfig[V]) (*Topic[V], error) {
	var errs []error
	if cfg.Name == "" {
		errs = append(errs, &ConfigError{Field: "TopicConfig.Name", Problem: "a topic's name is required"})
	}
	if cfg.Encode == nil {
		errs = append(errs, &ConfigError{
			Field: "TopicConfig.Encode", Problem: "is required: EncodeJSON, EncodeRaw, EncodeText, or your own",
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Topic[V]{producer: p, cfg: cfg}, nil
}

// Record is the record of a value, for who wants to change it before it is sent.
func (t *Topic[V]) Record(v V) (*kgo.Record, error) {
	r := &kgo.Record{Topic: t.cfg.Name}
	if t.cfg.Key != nil {
		r.Key = t.cfg.Key(v)
	}
	if t.cfg.Headers != nil {
		r.Headers = t.cfg.Headers(v)
	}
	var err error
	if r.Value, err = t.cfg.Encode(v); err != nil {
		return r, err
	}
	return r, nil
}

// Send writes values and waits for their acknowledgements, as Producer.Send does. One that cannot be encoded fails alone.
func (t *Topic[V]) Send(ctx context.Context, values ...V) error {
	records, errs := make([]*kgo.Record, len(values)), make([]error, len(values))
	for i, v := range values {
		records[i], errs[i] = t.Record(v)
	}
	return t.producer.sendEach(ctx, records, errs)
}

// Enqueue writes a value in the background, as Producer.Enqueue does.
func (t *Topic[V]) Enqueue(ctx context.Context, v V, done func(*kgo.Record, error)) {
	r, err := t.Record(v)
	t.producer.outbox.send(ctx, r, err, done, nil, -1)
}

// Tombstone deletes keys from a compacted topic: it writes a record without a value for each, and waits for their
// acknowledgements. A nil key fails, as it names nothing.
func (t *Topic[V]) Tombstone(ctx context.Context, keys ...[]byte) error {
	records, errs := make([]*kgo.Record, len(keys)), make([]error, len(keys))
	for i, key := range keys {
		records[i] = &kgo.Record{Topic: t.cfg.Name, Key: key}
		if key == nil {
			errs[i] = errors.New("a tombstone needs a key")
		}
	}
	return t.producer.sendEach(ctx, records, errs)
}
