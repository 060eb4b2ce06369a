package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/jsonline"
)

// separators may be given as they are typed.
var separators = strings.NewReplacer(`\t`, "\t")

// input makes records of lines. An error names the line and, where it is known, the column.
type input struct {
	name        string // the file's
	json        bool
	topic       string // empty: what the line says
	separator   []byte // empty: no keys
	null        *string
	headers     []kgo.RecordHeader
	partition   int32 // -1: what the line says, or the key
	repartition bool

	manual  bool  // the first record had a partition
	decided int64 // its line; 0: none yet
}

// record returns nil for a line that is none.
func (in *input) record(number int64, line []byte) (*kgo.Record, error) {
	r := &kgo.Record{Topic: in.topic}
	if in.json {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil, nil //nolint:nilnil // as documented
		}
		parsed, err := jsonline.Parse(line)
		if err != nil {
			return nil, in.lineError(number, err)
		}
		given := parsed.HasPartition && !in.repartition && in.partition < 0
		if err := in.alike(number, given); err != nil {
			return nil, err
		}
		topic := r.Topic
		if r = parsed.Record; topic != "" {
			r.Topic = topic
		}
		if r.Topic == "" {
			return nil, in.lineError(number, fmt.Errorf("no topic; give each line one, or -t for all"))
		}
	} else {
		r.Value = line
		if len(in.separator) > 0 {
			if key, value, found := bytes.Cut(line, in.separator); found {
				r.Key, r.Value = key, value
			}
		}
		if in.null != nil {
			r.Key, r.Value = in.nullify(r.Key), in.nullify(r.Value)
		}
	}
	if in.partition >= 0 {
		r.Partition = in.partition
	}
	r.Headers = append(r.Headers, in.headers...)
	return r, nil
}

func (in *input) nullify(b []byte) []byte {
	if b != nil && string(b) == *in.null {
		return nil
	}
	return b
}

// alike sees to it that all lines say where they go, or none does: which way the client goes is set once.
func (in *input) alike(number int64, given bool) error {
	switch {
	case in.decided == 0:
		in.manual, in.decided = given, number
	case given && !in.manual:
		return in.lineError(number, fmt.Errorf("a partition, where line %d has none; --repartition leaves them to the keys", in.decided))
	case !given && in.manual:
		return in.lineError(number, fmt.Errorf("no partition, where line %d has one; --repartition leaves them to the keys", in.decided))
	}
	return nil
}

// lineError is a mistake in the input: it stands alone, with its place.
func (in *input) lineError(number int64, err error) error {
	place := fmt.Sprintf("%s:%d", in.name, number)
	if s, ok := err.(*jsonline.SyntaxError); ok { //nolint:errorlint // Parse returns nothing else
		return fmt.Errorf("%s:%d: %s; nothing from here on was sent", place, s.Column, s.Problem)
	}
	return fmt.Errorf("%s: %w; nothing from here on was sent", place, err)
}
