// Package jsonline writes records as lines of JSON and reads them back: the same key, value, headers and timestamp, with
// null distinct from empty.
//
//	{"topic":"orders","partition":0,"offset":7,"timestamp":"2026-01-31T08:00:00.123Z","key":"k","value":"v",
//	 "headers":[{"key":"trace","value":"1"}]}
//
// Bytes that are not UTF-8 are base64, in key_base64 or value_base64 in place of key or value. A record without a timestamp
// has null; one before the year 0 or after 9999 has the number of milliseconds. What lies outside 1677-09-21 to 2262-04-11 is
// written and not read back: the client cannot send it.
package jsonline

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// timeLayout is RFC 3339 with Kafka's precision.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// lastYear is the last one that RFC 3339 can write.
const lastYear = 9999

// Append writes a record without the line's end.
func Append(b []byte, r *kgo.Record) []byte {
	b = append(b, `{"topic":`...)
	b = AppendText(b, r.Topic)
	b = append(b, `,"partition":`...)
	b = strconv.AppendInt(b, int64(r.Partition), 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, r.Offset, 10)
	b = append(b, ',')
	return append(AppendContent(b, r), '}')
}

// AppendContent writes what a record holds, as fields of an object: timestamp, key, value and headers.
func AppendContent(b []byte, r *kgo.Record) []byte {
	b = append(b, `"timestamp":`...)
	b = appendTime(b, r.Timestamp)
	b = append(b, ',')
	b = appendBytes(b, "key", r.Key)
	b = append(b, ',')
	b = appendBytes(b, "value", r.Value)
	b = append(b, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendBytes(b, "key", []byte(h.Key))
		b = append(b, ',')
		b = appendBytes(b, "value", h.Value)
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendTime(b []byte, at time.Time) []byte {
	const none = -1 // Kafka's timestamp of a record that has none
	if at.IsZero() || at.UnixMilli() == none {
		return append(b, "null"...)
	}
	at = at.UTC()
	if year := at.Year(); year < 0 || year > lastYear {
		return strconv.AppendInt(b, at.UnixMilli(), 10)
	}
	b = append(b, '"')
	b = at.AppendFormat(b, timeLayout)
	return append(b, '"')
}

// appendBytes writes a field; an empty key of a header is no null one, hence []byte and not nil.
func appendBytes(b []byte, name string, data []byte) []byte {
	b = append(b, '"')
	b = append(b, name...)
	switch {
	case data == nil:
		return append(b, `":null`...)
	case utf8.Valid(data):
		b = append(b, `":`...)
		return AppendText(b, string(data))
	}
	b = append(b, `_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

const hex = "0123456789abcdef"

// AppendText writes a string that is UTF-8. HTML's characters are left as they are.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// compact tells what a JSON value is, for messages.
func compact(raw json.RawMessage) string {
	const most = 40
	if len(raw) > most {
		return string(raw[:most]) + "…"
	}
	return string(raw)
}
