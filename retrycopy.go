package sluice

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// The headers of a copy in a retry topic, all of them text, times in milliseconds since 1970. The group makes the source record of
// them again; the last one is for people.
const (
	retryHeaderPrefix       = "sluice-retry-"
	retryHeaderGroup        = retryHeaderPrefix + "group"
	retryHeaderTopic        = retryHeaderPrefix + "topic"
	retryHeaderTopicID      = retryHeaderPrefix + "topic-id" // hex; zeros where the brokers tell none
	retryHeaderPartition    = retryHeaderPrefix + "partition"
	retryHeaderOffset       = retryHeaderPrefix + "offset"
	retryHeaderTimestamp    = retryHeaderPrefix + "timestamp"
	retryHeaderAttempts     = retryHeaderPrefix + "attempts"
	retryHeaderFirstFailure = retryHeaderPrefix + "first-failure"
	retryHeaderError        = retryHeaderPrefix + "error"
)

// origin is the source record of a copy, and what became of it before.
type origin struct {
	record   *kgo.Record
	topicID  [16]byte
	attempts int
	first    time.Time // failure
}

// errOtherGroup is the error of a copy that is another group's: two groups whose names and topics' names come to the same retry topic
// read each other's copies.
var errOtherGroup = errors.New("it is a copy of another group, which comes to a retry topic of the same name")

// origin reads a copy that this group made of a record of the topic's source.
func (s retrySources) origin(copied *kgo.Record) (origin, error) {
	source := s.of[copied.Topic]
	r := *copied
	r.Headers = nil
	headers := make(copyHeaders)
	for _, h := range copied.Headers {
		if strings.HasPrefix(h.Key, retryHeaderPrefix) {
			headers[h.Key] = string(h.Value)
		} else {
			r.Headers = append(r.Headers, h)
		}
	}
	o := origin{record: &r}
	var errs [8]error
	r.Topic, errs[0] = source, headers.is(retryHeaderTopic, source)
	o.topicID, errs[1] = headers.id(retryHeaderTopicID)
	partition, err := headers.number(retryHeaderPartition, 0, math.MaxInt32)
	r.Partition, errs[2] = int32(partition), err
	r.Offset, errs[3] = headers.number(retryHeaderOffset, 0, math.MaxInt64)
	written, err := headers.number(retryHeaderTimestamp, math.MinInt64, math.MaxInt64)
	r.Timestamp, errs[4] = time.UnixMilli(written), err
	attempts, err := headers.number(retryHeaderAttempts, 1, math.MaxInt32)
	o.attempts, errs[5] = int(attempts), err
	first, err := headers.number(retryHeaderFirstFailure, math.MinInt64, math.MaxInt64)
	o.first, errs[6] = time.UnixMilli(first), err
	r.LeaderEpoch = -1
	if other := headers[retryHeaderGroup]; other != "" && other != s.group {
		return o, fmt.Errorf("%s[%d]@%d: %w: %s", copied.Topic, copied.Partition, copied.Offset, errOtherGroup, cut(other, maxHeaderError))
	}
	errs[7] = headers.is(retryHeaderGroup, s.group)
	for _, err := range errs {
		if err != nil {
			return o, fmt.Errorf("%s[%d]@%d is no copy that the group made of a record of %s: %w; see who else writes to that topic",
				copied.Topic, copied.Partition, copied.Offset, source, err)
		}
	}
	return o, nil
}

// copyHeaders are the headers that a copy was given.
type copyHeaders map[string]string

func (h copyHeaders) is(name, want string) error {
	if got, ok := h[name]; !ok || got != want {
		return fmt.Errorf("header %s is %q, not %q", name, cut(got, maxHeaderError), want)
	}
	return nil
}

func (h copyHeaders) number(name string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(h[name], 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("header %s is %q, and no number from %d to %d", name, cut(h[name], maxHeaderError), least, most)
	}
	return n, nil
}

func (h copyHeaders) id(name string) (id [16]byte, err error) {
	b, err := hex.DecodeString(h[name])
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("header %s is %q, and no id of a topic", name, cut(h[name], maxHeaderError))
	}
	return [16]byte(b), nil
}

// retryCopy is the copy of a source record that failed. Its timestamp says when the delay begins, which is not before now.
func retryCopy(to string, partition int32, group string, f engine.Failure, now time.Time) *kgo.Record {
	r := f.Record
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+9)
	for _, h := range r.Headers {
		if !strings.HasPrefix(h.Key, retryHeaderPrefix) {
			headers = append(headers, h)
		}
	}
	headers = append(headers, textHeaders("",
		retryHeaderGroup, group,
		retryHeaderTopic, r.Topic,
		retryHeaderTopicID, hex.EncodeToString(f.TopicID[:]),
		retryHeaderPartition, strconv.Itoa(int(r.Partition)),
		retryHeaderOffset, itoa(r.Offset),
		retryHeaderTimestamp, itoa(r.Timestamp.UnixMilli()),
		retryHeaderAttempts, strconv.Itoa(f.Attempts),
		retryHeaderFirstFailure, itoa(f.First.UnixMilli()),
		retryHeaderError, cut(f.Err.Error(), maxHeaderError),
	)...)
	return &kgo.Record{
		Topic: to, Partition: partition, Key: r.Key, Value: r.Value, Headers: headers,
		Timestamp: now.Add(time.Millisecond - 1).Truncate(time.Millisecond), // Kafka keeps milliseconds
	}
}

// retrySources are the sources of a group's retry topics, by the topics' names. What handlers, middleware, events and dead letters are
// given of a copy is its source record.
type retrySources struct {
	group string
	of    map[string]string
}

func (a *App) sourcesOf(topics []retryTopic) retrySources {
	s := retrySources{a.cfg.Group, make(map[string]string)}
	for _, t := range topics {
		s.of[t.name] = t.source
	}
	return s
}

// handler has a route's handler see the source records of copies.
func (s retrySources) handler(h routeHandler) routeHandler {
	out := h
	if handle := h.record; handle != nil {
		out.record = func(ctx context.Context, w *engine.Work, r *kgo.Record, attempt int) engine.Outcome {
			if w.Delays == 0 {
				return handle(ctx, w, r, attempt)
			}
			o, err := s.origin(r)
			if err != nil {
				return noCopy(err)
			}
			return handle(ctx, o.work(), o.record, o.attempts+attempt)
		}
	}
	if handle := h.batch; handle != nil {
		out.batch = func(ctx context.Context, b *engine.Batch) engine.BatchOutcome {
			if b.Delays == 0 {
				return handle(ctx, b)
			}
			return s.handleBatch(ctx, b, handle)
		}
	}
	return out
}

// handleBatch hands over the source records of a batch of copies. Where some are no copies, those fail first, and the others come again.
func (s retrySources) handleBatch(
	ctx context.Context, b *engine.Batch, handle func(context.Context, *engine.Batch) engine.BatchOutcome,
) engine.BatchOutcome {
	sources := engine.Batch{Next: -1, NextEpoch: -1} // the sources' offsets are in no order
	each := make([]engine.Outcome, len(b.Records))
	for i, r := range b.Records {
		o, err := s.origin(r)
		if each[i].Kind = engine.HandedBack; err != nil {
			each[i] = noCopy(err)
			continue
		}
		sources.Records = append(sources.Records, o.record)
		sources.Attempts = append(sources.Attempts, o.attempts+b.Attempts[i])
		sources.Works = append(sources.Works, o.work())
	}
	if len(sources.Records) < len(b.Records) {
		return engine.BatchOutcome{Each: each}
	}
	sources.Work = sources.Works[0]
	return handle(ctx, &sources)
}

// noCopy is the outcome of a record that somebody else wrote to a retry topic. Another group's copies are handled by that one.
func noCopy(err error) engine.Outcome {
	if errors.Is(err, errOtherGroup) {
		return engine.Outcome{Kind: engine.Skipped, Err: err}
	}
	return engine.Outcome{Kind: engine.Poison, Err: err, More: &engine.More{Class: "poison"}}
}

// work is what a handler may know of the source's partition.
func (o *origin) work() *engine.Work {
	return &engine.Work{Topic: o.record.Topic, Partition: o.record.Partition, TopicID: o.topicID}
}

// failure tells of the source record where a copy failed. What is no copy stays as it is.
func (s retrySources) failure(f engine.Failure) engine.Failure {
	if _, ok := s.of[f.Record.Topic]; ok {
		if o, err := s.origin(f.Record); err == nil {
			f.Record, f.TopicID, f.First = o.record, o.topicID, o.first
			f.Attempts += o.attempts
		}
	}
	return f
}

// observer has what is told of copies be about their source records.
func (s retrySources) observer(o engine.Observer) engine.Observer {
	if len(s.of) == 0 {
		return o
	}
	failed := func(i engine.FailedInfo) engine.FailedInfo {
		f := s.failure(engine.Failure{Record: i.Record, Attempts: i.Attempts})
		i.Record, i.Attempts = f.Record, f.Attempts
		return i
	}
	o.Failed, o.Dropped, o.DeadLettered = adapt(o.Failed, failed), adapt(o.Dropped, failed), adapt(o.DeadLettered, failed)
	o.Skipped = adapt(o.Skipped, func(i engine.SkippedInfo) engine.SkippedInfo {
		i.Record = s.failure(engine.Failure{Record: i.Record}).Record
		return i
	})
	return o
}

// retryOn gives a route of the engine its retry topics.
func (a *App) retryOn(out *engine.Route, r addedRoute, topics []retryTopic) {
	out.Delays, out.RetryTopics = r.policy.RetryTopics, make(map[string]int)
	for _, t := range topics {
		out.RetryTopics[t.name] = t.delays
	}
	sources := a.sourcesOf(topics)
	handler := sources.handler(r.handler)
	out.Handle, out.HandleBatch = handler.record, handler.batch
	if write := out.DeadLetter; write != nil {
		out.DeadLetter = func(f engine.Failure, done func(error)) { write(sources.failure(f), done) }
	}
	enqueue := a.retry
	out.Retry = func(f engine.Failure, done func(error)) {
		f = sources.failure(f)
		to := retryTopicName(f.Record.Topic, a.cfg.Group, out.Delays[f.Delays])
		copied := retryCopy(to, a.retryPartition(to, f.Record.Partition), a.cfg.Group, f, time.Now())
		ctx := context.Background() //nolint:forbidigo // as for a dead letter
		enqueue(ctx, copied, func(_ *kgo.Record, err error) { done(err) })
	}
}

// retryPartition is where the copy of a record of a source's partition goes: to that of the same number. A source that has got more
// partitions since the start has the records of the new ones go to the old ones.
func (a *App) retryPartition(to string, source int32) int32 {
	if n := a.retryPartitions[to]; n > 0 {
		return source % n
	}
	return source // without a broker: see sluicetest
}
