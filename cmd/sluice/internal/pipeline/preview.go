package pipeline

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/jsonline"
)

// rejected is why a record that the filter rejects is stepped over.
const rejected = "transform.filter is false"

// Preview is what a run would make of one record, as far as that can be told without the database.
type Preview struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Op        string  `json:"op"`
	Table     string  `json:"table,omitempty"`
	Key       *Values `json:"key,omitempty"`
	Columns   *Values `json:"columns,omitempty"`
	To        string  `json:"to,omitempty"`     // the topic that it is written to, the sink's or that of dead letters
	Record    *record `json:"record,omitempty"` // what is written to the sink's
	Reason    string  `json:"reason,omitempty"` // why nothing is written
}

// record is a record that has no place yet.
type record kgo.Record

// MarshalJSON writes what it holds.
func (r *record) MarshalJSON() ([]byte, error) {
	return append(jsonline.AppendContent([]byte("{"), (*kgo.Record)(r)), '}'), nil
}

// What a run would do with a record, beside the words of Mode.
const (
	OpDelete     = "delete"
	OpWrite      = "write"       // to the sink's topic
	OpSkip       = "skip"        // step over it
	OpDeadLetter = "dead_letter" // copy it to the dead letter topic and step over it
	OpStay       = "stay"        // try it again and again, and go no further: there is no dead letter topic
)

// Values are columns in the order of the file.
type Values struct {
	names  []string
	values []any
}

func (v *Values) add(name string, value any) {
	v.names, v.values = append(v.names, name), append(v.values, value)
}

// MarshalJSON keeps the order.
func (v *Values) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, name := range v.names {
		if i > 0 {
			b.WriteByte(',')
		}
		value := v.values[i]
		if at, ok := value.(time.Time); ok {
			value = at.Format(time.RFC3339Nano)
		}
		if err := encoder.Encode(name); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := encoder.Encode(value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// Previewer makes the previews of a file that holds no mistake.
func Previewer(s *Spec) func(*kgo.Record) Preview {
	if s.ToTopic() {
		copier := NewCopier(s)
		return func(r *kgo.Record) Preview { return copier.preview(s, r) }
	}
	mapper := NewMapper(s)
	return func(r *kgo.Record) Preview { return mapper.preview(s, r) }
}

func previewOf(r *kgo.Record) Preview {
	return Preview{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// poison says what becomes of a record that can never succeed.
func (p Preview) poison(s *Spec, err error) Preview {
	p.Op, p.To, p.Reason = OpDeadLetter, s.DeadLetter, err.Error()
	if s.DeadLetter == "" {
		p.Op = OpStay
	}
	return p
}

func (c *Copier) preview(s *Spec, r *kgo.Record) Preview {
	p := previewOf(r)
	to, err := c.Decode(r)
	switch {
	case err != nil:
		return p.poison(s, err)
	case to == nil:
		p.Op, p.Reason = OpSkip, rejected
	default:
		p.Op, p.To, p.Record = OpWrite, to.Topic, (*record)(to)
	}
	return p
}

func (m *Mapper) preview(s *Spec, r *kgo.Record) Preview {
	p := previewOf(r)
	row, err := m.Decode(r)
	switch {
	case err != nil:
		return p.poison(s, err)
	case row.Rejected:
		p.Op, p.Reason = OpSkip, rejected
		return p
	case row.Tombstone && s.SQL.Tombstone == TombstoneSkip:
		p.Op, p.Reason = OpSkip, "the record has no value (a tombstone)"
		return p
	}
	p.Op, p.Table = s.SQL.Mode, s.SQL.Table
	for _, i := range s.SQL.keyColumns() {
		if p.Key == nil {
			p.Key = &Values{}
		}
		p.Key.add(m.columns[i].Name, row.Values[i])
	}
	if row.Tombstone {
		p.Op = OpDelete
		return p
	}
	p.Columns = &Values{}
	for i, c := range m.columns {
		p.Columns.add(c.Name, row.Values[i])
	}
	return p
}
