package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reclaim takes a partition again whose claim is gone, if the group still says that it is ours: what a commit with our
// generation shows. A late zombie may have taken the claim; without this the partition would have no worker.
func (e *Engine) reclaim(a *assignment, cause error) {
	if a.state != open {
		return // it leaves, or halted: whoever has it next claims it
	}
	e.quiet(a, moving)
	a.trouble(claimProblem, "the claim is lost: "+cause.Error())
	e.totals.Reclaims++
	e.log.Warn("claim lost; it is taken again if the group still says that the partition is ours", "event", "claim_lost",
		"topic", a.topic, "partition", a.partition, "err", cause)
	e.spawn(func() {
		ctx, cancel := e.whileMoving(a)
		defer cancel()
		pos := position{topicID: a.work.TopicID, epoch: -1}
		err := e.retry(ctx, "commit to "+a.part.String()+", which shows that it is ours", func() error {
			err := e.commit(ctx, []*assignment{a}, demanded)
			if errors.Is(err, errExpelled) { // we joined again since, and it was not taken from us: that shows it, too
				return nil
			}
			return err
		})
		if err != nil {
			return
		}
		e.mu.Lock()
		pos.committed = a.committed
		e.unlock()
		logs := e.logBounds(a.topic)
		if e.claim(ctx, &pos, a.part, a.route, func(ctx context.Context) (int64, error) { return logs.start(ctx, a.part) }) != nil {
			return
		}
		if e.moveTo(ctx, a, pos) {
			if f := e.cfg.Observer.Reclaimed; f != nil {
				f(ReclaimedInfo{Topic: a.topic, Partition: a.partition, Next: pos.next, Err: cause})
			}
		}
	})
}

// reopen takes up a partition that we had as another member of the group. The group took that one for dead, and somebody else may
// have had the partition since: the client joins again without a word (kgo 1.22.2), and goes on where it stood. We go on where
// the group's commit is.
func (e *Engine) reopen(a *assignment) {
	switch {
	case a.tracker == nil: // its start is being read now, or its claim was refused: nothing of it is at stake
		a.member = e.member
		return
	case e.stopping:
		e.close(a, ErrLost)
		return
	case a.state == moving, a.state == closed:
		return
	}
	e.log.Warn("the group had taken this member for dead; the partition begins again at the group's commit", "event", "member_expelled",
		"topic", a.topic, "partition", a.partition)
	e.quiet(a, moving)
	e.beginAgain(a)
}

// beginAgain moves a partition to the group's commit, as the member that we are now.
func (e *Engine) beginAgain(a *assignment) {
	member := e.member
	e.spawn(func() {
		ctx, cancel := e.whileMoving(a)
		defer cancel()
		var commit groupOffset
		err := e.retry(ctx, "read the group's commit of "+a.part.String(), func() (err error) {
			commit, err = e.groupCommit(ctx, a.part)
			return err
		})
		if err != nil {
			return
		}
		logs := e.logBounds(a.topic)
		pos, err := e.begin(ctx, a.part, a.route, commit, a.work.TopicID, logs)
		if err != nil {
			return
		}
		e.mu.Lock()
		a.committed, a.metadata = pos.committed, pos.metadata
		e.unlock()
		pos.readAs = member
		e.moveTo(ctx, a, pos)
	})
}

// groupCommit asks for the group's commit of a partition; offset -1 when there is none.
func (e *Engine) groupCommit(ctx context.Context, p part) (groupOffset, error) {
	commits, err := e.admin.FetchOffsetsForTopics(ctx, e.cfg.Group, p.topic)
	if err != nil {
		return groupOffset{}, err
	}
	c, ok := commits.Lookup(p.topic, p.partition)
	if !ok {
		return groupOffset{EpochOffset: kgo.EpochOffset{Offset: -1, Epoch: -1}}, nil
	}
	return groupOffset{kgo.EpochOffset{Offset: c.At, Epoch: c.LeaderEpoch}, c.Metadata}, c.Err
}

// whileMoving is a context that ends when the assignment is closed, or the client is.
func (e *Engine) whileMoving(a *assignment) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a.ctx)
	stop := context.AfterFunc(e.clientCtx, cancel)
	return ctx, func() { stop(); cancel() }
}

// moveTo moves an assignment to where a claim says, or halts it where the claim was refused.
func (e *Engine) moveTo(ctx context.Context, a *assignment, pos position) bool {
	if pos.refused == nil {
		return e.move(ctx, a, pos)
	}
	e.mu.Lock()
	defer e.unlock()
	if a.state == moving {
		e.halt(a, a.tracker.Next(), pos.refused)
	}
	return false
}

// move opens a new epoch at pos while the poll loop is held, and sets the client there. It reports false when the
// assignment ended meanwhile.
func (e *Engine) move(ctx context.Context, a *assignment, pos position) bool {
	return e.moveBy(ctx, a, pos) != nil
}

// moveBy is move, and returns the assignment of the new epoch; nil when the old one ended meanwhile.
func (e *Engine) moveBy(ctx context.Context, a *assignment, pos position) *assignment {
	if acquire(ctx, e.swap) != nil {
		return nil
	}
	defer release(e.swap)
	e.mu.Lock()
	e.barrier()
	defer func() {
		e.mu.Lock()
		e.unbarrier()
		e.unlock()
	}()
	if e.parts[a.part] != a || a.state != moving {
		e.unlock()
		return nil
	}
	if pos.readAs != "" && pos.readAs != e.member { // taken for dead once more: somebody else may have committed since
		e.beginAgain(a)
		e.unlock()
		return nil
	}
	n := e.follow(a, pos)
	if pos.sought { // it is committed, even where the commit seems to be there: one of the old epoch may have come between
		n.unsure = true
	}
	e.commitDue(n.route, 0)
	e.unlock()
	e.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{a.topic: {a.partition: {Epoch: pos.epoch, Offset: pos.next}}})
	return n
}

// follow opens a new epoch at pos, in the place of one whose commit is the group's still. What that one had ahead is not taken
// over unless pos says so: it may be of records that are to be handled again, or that are not in the log any more. So a commit that
// says it has to be replaced, even by one of the same offset.
func (e *Engine) follow(a *assignment, pos position) *assignment {
	n := e.newAssignment(a.part, a.route)
	pos.committed, pos.metadata = a.committed, a.metadata
	n.start(pos)
	n.unproven = a.tracker.Next() == a.begin
	n.unsure = a.unsure || a.metadata != "" && pos.ahead.Empty()
	return n
}

// arrived tells whether the client is where it was moved to. It forgets what SetOffsets says while it looks up where a partition
// begins, which it may do until the first records come, and goes there nevertheless (kgo 1.22.2). Then it is told once more, and
// what it brought is dropped; if that lies behind a gap in the log, it comes again.
func (e *Engine) arrived(a *assignment, first int64) bool {
	if !a.unproven {
		return true
	}
	a.unproven = false
	next := a.tracker.Next()
	if first == next {
		return true
	}
	e.tell(func() { // on the poll loop, before it polls again; behind events, which may take long
		e.mu.Lock()
		gone := e.parts[a.part] != a
		e.unlock()
		if gone {
			return
		}
		e.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{a.topic: {a.partition: {Epoch: -1, Offset: next}}})
	})
	return false
}

// outOfRange finds out what became of a position that the log does not have.
func (e *Engine) outOfRange(a *assignment) {
	position, epoch := a.tracker.Next(), int32(-1)
	if f, fe := a.frontier(); f == position {
		epoch = fe
	}
	a.seeking = true
	ctx, cancel := e.whileMoving(a)
	e.spawn(func() {
		defer cancel()
		var start, end, diverged int64
		err := e.retry(ctx, "look up the log of "+a.part.String(), func() (err error) {
			start, end, diverged, err = e.bounds(ctx, a.part, position, epoch)
			return err
		})
		if err != nil {
			return
		}
		e.resumeAfterLoss(ctx, a, position, start, end, diverged)
	})
}

// resumeAfterLoss goes on where nothing that still exists is missed, or halts.
func (e *Engine) resumeAfterLoss(ctx context.Context, a *assignment, at, start, end, diverged int64) {
	stay := e.cfg.HaltOnLoss || a.route.fenced()
	e.mu.Lock()
	if a.state != open {
		e.unlock()
		return
	}
	within := at >= start && at <= end
	resume := start
	switch {
	case within:
		resume = at
	case at > end && diverged >= start:
		resume = min(diverged, end)
	}
	if resume < at { // what is not finished below the cut is still there
		resume = max(start, min(resume, a.unfinished()))
	}
	if !within {
		told := resume
		if stay {
			told = -1
		}
		e.tellLoss(a, at, told, start, end)
		if stay {
			e.halt(a, at, errLoss(at, start, end))
			e.unlock()
			return
		}
	}
	if resume < at {
		e.quiet(a, moving)
	}
	e.unlock()
	if resume < at {
		e.move(ctx, a, position{next: resume, epoch: -1, topicID: a.work.TopicID})
		return
	}
	e.skip(ctx, a, resume)
}

// skip goes on in the same epoch, past records that are gone. What was polled before them stays.
func (e *Engine) skip(ctx context.Context, a *assignment, to int64) {
	if acquire(ctx, e.swap) != nil {
		return
	}
	defer release(e.swap)
	e.mu.Lock()
	e.barrier()
	ok := e.parts[a.part] == a && a.state == open
	if ok {
		a.tracker.Skip(to)
		a.seeking = false
		e.resume(a)
		e.commitDue(a.route, 0)
	}
	e.unlock()
	if ok {
		e.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{a.topic: {a.partition: {Epoch: -1, Offset: to}}})
	}
	e.mu.Lock()
	e.unbarrier()
	e.unlock()
}

// bounds asks where a log begins and ends, and where it parted from the epoch that was consumed last (-1 unknown).
func (e *Engine) bounds(ctx context.Context, p part, at int64, epoch int32) (start, end, diverged int64, err error) {
	starts, err1 := e.admin.ListStartOffsets(ctx, p.topic) // an error may be of other partitions only
	ends, err2 := e.admin.ListEndOffsets(ctx, p.topic)
	s, ok1 := starts.Lookup(p.topic, p.partition)
	n, ok2 := ends.Lookup(p.topic, p.partition)
	if s.Err != nil || n.Err != nil || !ok1 || !ok2 {
		err := errors.Join(s.Err, n.Err)
		if err == nil {
			err = errors.Join(err1, err2)
		}
		return 0, 0, 0, fmt.Errorf("the brokers do not tell the offsets of %v: %w", p, cmpErr(err))
	}
	diverged = -1
	if at > n.Offset && epoch >= 0 {
		diverged = e.divergence(ctx, p, epoch)
	}
	return s.Offset, n.Offset, diverged, nil
}

// wentBack takes in records below what was taken: the log was cut off and written again. It returns the assignment that
// takes them; nil when they are not welcome.
func (e *Engine) wentBack(a *assignment, first *kgo.Record) *assignment {
	err := fmt.Errorf("the log went back from offset %d to %d", a.tracker.Next(), first.Offset)
	switch {
	case a.route.fenced(), e.cfg.HaltOnLoss, e.transacts(): // what is aborted begins again at its commit, and not where the log does
		e.tellLoss(a, a.tracker.Next(), -1, a.logStart, a.logEnd)
		e.halt(a, a.tracker.Next(), err)
		return nil
	}
	e.tellLoss(a, a.tracker.Next(), first.Offset, a.logStart, a.logEnd)
	if at := a.unfinished(); at < first.Offset { // these are still there: they are read again
		e.quiet(a, moving)
		e.spawn(func() {
			ctx, cancel := e.whileMoving(a)
			defer cancel()
			e.move(ctx, a, position{next: at, epoch: -1, topicID: a.work.TopicID})
		})
		return nil
	}
	n := e.follow(a, position{next: first.Offset, epoch: -1, topicID: a.work.TopicID})
	n.logStart, n.logEnd = a.logStart, a.logEnd
	return n
}

// truncated takes in kgo's finding that the log was cut off below our position. kgo goes on at loss.ResetTo by itself.
func (e *Engine) truncated(a *assignment, loss *kgo.ErrDataLoss) {
	if a.tracker.Next() <= loss.ResetTo {
		return // went back already
	}
	e.wentBack(a, &kgo.Record{Topic: a.topic, Partition: a.partition, Offset: loss.ResetTo})
}

func (e *Engine) tellLoss(a *assignment, at, resume, start, end int64) {
	a.totals.DataLosses++
	a.totals.LostRecords += max(0, start-at)
	a.failed(errLoss(at, start, end).Error())
	e.lost[a.part] = a.lastError + "; a restart takes this off the list"
	e.log.Error("data lost: the position is not in the log", "event", "data_lost", "topic", a.topic, "partition", a.partition,
		"position", at, "log_start", start, "log_end", end, "resume", resume)
	if f := e.cfg.Observer.DataLost; f != nil {
		info := DataLostInfo{Topic: a.topic, Partition: a.partition, Position: at, Resume: resume, LogStart: start, LogEnd: end}
		e.tell(func() { f(info) })
	}
}

// errLoss says why a position is not in its log.
func errLoss(at, start, end int64) error {
	if at < start {
		return fmt.Errorf("records %d to %d were lost to retention before they were read; raise the topic's retention.ms, or read faster",
			at, start-1)
	}
	return fmt.Errorf("the position %d lies beyond the log's end, %d: an unclean election, or the topic was made again", at, end)
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("no answer for the partition")
	}
	return err
}

// divergence asks where the log of our last epoch ends now: what was read beyond it was taken back. -1 when nobody knows.
func (e *Engine) divergence(ctx context.Context, p part, epoch int32) int64 {
	var req kadm.OffsetForLeaderEpochRequest
	req.Add(p.topic, p.partition, epoch)
	resp, err := e.admin.OffsetForLeaderEpoch(ctx, req)
	if err != nil {
		return -1
	}
	for _, ps := range resp {
		if o, ok := ps[p.partition]; ok && o.Err == nil {
			return o.EndOffset
		}
	}
	return -1
}
