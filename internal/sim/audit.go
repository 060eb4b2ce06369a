package sim

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// audit reads what transactions wrote, as everybody sees it who reads committed records only, and holds the group's commits against it.
// It belongs to one goroutine, save what says otherwise.
type audit struct {
	w      *world
	reader *kgo.Client
	next   map[string]map[int32]int64 // what was read, by topic and partition
	low    []int64                    // those below are committed, and over
	fresh  []*record                  // what came of them was read since the last look
	open   bool                       // a transaction is open, so that readers wait; guarded by world.mu
}

// auditEvery is how often it is done.
const auditEvery = time.Second

// beginAudit begins to audit, until the world is over.
func (w *world) beginAudit(over chan struct{}) error {
	// The brokers here know nothing of a leader's epoch in which nothing was written, and a reader that may look for its place again
	// would then go back: it begins at the start, and stays where it is.
	reader, err := kgo.NewClient(append(w.Options(w.Dial), kgo.ConsumeTopics(w.scenario.written()...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...) // without those nobody knows where the log ends
	if err != nil {
		return err
	}
	a := &audit{w: w, reader: reader, next: make(map[string]map[int32]int64), low: make([]int64, w.scenario.logs())}
	for _, name := range w.scenario.written() {
		a.next[name] = make(map[int32]int64)
	}
	w.audit = a
	w.refuse()
	w.watchTransactions()
	w.spawn(func() { a.goOn(over) })
	return nil
}

// goOn audits until the world is over, and once more.
func (a *audit) goOn(over chan struct{}) {
	defer a.reader.Close()
	for {
		select {
		case <-over:
			a.look()
			return
		case <-time.After(auditEvery):
			a.look()
		}
	}
}

// look looks at the group's commits first: what they are of has to be there by then. What readers see has to be committed when it is
// looked at once more.
func (a *audit) look() {
	w := a.w
	before := w.GroupInfo(group)
	open, ends := false, make(map[string]map[int32]int64)
	for _, name := range w.scenario.written() {
		ends[name] = make(map[int32]int64)
		for _, p := range w.PartitionInfos(name) {
			ends[name][p.Partition] = p.LastStableOffset
			open = open || p.LastStableOffset < p.HighWatermark
		}
	}
	read := a.read(ends)
	after := w.GroupInfo(group)
	w.mu.Lock()
	defer w.mu.Unlock()
	a.open = open || !read
	if before == nil || after == nil || w.failed {
		return
	}
	for _, r := range a.fresh {
		if at := after.Commits[topic][r.partition].Offset; at <= r.offset {
			w.failLockedf("invariant 12: readers see what came of %v, and of its partition %d is committed", r, at)
		}
	}
	a.fresh = a.fresh[:0]
	if a.open {
		return // what was committed behind an open transaction is not to be seen yet
	}
	for n, c := range before.Commits[topic] {
		a.hold(n, c.Offset)
	}
}

// read reads up to some ends; false when it could not within a while.
func (a *audit) read(ends map[string]map[int32]int64) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for a.behind(ends) {
		a.reader.PollFetches(ctx).EachRecord(func(k *kgo.Record) {
			if next := a.next[k.Topic][k.Partition]; k.Offset < next {
				a.w.failf("setup: the reader of %s[%d] went back from %d to %d", k.Topic, k.Partition, next, k.Offset)
			}
			a.next[k.Topic][k.Partition] = k.Offset + 1
			if !k.Attrs.IsControl() {
				a.answered(k)
			}
		})
		if ctx.Err() != nil {
			return false
		}
	}
	return true
}

func (a *audit) behind(ends map[string]map[int32]int64) bool {
	for name, ps := range ends {
		for p, end := range ps {
			if a.next[name][p] < end {
				return true
			}
		}
	}
	return false
}

// hold demands that every record below a commit is over: it was answered, or its dead letter is there, or it has neither by its plan.
func (a *audit) hold(partition int32, to int64) {
	w := a.w
	log := w.ledger.logs[partition]
	for ; a.low[partition] < min(to, int64(len(log))); a.low[partition]++ {
		switch r := log[a.low[partition]]; {
		case r == nil:
			return // it is on its way to us
		case r.over():
		case r.kind == skips, w.scenario.drops() && w.mayFail(r):
			w.ledger.settle(r)
		default:
			w.failLockedf("invariant 12: %v is committed (up to %d), and no reader sees what came of it", r, to)
			return
		}
	}
}

// mayFail tells whether a record may be given up.
func (w *world) mayFail(r *record) bool {
	if r.faults > 0 && w.scenario.attempts > 0 { // also one that succeeds, whose handler a fault has held up beyond its deadline
		return true
	}
	switch r.kind {
	case poison, panics, undecodable, refused:
		return true
	case fails, failsLater, failsAlways, hangs:
		return w.scenario.attempts > 0
	case stubborn:
		return w.scenario.attempts > 0 && w.scenario.timeout > 0
	case succeeds, skips:
	}
	return false
}

// answered takes in a record that readers of committed records see.
func (a *audit) answered(k *kgo.Record) {
	w := a.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.recordOf(idOf(k))
	if r == nil {
		w.failLockedf("invariant 12: %s[%d]@%d is the answer to nothing", k.Topic, k.Partition, k.Offset)
		return
	}
	lane := w.ledger.lanes[w.scenario.lane(r)]
	switch {
	case r.settled:
		w.failLockedf("invariant 12: %s[%d]@%d answers %v once more", k.Topic, k.Partition, k.Offset, r)
	case k.Topic == deadLetters && !w.mayFail(r):
		w.failLockedf("invariant 2: %v is dead-lettered, and succeeds", r)
	case k.Topic == answerTopic && (r.poisonous() || r.kind == skips || r.kind == failsAlways || r.kind == refused):
		w.failLockedf("invariant 12: %v is answered, and never succeeds", r)
	case k.Topic == answerTopic && r.offset < lane.answered:
		w.failLockedf("invariant 12: %v is answered behind offset %d of its lane", r, lane.answered)
	}
	if k.Topic == answerTopic {
		lane.answered = r.offset
		w.ledger.answers++
	}
	w.ledger.settle(r)
	a.fresh = append(a.fresh, r)
}

// settle notes that a record is over, and is not to be handled again with any effect.
func (l *ledger) settle(r *record) {
	if !r.over() {
		l.left--
	}
	r.settled = true
}

// watchTransactions has the offsets that are sent in transactions shown to the oracle.
func (w *world) watchTransactions() {
	var last kmsg.Request // it is shown once a partition
	w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit, kmsg.EndTxn}, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if last == req {
			return false
		}
		last = req
		switch r := req.(type) {
		case *kmsg.TxnOffsetCommitRequest:
			w.commits.seen++
			for _, t := range r.Topics {
				for _, c := range t.Partitions {
					w.trace.notef("txn", "producer %d, epoch %d: %q of generation %d commits %d of partition %d",
						r.ProducerID, r.ProducerEpoch, r.MemberID, r.Generation, c.Offset, c.Partition)
					w.commitInTransaction(r.MemberID, r.Generation, c.Partition, c.Offset)
				}
			}
		case *kmsg.EndTxnRequest:
			w.trace.notef("txn", "producer %d, epoch %d: the end, commit %v", r.ProducerID, r.ProducerEpoch, r.Commit)
		}
		w.lookSoon()
		return false
	}})
}

// commitInTransaction demands that a process goes on from where the group is, and was through with what it commits, in its latest
// assignment. What the coordinator is about to refuse may be anything: were it not refused, compare and the audit would see it.
func (w *world) commitInTransaction(member string, generation, partition int32, offset int64) {
	p := w.processOf(member)
	t := p.latest(partition)
	if t == nil || t.slept() || w.scenario.protocol != consumer && generation < w.commits.generation {
		return
	}
	if at := w.commits.stands[partition]; offset < at {
		w.failLockedf("invariant 12: %s commits %d of partition %d, where %d is committed", p.name, offset, partition, at)
		return
	}
	log := w.ledger.logs[partition]
	to := min(offset, int64(len(log)))
	for _, r := range log[min(max(0, w.commits.stands[partition]), to):to] {
		through := r == nil || r.over() || slices.Contains(r.given, t)
		if !through && (r.kind != refused || !r.givenBy(p)) { // one that was refused does not run again
			w.failLockedf("invariant 12: %s commits %d of partition %d, and was not through with %v", p.name, offset, partition, r)
			return
		}
	}
}
