package pipeline

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Copier makes the record for the sink's topic of a record of the source. What no expression makes anew stays as it was, byte by byte:
// key, value, headers and timestamp. A Copier is safe for use by several goroutines.
type Copier struct {
	format Format
	filter *Expression
	topic  Topic
}

// NewCopier makes the copier of a file that holds no mistake.
func NewCopier(s *Spec) *Copier {
	return &Copier{format: s.Decode, filter: s.Transform.Filter, topic: s.Topic}
}

// Decode makes the record; nil when the filter rejected it. A tombstone stays one, and no filter is asked. An error means that none can
// ever be made of it; it never quotes the record.
func (c *Copier) Decode(r *kgo.Record) (*kgo.Record, error) {
	to := &kgo.Record{Topic: c.topic.Name, Key: r.Key, Value: r.Value, Headers: slices.Clip(r.Headers), Timestamp: r.Timestamp}
	seen := &variables{record: r, format: c.format}
	var err error
	if r.Value != nil {
		if seen.fields, err = c.format.parse(r.Value); err != nil {
			return nil, err
		}
		if c.filter != nil {
			if goesOn, err := c.filter.holds(seen); err != nil || !goesOn {
				return nil, err
			}
		}
		if c.topic.Value != nil {
			if to.Value, err = c.topic.Value.bytes(seen); err != nil {
				return nil, fmt.Errorf("sink.topic.value: %w", err)
			}
		}
	}
	if c.topic.Key != nil {
		if to.Key, err = c.topic.Key.bytes(seen); err != nil {
			return nil, fmt.Errorf("sink.topic.key: %w", err)
		}
	}
	return to, nil
}
