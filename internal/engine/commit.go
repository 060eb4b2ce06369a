package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// snapshot is what one commit request carries for one assignment, read at the moment it is sent.
type snapshot struct {
	offset   int64
	epoch    int32
	grant    int // CommitFirst: records that may be handled once it is acknowledged
	finishes uint64
	metadata string // what is finished above the offset; filled in when it is sent
	changes  uint64 // of that, by the tracker
	start    bool   // where the assignment began, and nothing else
}

// snapshot is what may be committed now: the frontier, or, where the commit comes first, the end of the records that are to
// be handled next; offset -1 when the position is not known.
func (a *assignment) snapshot() snapshot {
	s := snapshot{finishes: a.finishes}
	s.offset, s.epoch = a.frontier()
	switch {
	case a.tracker == nil:
		return s
	case !a.route.CommitFirst:
		s.changes = a.tracker.Changes()
		return s
	}
	if a.state != open && a.grant == 0 {
		return s // what was committed first is finished: a drain commits the markers behind it, too
	}
	s.offset, s.epoch = a.granted, -1
	if room := a.route.window() - a.grant; a.state == open && !a.held && room > 0 {
		s.offset, s.epoch, s.grant = a.tracker.Reach(a.granted, room)
	}
	return s
}

// window is how many records may be committed first and not be finished: what a crash may lose.
func (r *Route) window() int { return max(maxRun, r.Workers, r.MaxSize) }

// wantsGrant tells whether it is worth a commit to let more records be handled: half of the window is free, or all that may be
// handled is under way or parked.
func (a *assignment) wantsGrant() bool {
	window := a.route.window()
	idle := a.ready.len() == 0 && len(a.awaiting) > 0
	return a.state == open && !a.held && a.grant < window && (a.grant <= window/2 || idle)
}

// commitLoop is the committer: the one goroutine that commits while the app works.
func (e *Engine) commitLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.commitNow:
		}
		e.mu.Lock()
		e.commitAfter = 0
		as := e.assignments(func(a *assignment) bool {
			e.publishRuns(a)
			switch r := a.route; {
			case r.CommitFirst:
				return a.dirty()
			case r.CommitManually:
				return a.owesStart()
			default:
				return a.dirty() || len(a.awaiting) > 0
			}
		})
		for _, r := range e.cfg.Routes {
			r.since = 0
		}
		e.unlock()
		if err := e.commit(ctx, as, unasked); err != nil && ctx.Err() == nil {
			e.mu.Lock()
			e.rewait++
			e.commitIn(min(time.Second, 50*time.Millisecond<<min(e.rewait, 6)))
			e.unlock()
		} else {
			e.mu.Lock()
			e.rewait = 0
			e.unlock()
		}
	}
}

// commitDue asks for a commit as the route's policy says, after n more finished records; with 0 after progress of another
// kind.
func (e *Engine) commitDue(r *Route, n int) {
	r.since += n
	if r.CommitRecords > 0 && r.since >= r.CommitRecords {
		e.commitSoon()
	}
	switch {
	case r.CommitEach:
		e.commitSoon()
	case r.CommitInterval > 0:
		e.commitIn(r.CommitInterval)
	case n == 0: // progress that no count will ever commit: a marker, a start
		e.commitIn(markerInterval)
	}
}

// markerInterval is when progress without records is committed on a route that counts records only.
const markerInterval = time.Second

// commitSoon asks for a commit now.
func (e *Engine) commitSoon() {
	select {
	case e.commitNow <- struct{}{}:
	default:
	}
}

// commitIn asks for a commit after d, unless one was asked for that comes as soon.
func (e *Engine) commitIn(d time.Duration) {
	if (e.commitAfter > 0 && e.commitAfter <= d) || e.stopping {
		return
	}
	e.commitAfter = d
	time.AfterFunc(d, e.commitSoon)
}

// publishRuns takes in what the runs of an assignment are through with, so that one slow record does not hold up the commit
// of those before it.
func (e *Engine) publishRuns(a *assignment) {
	for _, r := range a.runs {
		if r.published < int(r.done.Load()) {
			e.publish(r)
			if d := a.route.CommitInterval; d > 0 { // there may be more before it ends
				e.commitIn(d)
			}
		}
	}
}

func (e *Engine) assignments(ok func(*assignment) bool) []*assignment {
	var as []*assignment
	for _, a := range e.parts {
		if ok(a) {
			as = append(as, a)
		}
	}
	return as
}

// demand says who wants a commit.
type demand bool

const (
	unasked  demand = false // the policy's: a route that commits manually has its start committed, and nothing else
	demanded demand = true  // the user, a revoke or a stop
)

// owesStart tells whether a partition has no commit yet of where it began.
func (a *assignment) owesStart() bool {
	return a.works() && a.tracker != nil && !a.acked && a.committed != a.begin
}

// commit commits the frontiers of some assignments, one request at a time, with what is finished above them.
func (e *Engine) commit(ctx context.Context, as []*assignment, by demand) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CommitTimeout)
	defer cancel()
	began := time.Now()
	if err := acquire(ctx, e.committing); err != nil {
		err = fmt.Errorf("wait for the commit before: %w", err)
		if len(as) > 0 {
			e.mu.Lock()
			e.commitFailed(err, time.Since(began))
			e.unlock()
		}
		return err
	}
	defer release(e.committing)
	if len(as) == 0 {
		return nil
	}
	if f := e.cfg.BeforeCommit; f != nil {
		f()
	}
	for {
		if err := e.send(ctx, as, by); !errors.Is(err, errMetadata) {
			return err
		}
	}
}

// send makes one request. What is sent is read when it is sent, after every wait of the client, and only for assignments that are
// not closed by then: an older frontier could rewind the next owner. Offset and metadata are of one moment.
func (e *Engine) send(ctx context.Context, as []*assignment, by demand) error {
	ask := make(map[string]map[int32]kgo.EpochOffset)
	mine := make(map[part]*assignment)
	for _, a := range as {
		if ask[a.topic] == nil {
			ask[a.topic] = make(map[int32]kgo.EpochOffset)
		}
		ask[a.topic][a.partition] = kgo.EpochOffset{Epoch: -1}
		mine[a.part] = a
	}
	sent := make(map[*assignment]snapshot)
	var expelled error
	names := make(map[[16]byte]string)
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		e.mu.Lock()
		defer e.unlock()
		keepPartitions(req, func(t *kmsg.OffsetCommitRequestTopic, p *kmsg.OffsetCommitRequestTopicPartition) bool {
			names[t.TopicID] = t.Topic
			a := mine[part{t.Topic, p.Partition}]
			if a == nil || !a.works() || a.tracker == nil {
				return false
			}
			if a.member != req.MemberID {
				expelled = errExpelled
				return false
			}
			e.publishRuns(a)
			switch {
			case !a.route.CommitManually || by == demanded:
				sent[a] = a.snapshot()
			case a.owesStart():
				sent[a] = snapshot{offset: a.begin, epoch: -1, start: true}
			default:
				return false
			}
			return true
		})
		e.encode(sent)
		keepPartitions(req, func(t *kmsg.OffsetCommitRequestTopic, p *kmsg.OffsetCommitRequestTopicPartition) bool {
			a := mine[part{t.Topic, p.Partition}]
			s := sent[a]
			if a.has(s) {
				delete(sent, a)
				return false
			}
			p.Offset, p.LeaderEpoch, p.Metadata = s.offset, s.epoch, s.text()
			a.asked = s.grant > 0
			a.unsure = a.unsure || s.offset != a.committed || s.metadata != a.metadata // until it is acknowledged
			return true
		})
		if len(req.Topics) == 0 {
			return errNothingToCommit
		}
		return nil
	})

	began := time.Now()
	var resp *kmsg.OffsetCommitResponse
	var err error
	e.client.CommitOffsetsSync(ctx, ask, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, r *kmsg.OffsetCommitResponse, cerr error) {
		resp, err = r, cerr
	})
	if errors.Is(err, errNothingToCommit) {
		return expelled
	}
	if err == nil {
		for i, t := range resp.Topics {
			if t.Topic == "" { // an answer of version 10 has the id alone
				resp.Topics[i].Topic = names[t.TopicID]
			}
		}
	}
	return cmp.Or(e.committed(sent, mine, resp, err, time.Since(began)), expelled)
}

var (
	errNothingToCommit = errors.New("every partition of the commit is gone, or was committed like this already")
	// errExpelled is of an assignment that is about to be told so: see reopen.
	errExpelled = fmt.Errorf("the group had taken this member for dead: %w", ErrLost)
)

// keepPartitions takes out of a request what keep does not want.
func keepPartitions(
	req *kmsg.OffsetCommitRequest, keep func(*kmsg.OffsetCommitRequestTopic, *kmsg.OffsetCommitRequestTopicPartition) bool,
) {
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		ps := t.Partitions[:0]
		for _, p := range t.Partitions {
			if keep(&t, &p) {
				ps = append(ps, p)
			}
		}
		if t.Partitions = ps; len(ps) > 0 {
			topics = append(topics, t)
		}
	}
	req.Topics = topics
}

// committed takes in a commit's answer.
func (e *Engine) committed(
	sent map[*assignment]snapshot, mine map[part]*assignment, resp *kmsg.OffsetCommitResponse, err error, took time.Duration,
) error {
	e.mu.Lock()
	defer e.unlock()
	acked := make(map[string]map[int32]int64)
	for a := range sent {
		a.asked = false
	}
	e.cond.Broadcast()
	now := time.Now()
	if err != nil {
		e.unansweredCommit(now)
	}
	late := e.mayComeLate(now)
	if err == nil {
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				a := mine[part{t.Topic, p.Partition}]
				s, ok := sent[a]
				if !ok {
					continue
				}
				if perr := kerr.ErrorForCode(p.ErrorCode); perr != nil {
					err = errors.Join(err, fmt.Errorf("%s[%d]: %w", t.Topic, p.Partition, perr))
					continue
				}
				if acked[t.Topic] == nil {
					acked[t.Topic] = make(map[int32]int64)
				}
				acked[t.Topic][p.Partition] = s.offset
				e.acknowledged(a, s)
				a.unsure = late
				delete(sent, a)
			}
		}
		if err == nil && len(sent) > 0 {
			err = fmt.Errorf("%d partitions were not answered", len(sent))
		}
	}
	e.totals.CommitTime += took
	e.commitFails.note(err)
	if len(acked) > 0 {
		if late {
			e.commitIn(lateAgain)
		}
		e.totals.Commits.Add(took)
		e.totals.LastCommit = now
		if f := e.cfg.Observer.Committed; f != nil {
			e.tell(func() { f(CommittedInfo{Offsets: acked, Took: took}) })
		}
	}
	if err != nil {
		if e.lessMetadata(err, sent) {
			return errMetadata
		}
		err = fmt.Errorf("commit: %w", err)
		e.commitFailed(err, took)
	}
	return err
}

func (e *Engine) commitFailed(err error, took time.Duration) {
	e.totals.CommitsFailed++
	e.log.Warn("commit failed; it is tried again", "event", "commit_failed", "err", err)
	if f := e.cfg.Observer.CommitFailed; f != nil {
		e.tell(func() { f(CommitFailedInfo{Err: err, Took: took}) })
	}
}

// acknowledged lets go on what waited for a commit.
func (e *Engine) acknowledged(a *assignment, s snapshot) {
	a.committed, a.metadata, a.changes, a.unsure, a.acked = s.offset, s.metadata, s.changes, false, true
	waiting := a.awaiting
	a.awaiting = nil
	if a.route.CommitFirst {
		a.granted = s.offset
		a.grant += s.grant
		for _, l := range waiting {
			e.makeReady(l)
		}
		return
	}
	for _, l := range waiting {
		if l.after <= s.finishes {
			e.makeReady(l)
		} else {
			a.awaiting = append(a.awaiting, l)
		}
	}
	if len(a.awaiting) > 0 {
		e.commitSoon()
	}
}

var errCommitsItself = errors.New("commit: the route works in transactions, and each commits all that it took; there is nothing to ask for")

// Commit commits what is finished, and waits for the answer.
func (e *Engine) Commit(ctx context.Context) error {
	if e.transacts() {
		return errCommitsItself
	}
	e.mu.Lock()
	as := e.assignments(func(a *assignment) bool {
		e.publishRuns(a)
		return a.dirty()
	})
	e.unlock()
	return e.commit(ctx, as, demanded)
}
