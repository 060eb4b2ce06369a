package jsonline

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 9, 0, 0, 123_999_999, time.FixedZone("", 3600))
	for want, r := range map[string]*kgo.Record{
		`{"topic":"orders","partition":3,"offset":7,"timestamp":"2026-01-31T08:00:00.123Z","key":"k","value":"<v>\n\"\\\u0000","headers":[{"key":"a","value":"1"},{"key":"a","value":null}]}`: {
			Topic: "orders", Partition: 3, Offset: 7, Timestamp: at, Key: []byte("k"), Value: []byte("<v>\n\"\\\x00"),
			Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a"}},
		},
		`{"topic":"t","partition":0,"offset":0,"timestamp":null,"key":null,"value":null,"headers":[]}`: {Topic: "t", Timestamp: time.UnixMilli(-1)},
		`{"topic":"t","partition":0,"offset":0,"timestamp":253402300800000,"key":"","value_base64":"/w==","headers":[{"key_base64":"/g==","value":""}]}`: {
			Topic: "t", Timestamp: time.UnixMilli(253402300800000), Key: []byte{}, Value: []byte{0xff},
			Headers: []kgo.RecordHeader{{Key: "\xfe", Value: []byte{}}},
		},
	} {
		if got := string(Append(nil, r)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]kgo.Record{
		`{"value":"v"}`: {Value: []byte("v")},
		` { "key" : "k", "value" : { "id": 1.50 } } `:                        {Key: []byte("k"), Value: []byte(`{ "id": 1.50 }`)},
		`{"key":12,"value":[1,"x"],"partition":null}`:                        {Key: []byte("12"), Value: []byte(`[1,"x"]`)},
		`{"key":null,"value":null,"headers":null}`:                           {},
		`{"value":"\ud83d\ude00 \ufffd �"}`:                                  {Value: []byte("😀 � �")},
		`{"value":"v","timestamp":"2026-01-31T09:00:00.5+01:00","offset":9}`: {Value: []byte("v"), Timestamp: time.UnixMilli(1769846400500)},
		`{"value":"v","timestamp":1769846400500}`:                            {Value: []byte("v"), Timestamp: time.UnixMilli(1769846400500)},
		`{"value":"a\"b\\","headers":[ {"value":"]}\"" , "key":"[{"} ],"key":{"a":["}",{}]}}`: {
			Key: []byte(`{"a":["}",{}]}`), Value: []byte(`a"b\`), Headers: []kgo.RecordHeader{{Key: "[{", Value: []byte(`]}"`)}},
		},
		`{}`: {},
	} {
		got, err := Parse([]byte(line))
		if err != nil || !same(got.Record, &want) || got.HasPartition {
			t.Errorf("%s becomes %+v, %v", line, got.Record, err)
		}
	}
	if got, err := Parse([]byte(`{"topic":"t","partition":5,"value":"v"}`)); err != nil || got.Topic != "t" || got.Partition != 5 || !got.HasPartition {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A mistake is told with its column, and nothing is taken in silence.
func TestParseFails(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`nothing`:                     "column 2: not JSON: ",
		`["value"]`:                   "column 1: a record is a JSON object",
		`{"value":"v"`:                "column 13: the line ends within the JSON",
		`{"value":"v",}`:              "column 14: not JSON: ",
		`{"value":tru}`:               "column 13: not JSON: ",
		`{"value":"v"} {"value":"w"}`: "column 15: not JSON: invalid character '{' after top-level value",
		`{"val":"v"}`:                 `column 8: the field "val" is none of topic, `,
		`{"value":"v","value":"w"}`:   "column 22: value is given twice",
		`{"key":"a","key_base64":""}`: "column 25: key is given twice",
		`{"partition":-1}`:            "column 14: partition: -1 is not the number of a partition",
		`{"partition":1.5}`:           "column 14: partition: 1.5 is not",
		`{"partition":"1"}`:           `column 14: partition: "1" is not`,
		`{"topic":1}`:                 "column 10: topic: 1 is not a string",
		`{"timestamp":"yesterday"}`:   `column 14: timestamp: "yesterday" is neither a time`,
		`{"timestamp":"2262-04-12T00:00:00Z"}`: `column 14: timestamp: "2262-04-12T00:00:00Z" cannot be sent: it is not between ` +
			"1677-09-21T00:12:43Z and 2262-04-11T23:47:16Z",
		`{"timestamp":-9223372036855}`: "column 14: timestamp: -9223372036855 cannot be sent: ",
		`{"timestamp":1.5}`:            "column 14: timestamp: 1.5 is neither",
		`{"value_base64":"?"}`:         "column 17: value_base64: illegal base64",
		`{"value_base64":7}`:           "column 17: value_base64: 7 is not a string",
		`{"value":"\ud800"}`:           "column 10: value: half a character",
		`{"value":"\ude00\ud83d"}`:     "column 10: value: half a character",
		`{"value":"\ud83dx\ude00"}`:    "column 10: value: half a character",
		`{"headers":{"a":"b"}}`:        "column 12: headers: a list is expected",
		`{"headers":["a"]}`:            "column 13: a header is a JSON object",
		`{"headers":[{"value":"b"}]}`:  "column 13: a header without a key",
		`{"headers":[{"name":"b"}]}`:   `column 21: the field "name" of a header is none of `,
		`{"headers":[{"key":"\ud8"}]}`: "column 25: not JSON: ",
		"{\"value\":\"\xff\"}":         "column 11: not UTF-8",
		``:                             "column 1: the line ends within the JSON",
	} {
		_, err := Parse([]byte(line))
		if _, ok := errors.AsType[*SyntaxError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", line, err, want)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("orders", int32(3), int64(1769846400500), []byte("k"), false, []byte("v"), false, "h", []byte("x"), uint8(1))
	f.Add("t", int32(0), int64(-1), []byte{}, true, []byte{0xff, 0}, false, "\xfe\"\\", []byte{}, uint8(2))
	f.Add("t", int32(0), int64(253402300800000), []byte{}, true, []byte(nil), true, "", []byte(nil), uint8(0))
	f.Add("t", int32(0), int64(9223372036854), []byte(`\ud800\ufffd`+"\u2028<�"), false, []byte(nil), true, "", []byte(nil), uint8(3))
	f.Fuzz(func(t *testing.T, topic string, partition int32, ms int64, key []byte, noKey bool, value []byte, noValue bool,
		header string, headerValue []byte, headers uint8,
	) {
		in := &kgo.Record{Topic: strings.ToValidUTF8(topic, "x"), Partition: max(partition, 0), Timestamp: time.UnixMilli(ms), Key: key, Value: value}
		if noKey {
			in.Key = nil
		} else if in.Key == nil {
			in.Key = []byte{}
		}
		if noValue {
			in.Value = nil
		} else if in.Value == nil {
			in.Value = []byte{}
		}
		for i := range headers % 4 {
			h := kgo.RecordHeader{Key: header, Value: headerValue}
			if i == 1 {
				h.Value = nil
			}
			in.Headers = append(in.Headers, h)
		}
		line := Append(nil, in)
		if !json.Valid(line) || bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("not a line of JSON: %q", line)
		}
		out, err := Parse(line)
		const most = 9223372036854 // of what the client can send
		if ms < -most || ms > most {
			if err == nil || !strings.Contains(err.Error(), "cannot be sent") {
				t.Fatalf("%s becomes %v, %v", line, out.Timestamp, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if ms == -1 {
			in.Timestamp = time.Time{}
		}
		if out.Topic != in.Topic || !out.HasPartition || out.Partition != in.Partition || !same(out.Record, in) {
			t.Fatalf("%s\nbecomes %+v", line, out.Record)
		}
	})
}

// FuzzParse shows that no line makes it fail otherwise than by a SyntaxError with a place in the line.
func FuzzParse(f *testing.F) {
	for _, line := range []string{`{"value":"v"}`, `{"headers":[{"key":"a"}]}`, `{"partition":`, `{"value":"\u`, "{\"\xff", `{"headers":[1`} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		_, err := Parse(line)
		s, ok := errors.AsType[*SyntaxError](err)
		if err != nil && (!ok || s.Column < 1 || s.Column > len(line)+1) {
			t.Fatalf("%q: %#v", line, err)
		}
	})
}

// same compares what a line keeps of a record, null apart from empty.
func same(a, b *kgo.Record) bool {
	equal := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	if !equal(a.Key, b.Key) || !equal(a.Value, b.Value) || len(a.Headers) != len(b.Headers) || !a.Timestamp.Equal(b.Timestamp) {
		return false
	}
	for i, h := range a.Headers {
		if h.Key != b.Headers[i].Key || !equal(h.Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

func BenchmarkParse(b *testing.B) {
	line := []byte(`{"topic":"orders","partition":3,"offset":7,"timestamp":"2026-01-31T08:00:00.123Z","key":"k-17","value":"{\"id\":17,\"amount\":\"12.50\"}","headers":[{"key":"trace","value":"1"}]}`)
	for b.Loop() {
		if _, err := Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	r := &kgo.Record{Topic: "orders", Timestamp: time.UnixMilli(1769846400500), Key: []byte("k-17"), Value: []byte(`{"id":17,"amount":"12.50"}`)}
	var line []byte
	for b.Loop() {
		line = Append(line[:0], r)
	}
}
