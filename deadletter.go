package sluice

import (
	"context"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// DeadLetter copies a failed record to a topic. The record is finished only when the copy was acknowledged by all in-sync
// replicas; until then it stays and the copy is tried again. Key, value, headers and timestamp are kept, and the headers
// below are added, as text; those of an earlier dead letter are replaced. Dead letters are at least once: count them by
// HeaderTopic, HeaderPartition and HeaderOffset.
type DeadLetter struct {
	// Topic must exist. Required.
	Topic string
}

// Headers of a dead letter.
const (
	HeaderTopic        = "sluice-topic"
	HeaderPartition    = "sluice-partition"
	HeaderOffset       = "sluice-offset"
	HeaderTimestamp    = "sluice-timestamp" // of the source record, RFC 3339 in UTC, with milliseconds
	HeaderGroup        = "sluice-group"
	HeaderAttempts     = "sluice-attempts"
	HeaderFirstFailure = "sluice-first-failure" // RFC 3339 in UTC, with milliseconds
	HeaderLastFailure  = "sluice-last-failure"
	HeaderErrorClass   = "sluice-error-class" // poison, panic, decode or attempts
	HeaderError        = "sluice-error"       // the message, at most 2,000 bytes
)

const (
	headerTime     = "2006-01-02T15:04:05.000Z"
	maxHeaderError = 2000
)

var deadLetterHeaders = []string{
	HeaderTopic, HeaderPartition, HeaderOffset, HeaderTimestamp, HeaderGroup, HeaderAttempts,
	HeaderFirstFailure, HeaderLastFailure, HeaderErrorClass, HeaderError,
}

// deadLetter writes copies to d's topic.
func (a *App) deadLetter(d DeadLetter) func(engine.Failure, func(error)) {
	p := a.producer
	return func(f engine.Failure, done func(error)) {
		// Not the assignment's context: a copy that is under way when a partition leaves may still be acknowledged.
		ctx := context.Background() //nolint:forbidigo // see above
		p.Enqueue(ctx, deadLetterRecord(d.Topic, a.cfg.Group, f), func(_ *kgo.Record, err error) { done(err) })
	}
}

// deadLetterRecord is the copy of a failed record.
func deadLetterRecord(topic, group string, f engine.Failure) *kgo.Record {
	r := f.Record
	message := f.Err.Error()
	if len(message) > maxHeaderError {
		end := maxHeaderError
		for !utf8.RuneStart(message[end]) {
			end--
		}
		message = message[:end]
	}
	headers := slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		return slices.Contains(deadLetterHeaders, h.Key)
	})
	for _, h := range [][2]string{
		{HeaderTopic, r.Topic},
		{HeaderPartition, strconv.Itoa(int(r.Partition))},
		{HeaderOffset, strconv.FormatInt(r.Offset, 10)},
		{HeaderTimestamp, r.Timestamp.UTC().Format(headerTime)},
		{HeaderGroup, group},
		{HeaderAttempts, strconv.Itoa(f.Attempts)},
		{HeaderFirstFailure, f.First.UTC().Format(headerTime)},
		{HeaderLastFailure, f.Last.UTC().Format(headerTime)},
		{HeaderErrorClass, f.Class},
		{HeaderError, message},
	} {
		headers = append(headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: headers, Timestamp: r.Timestamp}
}

// deadLetterTimeout is how long one attempt to write a dead letter may take before it is told as failed and tried again.
const deadLetterTimeout = 30 * time.Second
