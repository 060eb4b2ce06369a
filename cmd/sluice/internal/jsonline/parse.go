package jsonline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is what a line says. Its Topic may be empty; its Timestamp is zero where the line has none.
type Record struct {
	*kgo.Record

	HasPartition bool
}

// SyntaxError is a mistake in a line.
type SyntaxError struct {
	Column  int // in bytes, from 1
	Problem string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Problem) }

// Parse reads a line. Beside what Append writes, a key or a value that is no string is taken as the JSON text that it is, so
// that {"value":{"id":1}} is a record with the value {"id":1}; offset is read over. Any error is a *SyntaxError.
func Parse(line []byte) (Record, error) {
	if at := firstInvalid(line); at >= 0 {
		return Record{}, &SyntaxError{at + 1, "not UTF-8; give such bytes as base64, in key_base64 or value_base64"}
	}
	if err := valid(line); err != nil {
		return Record{}, err
	}
	out := Record{Record: &kgo.Record{}}
	err := eachField(line, 0, "a record", func(name string, at int, raw json.RawMessage) error {
		var err error
		switch name {
		case "topic":
			out.Topic, err = textOf(name, at, raw)
		case "partition":
			out.Partition, out.HasPartition, err = partitionOf(at, raw)
		case "offset":
		case "timestamp":
			out.Timestamp, err = timeOf(at, raw)
		case "key", "key_base64":
			out.Key, err = bytesOf(name, at, raw)
		case "value", "value_base64":
			out.Value, err = bytesOf(name, at, raw)
		case "headers":
			out.Headers, err = headersOf(at, raw)
		default:
			err = &SyntaxError{at + 1, fmt.Sprintf("the field %q is none of topic, partition, timestamp, key, key_base64, value, "+
				"value_base64 and headers", name)}
		}
		return err
	})
	if err != nil {
		return Record{}, err
	}
	return out, nil
}

// firstInvalid is where the first byte is that is not UTF-8, or -1.
func firstInvalid(line []byte) int {
	if utf8.Valid(line) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(line[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
}

// valid says where the JSON itself is wrong. What it lets pass a walker can read.
func valid(line []byte) error {
	if json.Valid(line) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(line, &raw)
	at, problem := 1, err.Error()
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = int(s.Offset)
		if at == len(line) && !strings.HasPrefix(problem, "invalid character") {
			return &SyntaxError{at + 1, "the line ends within the JSON"}
		}
	}
	return &SyntaxError{max(at, 1), "not JSON: " + problem}
}

// eachField calls field with each member of an object, and with where its value begins in the line; base is where the object
// begins.
func eachField(object []byte, base int, what string, field func(name string, at int, raw json.RawMessage) error) error {
	w := walker{text: object}
	if w.next() != '{' {
		return &SyntaxError{base + 1, what + " is a JSON object, as in {\"key\":\"k\",\"value\":\"v\"}"}
	}
	var few [8]string
	seen := few[:0]
	for w.at++; w.next() != '}'; {
		text, at := w.value()
		name, err := textOf("a field's name", base+at, text)
		if err != nil {
			return err
		}
		raw, at := w.value()
		one := strings.TrimSuffix(name, "_base64")
		if slices.Contains(seen, one) {
			return &SyntaxError{base + at + 1, one + " is given twice"}
		}
		seen = append(seen, one)
		if err := field(name, base+at, raw); err != nil {
			return err
		}
	}
	return nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func textOf(name string, at int, raw json.RawMessage) (string, error) {
	var s string
	if raw[0] != '"' {
		return "", &SyntaxError{at + 1, fmt.Sprintf("%s: %s is not a string", name, compact(raw))}
	}
	if !bytes.ContainsRune(raw, '\\') {
		return string(raw[1 : len(raw)-1]), nil
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", &SyntaxError{at + 1, name + ": " + err.Error()}
	}
	if halfCharacter(raw) {
		return "", &SyntaxError{at + 1, name + `: half a character (\ud800 to \udfff without its other half)`}
	}
	return s, nil
}

// halfCharacter tells whether an escape is half of a UTF-16 pair, which the decoder would replace.
func halfCharacter(raw []byte) bool {
	high := false // the escape before this place is the first half of a pair
	for i := 0; i < len(raw); i++ {
		unit := uint64(0)
		if raw[i] == '\\' {
			i++
			if raw[i] == 'u' {
				unit, _ = strconv.ParseUint(string(raw[i+1:i+5]), 16, 16)
				i += 4
			}
		}
		low := unit >= 0xdc00 && unit < 0xe000
		if low != high {
			return true
		}
		high = unit >= 0xd800 && unit < 0xdc00
	}
	return high
}

func bytesOf(name string, at int, raw json.RawMessage) ([]byte, error) {
	_, encoded := strings.CutSuffix(name, "_base64")
	switch {
	case isNull(raw):
		return nil, nil
	case raw[0] != '"' && !encoded:
		return raw, nil
	}
	s, err := textOf(name, at, raw)
	if err != nil || !encoded {
		return []byte(s), err
	}
	out, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, &SyntaxError{at + 1, name + ": " + err.Error()}
	}
	return out, nil
}

func partitionOf(at int, raw json.RawMessage) (partition int32, given bool, err error) {
	if isNull(raw) {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil || n < 0 {
		return 0, false, &SyntaxError{at + 1, fmt.Sprintf("partition: %s is not the number of a partition", compact(raw))}
	}
	return int32(n), true, nil
}

func timeOf(at int, raw json.RawMessage) (time.Time, error) {
	if isNull(raw) {
		return time.Time{}, nil
	}
	if raw[0] != '"' {
		if ms, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return sendable(at, raw, time.UnixMilli(ms))
		}
	} else {
		s, err := textOf("timestamp", at, raw)
		if err != nil {
			return time.Time{}, err
		}
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return sendable(at, raw, t)
		}
	}
	return time.Time{}, &SyntaxError{
		at + 1,
		fmt.Sprintf("timestamp: %s is neither a time as in \"2026-01-31T08:00:00Z\" nor milliseconds since 1970", compact(raw)),
	}
}

// earliest and latest are what the client can send: it counts nanoseconds since 1970 in 64 bits.
var earliest, latest = time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64)

// sendable refuses a time that would arrive as another one.
func sendable(at int, raw json.RawMessage, t time.Time) (time.Time, error) {
	if t.Before(earliest) || t.After(latest) {
		return time.Time{}, &SyntaxError{at + 1, fmt.Sprintf("timestamp: %s cannot be sent: it is not between %s and %s", compact(raw),
			earliest.UTC().Format(time.RFC3339), latest.UTC().Format(time.RFC3339))}
	}
	return t, nil
}

func headersOf(at int, raw json.RawMessage) ([]kgo.RecordHeader, error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] != '[' {
		return nil, &SyntaxError{at + 1, `headers: a list is expected, as in [{"key":"trace","value":"1"}]`}
	}
	var out []kgo.RecordHeader
	list := walker{text: raw}
	for list.at++; list.next() != ']'; {
		one, begin := list.value()
		h, err := headerOf(at+begin, one)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func headerOf(at int, raw json.RawMessage) (kgo.RecordHeader, error) {
	var out kgo.RecordHeader
	named := false
	err := eachField(raw, at, "a header", func(name string, at int, raw json.RawMessage) error {
		var err error
		switch name {
		case "key", "key_base64":
			var key []byte
			key, err = bytesOf(name, at, raw)
			out.Key, named = string(key), !isNull(raw)
		case "value", "value_base64":
			out.Value, err = bytesOf(name, at, raw)
		default:
			err = &SyntaxError{at + 1, fmt.Sprintf("the field %q of a header is none of key, key_base64, value and value_base64", name)}
		}
		return err
	})
	if err == nil && !named {
		err = &SyntaxError{at + 1, "a header without a key"}
	}
	return out, err
}
