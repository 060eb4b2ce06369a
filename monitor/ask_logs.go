package monitor

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	logsARequest    = 5_000
	timestampStart  = -2 // ListOffsets: the log's start
	timestampEnd    = -1 // ListOffsets: its end
	readUncommitted = 0  // ListOffsets: the end is the high watermark
	readCommitted   = 1  // ListOffsets: the end is the last stable offset
)

func leader(l *log) int32 { return l.leader }

// askOffsets asks for an offset of every log.
func (r *round) askOffsets(what string, isolation int8, timestamp int64) (all []question) {
	for _, p := range portions(r.logs(), logsARequest, leader) {
		all = append(all, r.listOffsets(p, isolation, func(*log) int64 { return timestamp }, func(l *log, a offsetAnswer) {
			if a.err == nil && a.offset < 0 {
				a.err = fmt.Errorf("broker %d answers %d", p.broker, a.offset)
			}
			switch {
			case a.err != nil:
				l.err = fmt.Errorf("%s of %s[%d]: %w", what, l.topic, l.partition, a.err)
				r.problem(what, l.err)
			case timestamp == timestampStart:
				l.start = a.offset
			case isolation == readCommitted:
				l.stable = a.offset
				if l.stable < l.tail.stable { // the log went back
					l.tail = tail{}
				}
			default:
				l.end = a.offset
				l.history.observe(a.asked, a.answered, a.offset)
			}
		}))
	}
	return all
}

// offsetAnswer is an answer to ListOffsets for one log.
type offsetAnswer struct {
	offset, timestamp int64
	asked, answered   time.Time
	err               error
}

// listOffsets asks for one offset of each log. The logs are in the order of their topics.
func (r *round) listOffsets(p portion[*log], isolation int8, timestamp func(*log) int64, tell func(*log, offsetAnswer)) question {
	req := kmsg.NewPtrListOffsetsRequest()
	req.IsolationLevel = isolation
	req.TimeoutMillis = int32(r.cfg.Timeout.Milliseconds())
	for _, l := range p.of {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != l.topic {
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = l.topic
			req.Topics = append(req.Topics, t)
		}
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = l.partition, timestamp(l)
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, one)
	}
	return ask(p.broker, req, func(resp *kmsg.ListOffsetsResponse, a reply) {
		if a.err != nil {
			for _, l := range p.of {
				tell(l, offsetAnswer{err: a.err})
			}
			return
		}
		for _, t := range resp.Topics {
			for _, one := range t.Partitions {
				if l := r.book.log(place{t.Topic, one.Partition}); l != nil {
					err := fromBroker(p.broker, kerr.ErrorForCode(one.ErrorCode))
					tell(l, offsetAnswer{one.Offset, one.Timestamp, a.asked, a.answered, err})
				}
			}
		}
	})
}
