package sluice

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// DeadLetterHeaders says by whose names a dead letter tells where it comes from, so that the tools that read those find
// theirs.
type DeadLetterHeaders string

const (
	// NativeHeaders are the ten below, all of them text. The default.
	NativeHeaders DeadLetterHeaders = "native"

	// SpringHeaders are those of spring-kafka's DeadLetterPublishingRecoverer: kafka_dlt-original-topic, -partition (int32),
	// -offset, -timestamp (int64), -timestamp-type, -consumer-group; kafka_dlt-exception-fqcn, -cause-fqcn, -message,
	// -stacktrace (of a panic); kafka_deliveryAttempt (int32). Numbers are big-endian, the rest is text. The class of an
	// exception is sluice. and the error class.
	SpringHeaders DeadLetterHeaders = "spring"

	// ConnectHeaders are those of Kafka Connect, __connect.errors.topic and so on, all of them text. The connector's name is
	// the group.
	ConnectHeaders DeadLetterHeaders = "connect"

	// KafkaHeaders are those of Kafka's share groups (KIP-1191), __dlq.errors.topic and so on, all of them text.
	KafkaHeaders DeadLetterHeaders = "kafka"
)

// The native headers of a dead letter.
const (
	HeaderTopic        = "sluice-topic"
	HeaderPartition    = "sluice-partition"
	HeaderOffset       = "sluice-offset"
	HeaderTimestamp    = "sluice-timestamp" // of the source record, RFC 3339 in UTC, with milliseconds
	HeaderGroup        = "sluice-group"
	HeaderAttempts     = "sluice-attempts"
	HeaderFirstFailure = "sluice-first-failure" // RFC 3339 in UTC, with milliseconds
	HeaderLastFailure  = "sluice-last-failure"
	HeaderErrorClass   = "sluice-error-class" // poison, panic, decode, attempts or stuck
	HeaderError        = "sluice-error"       // the message, at most 2,000 bytes
)

const (
	headerTime     = "2006-01-02T15:04:05.000Z"
	maxHeaderError = 2000
	maxHeaderStack = 8000
)

// headerSet is one way to write the headers.
type headerSet struct {
	ours  func(name string) bool // those that an earlier hop added
	write func(group string, f engine.Failure) []kgo.RecordHeader
}

var headerSets = map[DeadLetterHeaders]headerSet{
	NativeHeaders:  {nativeHeader, nativeHeaders},
	SpringHeaders:  {springHeader, springHeaders},
	ConnectHeaders: {hasPrefix("__connect.errors."), connectHeaders},
	KafkaHeaders:   {hasPrefix("__dlq.errors."), kafkaHeaders},
}

func hasPrefix(prefix string) func(string) bool {
	return func(name string) bool { return strings.HasPrefix(name, prefix) }
}

// deadLetterRecord is the copy of a failed record.
func deadLetterRecord(d DeadLetter, group string, f engine.Failure) *kgo.Record {
	set := headerSets[d.Headers]
	r := f.Record
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool { return set.ours(h.Key) })
	headers = append(headers, set.write(group, f)...)
	return &kgo.Record{Topic: d.Topic, Key: r.Key, Value: r.Value, Headers: headers, Timestamp: r.Timestamp}
}

func nativeHeader(name string) bool {
	switch name {
	case HeaderTopic, HeaderPartition, HeaderOffset, HeaderTimestamp, HeaderGroup, HeaderAttempts,
		HeaderFirstFailure, HeaderLastFailure, HeaderErrorClass, HeaderError:
		return true
	}
	return false
}

func nativeHeaders(group string, f engine.Failure) []kgo.RecordHeader {
	r := f.Record
	return textHeaders("",
		HeaderTopic, r.Topic,
		HeaderPartition, strconv.Itoa(int(r.Partition)),
		HeaderOffset, itoa(r.Offset),
		HeaderTimestamp, r.Timestamp.UTC().Format(headerTime),
		HeaderGroup, group,
		HeaderAttempts, strconv.Itoa(f.Attempts),
		HeaderFirstFailure, f.First.UTC().Format(headerTime),
		HeaderLastFailure, f.Last.UTC().Format(headerTime),
		HeaderErrorClass, f.Class,
		HeaderError, cut(f.Err.Error(), maxHeaderError),
	)
}

func springHeader(name string) bool {
	return strings.HasPrefix(name, "kafka_dlt-") || name == "kafka_deliveryAttempt"
}

func springHeaders(group string, f engine.Failure) []kgo.RecordHeader {
	r := f.Record
	kind := "CreateTime"
	if r.Attrs.TimestampType() == 1 {
		kind = "LogAppendTime"
	}
	int32s := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(int32(n)))) }
	int64s := func(n int64) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	headers := textHeaders("kafka_dlt-",
		"original-topic", r.Topic,
		"original-partition", int32s(int(r.Partition)),
		"original-offset", int64s(r.Offset),
		"original-timestamp", int64s(r.Timestamp.UnixMilli()),
		"original-timestamp-type", kind,
		"original-consumer-group", group,
		"exception-fqcn", errorClass(f),
		"exception-cause-fqcn", errorType(f.Err),
		"exception-message", cut(f.Err.Error(), maxHeaderError),
	)
	headers = withStack(headers, "kafka_dlt-exception-stacktrace", f.Err)
	return append(headers, kgo.RecordHeader{Key: "kafka_deliveryAttempt", Value: []byte(int32s(f.Attempts))})
}

func connectHeaders(group string, f engine.Failure) []kgo.RecordHeader {
	r := f.Record
	stage := "TASK_PUT"
	if f.Class == "decode" {
		stage = "VALUE_CONVERTER"
	}
	headers := textHeaders("__connect.errors.",
		"topic", r.Topic,
		"partition", strconv.Itoa(int(r.Partition)),
		"offset", itoa(r.Offset),
		"connector.name", group,
		"task.id", "0",
		"stage", stage,
		"class.name", "sluice",
		"exception.class.name", errorClass(f),
		"exception.message", cut(f.Err.Error(), maxHeaderError),
	)
	return withStack(headers, "__connect.errors.exception.stacktrace", f.Err)
}

func kafkaHeaders(group string, f engine.Failure) []kgo.RecordHeader {
	r := f.Record
	return textHeaders("__dlq.errors.",
		"topic", r.Topic,
		"partition", strconv.Itoa(int(r.Partition)),
		"offset", itoa(r.Offset),
		"group", group,
		"delivery.count", strconv.Itoa(f.Attempts),
		"message", cut(f.Err.Error(), maxHeaderError),
	)
}

// textHeaders makes headers of names and values in turn.
func textHeaders(prefix string, pairs ...string) []kgo.RecordHeader {
	headers := make([]kgo.RecordHeader, 0, len(pairs)/2+1)
	for pair := range slices.Chunk(pairs, 2) {
		headers = append(headers, kgo.RecordHeader{Key: prefix + pair[0], Value: []byte(pair[1])})
	}
	return headers
}

func errorClass(f engine.Failure) string { return "sluice." + f.Class }

// errorType is the Go type of what lies at the bottom of an error.
func errorType(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("%T", err)
		}
		err = inner
	}
}

// withStack adds the stack of a panic; other errors have none.
func withStack(headers []kgo.RecordHeader, name string, err error) []kgo.RecordHeader {
	if p, ok := errors.AsType[*PanicError](err); ok {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(cut(string(p.Stack), maxHeaderStack))})
	}
	return headers
}

// cut shortens a text to at most n bytes, and no half character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for i := n; i > max(0, n-utf8.UTFMax); i-- { // binary text has no start of a character near
		if utf8.RuneStart(s[i]) {
			return s[:i]
		}
	}
	return s[:n]
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
