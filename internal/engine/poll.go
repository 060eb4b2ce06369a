package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// maxPoll bounds the records of one poll.
const maxPoll = 10_000

// pollLoop polls and hands over until the engine stops. Nothing in it waits for a handler: over the budget the next poll is
// not started, which costs no membership.
func (e *Engine) pollLoop() {
	for {
		ctx, pauses, resumes := e.beforePoll()
		if ctx == nil {
			return
		}
		if len(resumes) > 0 {
			e.client.ResumeFetchPartitions(byTopic(resumes))
		}
		if len(pauses) > 0 {
			e.client.PauseFetchPartitions(byTopic(pauses))
		}
		e.followBudget()
		fetches := e.poll(ctx, maxPoll)
		if f := e.cfg.AfterPoll; f != nil {
			f()
		}
		e.mu.Lock()
		e.handOver(fetches)
		e.sweep()
		e.polling = false
		e.cancelPoll()
		e.cond.Broadcast()
		e.unlock()
	}
}

// poll asks the client for records. What it brings is told before it is handed over: afterwards it is the handlers'. Barriers wait for it.
func (e *Engine) poll(ctx context.Context, most int) kgo.Fetches {
	told := e.cfg.Observer.Polled
	if told == nil {
		return e.client.PollRecords(ctx, most)
	}
	began := time.Now()
	fetches := e.client.PollRecords(ctx, most)
	if !fetches.Empty() {
		told(PolledInfo{Fetches: fetches, Took: time.Since(began)})
	}
	return fetches
}

// beforePoll waits until there is room and no barrier, and returns the poll's context; no context once the engine stops. In the middle of
// a transaction it waits for neither, as both may wait for its end: no context then.
func (e *Engine) beforePoll() (ctx context.Context, pauses, resumes []part) {
	e.mu.Lock()
	defer e.unlock()
	for !e.stopping && e.txn == nil && (e.holds > 0 || e.full()) {
		e.wait()
	}
	if e.stopping || e.txn != nil && (e.holds > 0 || e.full()) {
		return nil, nil, nil
	}
	for _, p := range e.pauseChange {
		if a := e.parts[p]; a != nil && (a.paused || a.held) {
			pauses = append(pauses, p)
		} else {
			resumes = append(resumes, p)
		}
	}
	e.pauseChange = nil
	ctx, e.cancelPoll = context.WithCancel(e.clientCtx)
	e.polling = true
	return ctx, pauses, resumes
}

// kick ends the poll in progress, so that the loop looks at what changed.
func (e *Engine) kick() {
	if e.polling {
		e.cancelPoll()
	}
}

// barrier keeps the poll loop from polling, and waits until what it polled is handed over. Under mu. Nothing blocks between
// a cancelled poll and its hand-over, unless Observer.Polled does, so this is short.
func (e *Engine) barrier() {
	e.holds++
	for e.polling {
		e.cancelPoll()
		e.wait()
	}
}

func (e *Engine) unbarrier() {
	e.holds--
	e.cond.Broadcast()
}

// handOver gives polled records to their assignments. Records of a partition that has none, or that takes nothing, are
// dropped: they are somebody else's, or will be polled again.
func (e *Engine) handOver(fetches kgo.Fetches) {
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		a := e.parts[part{p.Topic, p.Partition}]
		if a == nil || !a.takes() {
			return
		}
		if p.Err == nil || len(p.Records) > 0 {
			delete(a.problems, fetchProblem)
			a.logStart = p.LogStartOffset
			if a.logEnd = p.LastStableOffset; e.cfg.ReadUncommitted || a.logEnd < 0 {
				a.logEnd = p.HighWatermark
			}
		}
		if len(p.Records) > 0 {
			e.joined.Store(true)
			e.takeRecords(a, p.Records)
		}
	})
	fetches.EachError(func(topic string, partition int32, err error) { e.fetchFailed(part{topic, partition}, err) })
}

func (e *Engine) takeRecords(a *assignment, records []*kgo.Record) {
	if !e.arrived(a, records[0].Offset) {
		return
	}
	if first := records[0]; first.Offset < a.tracker.Next() {
		// The client went back by itself: a log that was cut off. What was taken before is of another log.
		if a = e.wentBack(a, first); a == nil {
			return
		}
	} else if position := a.tracker.Next(); first.Offset > position && position < a.logStart {
		e.tellLoss(a, position, first.Offset, a.logStart, a.logEnd)
		if e.cfg.HaltOnLoss || a.route.fenced() {
			e.halt(a, position, errLoss(position, a.logStart, a.logEnd))
			return
		}
	}
	now := time.Now()
	frontier, _ := a.frontier()
	a.stamps.forget(frontier)
	milli := now.UnixMilli()
	passed := false // some that nobody has to handle
	var bytes, polledBytes int64
	n, kept := 0, 0
	remembered := e.remembered[a.part]
	lane, joined := e.onlyLane(a), 0 // so that it is looked up, and woken, once
	for i, r := range records {
		if !a.tracker.Take(r.Offset, r.LeaderEpoch) {
			continue // twice in one fetch: handed over already
		}
		last := i == len(records)-1
		if r.Attrs.IsControl() && (!last || !a.route.fenced()) {
			a.tracker.Finish(r.Offset)
			passed = true
			continue
		}
		if a.tracker.Restored(r.Offset) {
			a.tracker.Finish(r.Offset)
			a.totals.Restored++
			passed = true
			continue
		}
		takes := size(r)
		bytes += takes
		kept++
		a.stamps.note(r.Offset, a.writtenAt(r.Timestamp.UnixMilli(), milli))
		it := item{record: r}
		if r.Attrs.IsControl() { // the sink has to step over it, or it would stay behind the log's end
			it.trouble = &trouble{settled: true}
		} else {
			n++
			polledBytes += takes - recordOverhead
			if a.work.Delays > 0 {
				a.delay(r, now)
				continue
			}
			if remembered != nil {
				it.trouble = remembered[r.Offset]
			}
		}
		if lane == nil {
			e.enqueue(a, it)
			continue
		}
		lane.queue.push(it)
		joined++
	}
	if joined > 0 {
		e.grew(lane, joined)
	}
	a.totals.Polled += int64(n)
	a.totals.PolledBytes += polledBytes
	a.caughtUp(now)
	if a.work.Delays > 0 {
		e.release(a)
	} else {
		a.aged(a.tracker.Next(), now)
	}
	full := e.full()
	e.hold(a, bytes, kept)
	if !full && e.full() {
		e.filled()
	}
	e.markPolled(a, bytes)
	if passed {
		e.commitDue(a.route, 0)
	}
	e.restrain(a)
}

// fetchFailed takes in an error that a poll brought.
func (e *Engine) fetchFailed(p part, err error) {
	a := e.parts[p]
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		if a != nil && a.takes() {
			e.truncated(a, loss)
		}
		return
	}
	if large, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok {
		if a != nil && a.takes() { // the client does not fetch the partition again
			e.halt(a, large.Offset, fmt.Errorf("%w; raise MaxBufferedBytes, which bounds what a batch may come to", err))
		}
		return
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
	case a == nil && p.partition < 0 && p.topic != "": // all of the topic
		if !kerr.IsRetriable(err) {
			e.troubleTopic(p.topic, topicTrouble{text: e.explain(err, p.topic).Error()})
		}
		e.lookAtTopicsSoon() // which also finds out when it is over
	case errors.Is(err, kerr.OffsetOutOfRange):
		switch {
		case a == nil:
		case a.takes():
			e.outOfRange(a)
		default: // its place is being looked for, and the client asks at once
			e.rest(a)
		}
	case p.topic == "": // the group's: OnGroupManageError has it
		e.log.Warn("the group is in trouble; the client joins again", "event", "group_error", "err", err)
	default:
		if errors.Is(err, kerr.UnknownTopicID) {
			e.lookAtTopicsSoon()
		}
		err = e.explain(err, p.topic)
		problem := "cannot be fetched: " + err.Error()
		if a == nil || a.problems[fetchProblem] != problem {
			e.log.Error("partition cannot be fetched; it is tried again", "event", "fetch_failed",
				"topic", p.topic, "partition", p.partition, "err", err)
		}
		if a != nil {
			a.failed(err.Error())
			a.fetchFailed = time.Now()
			a.trouble(fetchProblem, problem)
			e.rest(a)
		}
	}
}

// fetchRest is how long a partition waits after a failed fetch. The client itself waits for nothing: with a right taken away, it
// asked 700 times a second.
const fetchRest = time.Second

// rest pauses a partition for a while; one that moves until it is there.
func (e *Engine) rest(a *assignment) {
	if a.paused || a.state != open && a.state != moving {
		return
	}
	a.paused = true
	e.pauseChange = append(e.pauseChange, a.part)
	time.AfterFunc(fetchRest, func() {
		e.mu.Lock()
		defer e.unlock()
		if e.parts[a.part] == a {
			e.resume(a)
		}
	})
}

func byTopic(ps []part) map[string][]int32 {
	m := make(map[string][]int32)
	for _, p := range ps {
		m[p.topic] = append(m[p.topic], p.partition)
	}
	return m
}
