package monitor

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	peekReach = 1_000   // offsets behind the end that may all be markers and aborted records
	peekBytes = 1 << 16 // of a log that are read for it at most
	peeksMost = 1_000   // logs in a round
)

// tail is what is known of a log's last offsets: from hollow on, up to stable, are only transactions' markers and aborted records. A group
// that does not commit past these has nothing to read all the same. It was looked at for a commit at from.
type tail struct{ from, hollow, stable int64 }

// peek looks into logs whose groups stand shortly before the end: it reads what lies there.
func (r *round) peek(ctx context.Context) {
	logs := r.stands()
	slices.SortFunc(logs, func(a, b *log) int { return byPlace(a.place, b.place) })
	var all []question
	for _, p := range portions(logs, peeksMost, leader) {
		all = append(all, r.fetchTails(p))
	}
	r.step(ctx, all...)
}

// stands are the logs with a group that has stood since the last round, where it is not known yet why; tail.from is its commit.
func (r *round) stands() (logs []*log) {
	of := map[*log]int64{}
	for id, a := range r.groups {
		for _, c := range a.commits {
			l, w := r.book.log(c.place), r.book.groups[id][c.place]
			if l == nil || w == nil || l.leader < 0 || l.end < 0 || c.offset < l.start || c.offset >= l.stable {
				continue
			}
			known := l.tail.stable == l.stable && l.tail.from <= c.offset
			if known || l.stable-c.offset > peekReach || !w.window.stands(c.offset) {
				continue
			}
			if at, ok := of[l]; ok || len(of) < peeksMost {
				of[l] = max(at, c.offset)
			}
		}
	}
	for l, from := range of {
		if l.tail.stable != l.stable {
			l.tail = tail{hollow: l.stable, stable: l.stable}
		}
		l.tail.from = from // what was found for a later commit stays true
		logs = append(logs, l)
	}
	return logs
}

// fetchTails reads the ends of logs from their leader.
func (r *round) fetchTails(p portion[*log]) question {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 0, 0, math.MaxInt32, readCommitted, -1
	for _, l := range p.of {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != l.topic {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = l.topic, r.book.topics[l.topic].id
			req.Topics = append(req.Topics, t)
		}
		one := kmsg.NewFetchRequestTopicPartition()
		one.Partition, one.FetchOffset, one.PartitionMaxBytes = l.partition, l.tail.from, peekBytes
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, one)
	}
	from := make(map[*log]int64, len(p.of))
	for _, l := range p.of {
		from[l], l.tail.from = l.tail.from, l.tail.hollow // it is looked at again, unless the answer tells
	}
	return ask(p.broker, req, func(resp *kmsg.FetchResponse, a reply) {
		err := a.err
		if err == nil {
			err = fromBroker(p.broker, kerr.ErrorForCode(resp.ErrorCode))
		}
		if err != nil {
			r.problem("log tails", err)
			return
		}
		for _, t := range resp.Topics {
			name := cmp.Or(t.Topic, r.book.names[t.TopicID])
			for i := range t.Partitions {
				one := &t.Partitions[i]
				l := r.book.log(place{name, one.Partition})
				if _, asked := from[l]; !asked {
					continue
				}
				switch one.ErrorCode {
				case 0:
					l.tail.from = from[l]
					hollow := hollowFrom(one.RecordBatches, one.AbortedTransactions, l.tail.from, l.tail.stable)
					l.tail.hollow = min(l.tail.hollow, hollow)
				case kerr.TopicAuthorizationFailed.Code: // a right that nothing else needs: without it, markers count as records
					l.tail.from = from[l]
				}
			}
		}
	})
}

// hollowFrom says from which offset on, up to stable, only markers and aborted records lie. What was read begins at from. It is stable
// where that is not known.
func hollowFrom(batches []byte, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction, from, stable int64) int64 {
	slices.SortFunc(aborted, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	open := map[int64]bool{} // producers whose aborted transaction is being read
	hollow, reached := from, from
	for len(batches) >= batchHeader {
		b := header(batches)
		if b.size > len(batches) || b.size < batchHeader || b.magic != 2 {
			break // cut off, or from before transactions
		}
		for len(aborted) > 0 && aborted[0].FirstOffset <= b.last {
			open[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		switch {
		case b.control:
			delete(open, b.producer)
		case !b.transactional || !open[b.producer]:
			hollow = max(hollow, b.last+1)
		}
		reached = b.last + 1
		batches = batches[b.size:]
	}
	if reached < stable {
		return stable
	}
	return min(hollow, stable)
}

const batchHeader = 61 // bytes

// batch is what a batch of records says of itself.
type batch struct {
	size                   int
	last                   int64
	magic                  byte
	control, transactional bool
	producer               int64
}

func header(b []byte) batch {
	attributes := binary.BigEndian.Uint16(b[21:])
	return batch{
		size:          12 + int(int32(binary.BigEndian.Uint32(b[8:]))),
		last:          int64(binary.BigEndian.Uint64(b)) + int64(int32(binary.BigEndian.Uint32(b[23:]))),
		magic:         b[16],
		transactional: attributes&(1<<4) != 0,
		control:       attributes&(1<<5) != 0,
		producer:      int64(binary.BigEndian.Uint64(b[43:])),
	}
}
