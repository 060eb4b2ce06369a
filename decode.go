package sluice

import (
	"encoding/json"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Decoder turns a record into a value. An error is poison: the record is never tried again, and goes where OnFailure
// says. A decoder may be called more than once for a record, and from several goroutines.
type Decoder[V any] func(*kgo.Record) (V, error)

// JSON decodes the record's value as JSON. A tombstone (a record without a value) is an error: decode it yourself where a
// topic has them.
func JSON[V any](r *kgo.Record) (V, error) {
	var v V
	if r.Value == nil {
		return v, fmt.Errorf("the record has no value (a tombstone), so there is no JSON to decode")
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, fmt.Errorf("decode JSON: %w", err)
	}
	return v, nil
}

// Raw hands the record's value over as it is. It shares memory with the record.
func Raw(r *kgo.Record) ([]byte, error) { return r.Value, nil }

// Text hands the record's value over as a string.
func Text(r *kgo.Record) (string, error) { return string(r.Value), nil }
