package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mark is a partition's progress: two looks with the same mark saw none.
type mark struct {
	state    state
	seeking  bool
	frontier int64
	next     int64
	finishes uint64
}

// stillness is what the watchdog knows of a partition that makes no progress. Guarded by Engine.mu.
type stillness struct {
	mark   mark
	since  time.Time
	idle   bool // there was nothing to do when it was looked at
	found  bool
	reason string // not empty once it was told
}

func (a *assignment) mark() mark {
	m := mark{state: a.state, seeking: a.seeking, finishes: a.finishes, next: -1}
	m.frontier, _ = a.frontier()
	if a.tracker != nil {
		m.next = a.tracker.Next()
	}
	return m
}

// wants tells whether a partition has something to do: records that are not finished, or a position to be found.
func (a *assignment) wants() bool {
	switch a.state {
	case starting, moving:
		return true
	case open:
		f, _ := a.frontier()
		return a.seeking || a.logEnd > f
	case finishing, leaving, halted, closed: // bounded by the drain, or told
	}
	return false
}

// excused tells whether somebody else answers for a partition's stillness: it is told as such, or we want it so.
func (e *Engine) excused(a *assignment, now time.Time) bool {
	switch {
	case a.paused && a.state == open && !a.seeking, a.held, e.full(): // see Snapshot, and lookForStandstill; a search rests, too
		return true
	case len(a.runs) > 0: // a handler that does not end is told as that
		return true
	case len(a.parked) > 0, a.writing > 0, a.settling > 0, a.awaitsDelay(now): // a retry, or a copy
		return true
	case len(a.awaiting) > 0: // a commit: see commitTrouble
		return true
	case a.batchTimer != nil: // a batch that is not full waits for more
		return true
	case a.ready.len() > 0 && a.route.active >= a.route.Workers: // every worker of the route is at other partitions
		return true
	case len(e.ghosts) > 0 && a.heldRecords > 0: // the handlers of an assignment before it are not through
		return true
	case a.route.outage != nil, !e.beginFails.since.IsZero(): // health tells of it
		return true
	case now.Sub(a.fetchFailed) < fetchMemory, a.problems[claimProblem] != "", e.topicTrouble[a.topic].text != "":
		return true
	}
	return false
}

// awaitsDelay tells whether a retry topic's partition has nothing to do but to wait for its first record's time: all before that is
// finished, and all behind it was fetched.
func (a *assignment) awaitsDelay(now time.Time) bool {
	if a.delayed.len() == 0 {
		return false
	}
	first := a.delayed.peek()[0]
	frontier, _ := a.frontier()
	return frontier >= first.record.Offset && first.due.After(now) && a.tracker.Next() >= a.logEnd
}

// watchForStall has the watchdog look again while a partition has something to do.
func (e *Engine) watchForStall(a *assignment, now time.Time) {
	if e.cfg.StallAfter == 0 || !a.wants() {
		return
	}
	if a.still.idle { // nobody has looked since then
		a.still = stillness{mark: a.mark(), since: now}
	}
	e.watch(now, e.cfg.StallAfter/looks)
}

// lookForStall looks for a partition that has something to do, and for a while did nothing of it.
func (e *Engine) lookForStall(a *assignment, now time.Time) {
	m := a.mark()
	if e.cfg.StallAfter == 0 || a.still.mark != m || !a.wants() || e.excused(a, now) {
		a.still = stillness{mark: m, since: now, idle: !a.wants()}
		return
	}
	limit := e.cfg.StallAfter
	if len(a.handed) > 0 {
		limit = max(limit, overrunAfter)
	}
	if a.still.found || now.Sub(a.still.since) < limit {
		return
	}
	a.still.found = true
	e.spawn(func() { e.nameStall(a, m) })
}

// nameStall finds out why a partition stands still, and tells it unless it goes on by then.
func (e *Engine) nameStall(a *assignment, m mark) {
	var probed probe
	if m.state == open && !m.seeking && m.next >= 0 {
		ctx, cancel := e.whileMoving(a)
		probed = e.probe(ctx, a.part, m.next)
		cancel()
	}
	e.mu.Lock()
	defer e.unlock()
	if a.still.mark != a.mark() || !a.still.found {
		return
	}
	if m.next == m.frontier && probed.gapTo > m.next {
		a.tracker.Skip(probed.gapTo) // what the log's end consists of is no records: compaction has taken them
		e.commitDue(a.route, 0)
		return
	}
	a.still.reason = a.stallReason(probed)
	info := StalledInfo{
		Topic: a.topic, Partition: a.partition, Frontier: m.frontier, LogEnd: a.logEnd, Reason: a.still.reason,
		For: time.Since(a.still.since),
	}
	a.failed(a.still.reason)
	e.log.Error("partition stands still", "event", "partition_stalled",
		"topic", a.topic, "partition", a.partition, "frontier", m.frontier, "log_end", a.logEnd,
		"for", info.For.Round(time.Second), "reason", a.still.reason)
	if f := e.cfg.Observer.Stalled; f != nil {
		e.tell(func() { f(info) })
	}
}

func (a *assignment) stallReason(p probe) string {
	f, _ := a.frontier()
	switch {
	case a.state == starting:
		return "its start is not known: the group's commit, or its log, cannot be read; see the log"
	case a.state == moving, a.seeking:
		return "its new position is not known: the group's commit, or its log, cannot be read; see the log"
	case len(a.handed) > 0:
		return fmt.Sprintf("%d records wait for Message.Done, the first at offset %d", len(a.handed), f)
	case a.heldRecords > a.delayed.len():
		return "records are held, and none is handed to a handler; report it as a bug, with the snapshot"
	case p.err != nil:
		return fmt.Sprintf("fetches at offset %d bring nothing; asked by hand, its broker says: %v", a.tracker.Next(), p.err)
	case p.records:
		return fmt.Sprintf("fetches at offset %d bring nothing, though its broker has records there; restart this process",
			a.tracker.Next())
	}
	return fmt.Sprintf("fetches at offset %d bring nothing, though the log goes on; look at its leader and at transactions that stay open",
		a.tracker.Next())
}

// stalled is why a partition stands still; "" when it does not, or not any more.
func (a *assignment) stalled() string {
	if a.still.mark != a.mark() {
		return ""
	}
	return a.still.reason
}

// stallText is what health says of a partition that stands still; "" when it does not, or not any more.
func (a *assignment) stallText(now time.Time) string {
	reason := a.stalled()
	if reason == "" {
		return ""
	}
	lag := ""
	if f := a.still.mark.frontier; a.logEnd > f && f >= 0 {
		lag = fmt.Sprintf(" with %d offsets to go", a.logEnd-f)
	}
	return fmt.Sprintf("%v: stands still%s for %v: %s", a.part, lag, now.Sub(a.still.since).Round(time.Second), reason)
}

// standstill is what the watchdog knows of a full buffer. Guarded by Engine.mu.
type standstill struct {
	finished int64
	since    time.Time
}

// lookForStandstill looks for a buffer that is full and stays so, since nothing is finished: then no partition gets anything.
func (e *Engine) lookForStandstill(now time.Time) {
	if !e.full() || e.standstill.finished != e.finished || e.standstill.since.IsZero() {
		e.standstill = standstill{finished: e.finished, since: now}
	}
}

// filled notes that the buffer is full from now on: nobody may have looked for long.
func (e *Engine) filled() { e.standstill = standstill{finished: e.finished, since: time.Now()} }

// standstillText is what health says of it; "" when there is nothing to say.
func (e *Engine) standstillText(now time.Time) string {
	s := e.standstill
	took := now.Sub(s.since)
	if !e.full() || s.since.IsZero() || s.finished != e.finished || took < e.cfg.StallAfter || e.cfg.StallAfter == 0 {
		return ""
	}
	var most *assignment
	for _, a := range e.parts {
		if most == nil || a.heldBytes > most.heldBytes {
			most = a
		}
	}
	text := fmt.Sprintf("the buffer is full (MaxBufferedBytes), and nothing was finished for %v: nothing is polled",
		took.Round(time.Second))
	if most != nil {
		text += fmt.Sprintf("; %v holds the most of it, %d records", most.part, most.heldRecords)
	}
	return text
}

// probe is what a broker has at a position.
type probe struct {
	records bool  // there are some
	gapTo   int64 // there are batches, and none has a record: where they end
	err     error
}

const (
	probeTimeout = 10 * time.Second
	probeBytes   = 1 << 20
)

// probe asks a partition's leader for what it has at an offset, past the client, which keeps some errors to itself.
func (e *Engine) probe(ctx context.Context, p part, offset int64) (out probe) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	md, err := e.admin.Metadata(ctx, p.topic)
	if err != nil {
		return probe{err: err}
	}
	topic := md.Topics[p.topic]
	detail, ok := topic.Partitions[p.partition]
	if topic.Err != nil || !ok || detail.Err != nil {
		return probe{err: fmt.Errorf("no leader is known: %w", cmpErr(firstError(topic.Err, detail.Err)))}
	}
	req := kmsg.NewPtrFetchRequest()
	req.SessionEpoch = -1
	req.MaxBytes = probeBytes
	if !e.cfg.ReadUncommitted {
		req.IsolationLevel = 1
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = p.topic, topic.ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.partition, offset, probeBytes
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := e.client.Broker(int(detail.Leader)).RetriableRequest(ctx, req)
	if err != nil {
		return probe{err: err}
	}
	fetched, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return probe{err: fmt.Errorf("a fetch was answered by %T", resp)}
	}
	if err := kerr.ErrorForCode(fetched.ErrorCode); err != nil {
		return probe{err: err}
	}
	for _, t := range fetched.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return probe{err: err}
			}
			out.read(p.RecordBatches, offset)
		}
	}
	return out
}

// read looks for records from an offset on in batches; the last batch may be cut off.
func (p *probe) read(batches []byte, offset int64) {
	const header = 12 // offset and length
	for len(batches) > header {
		var b kmsg.RecordBatch
		if b.ReadFrom(batches) != nil {
			return
		}
		size := min(len(batches), header+int(b.Length))
		if b.NumRecords > 0 && (b.FirstOffset >= offset || holds(batches[:size], offset)) {
			p.records, p.gapTo = true, 0
			return
		}
		p.gapTo = b.FirstOffset + int64(b.LastOffsetDelta) + 1
		batches = batches[size:]
	}
}

// holds tells whether a batch that begins before an offset has records from there on; compaction may have left those before it alone.
func holds(batch []byte, offset int64) bool {
	of := kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Offset: offset}
	found, _ := kgo.ProcessFetchPartition(of, &kmsg.FetchResponseTopicPartition{RecordBatches: batch}, kgo.DefaultDecompressor(), nil)
	return found.Err != nil || len(found.Records) > 0
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
