package engine

import (
	"errors"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// undo takes an abort in. Its error is the one that the client has to be made anew for; without, the client has gone back.
func (e *Engine) undo(why error) error {
	if acquire(e.clientCtx, e.swap) == nil {
		defer release(e.swap)
	}
	e.mu.Lock()
	defer e.unlock()
	defer e.over()
	e.tellAbort(why)
	if errors.Is(why, ErrRenew) {
		return why
	}
	back := e.rewind()
	e.unlock()
	e.client.SetOffsets(back)
	e.mu.Lock()
	return nil
}

// freeze starts nothing more of a transaction that is to be aborted: what runs ends in vain, its context cancelled.
func (e *Engine) freeze() {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.parts {
		if a.state != open || a.tracker.Next() == a.settledAt() {
			continue // nothing of it was in the transaction
		}
		if due := a.nextDue(); due.After(a.restsUntil) {
			a.restsUntil = due
		}
		e.quiet(a, moving)
		a.cancel(ErrTransaction)
	}
}

// rewind opens a new epoch for every partition of an aborted transaction, at its last commit, and returns where that is. Under mu.
func (e *Engine) rewind() map[string]map[int32]kgo.EpochOffset {
	now := time.Now()
	back := make(map[string]map[int32]kgo.EpochOffset)
	for _, a := range e.assignments(func(a *assignment) bool { return a.state == moving }) {
		at := a.settledAt()
		e.close(a, ErrTransaction)
		n := e.newAssignment(a.part, a.route)
		n.member = a.member // and not the one that the group knows us by now: to that one it may not have been given
		n.start(position{next: at, epoch: -1, committed: a.committed, topicID: a.work.TopicID})
		n.acked = a.acked
		maps.Copy(n.problems, a.problems)
		if a.restsUntil.After(now) || e.haunted(n.part) {
			e.rests(n, a.restsUntil)
		}
		if back[a.topic] == nil {
			back[a.topic] = make(map[int32]kgo.EpochOffset)
		}
		back[a.topic][a.partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	return back
}

// settledAt is what every record below is committed of: where the assignment began, or its last commit.
func (a *assignment) settledAt() int64 { return max(a.begin, a.committed) }

// remember keeps the history of a record that failed, for when it is polled again: attempts count across transactions. Under mu.
func (e *Engine) remember(a *assignment, it item) {
	if e.remembered[a.part] == nil {
		e.remembered[a.part] = make(map[int64]*trouble)
	}
	e.remembered[a.part][it.record.Offset] = it.trouble
}

// forgive forgets what a record failed of before, as it has succeeded; but not that brokers refused what was written for it: of that they
// tell later. Under mu.
func (e *Engine) forgive(a *assignment, offset int64) {
	if t := e.remembered[a.part][offset]; t != nil && !t.refused {
		delete(e.remembered[a.part], offset)
	}
}

// absolve forgets what records failed of that are committed; not those behind them, which come again. Under mu.
func (e *Engine) absolve(a *assignment) {
	remembered := e.remembered[a.part]
	for offset := range remembered {
		if offset < a.committed {
			delete(remembered, offset)
			delete(a.problems, offset)
		}
	}
	if len(remembered) == 0 {
		delete(e.remembered, a.part)
	}
}

// haunted tells whether a handler of an earlier epoch still runs for a partition.
func (e *Engine) haunted(p part) bool {
	for ref := range maps.Keys(e.ghosts) {
		if ref.part == p {
			return true
		}
	}
	return false
}

// rests keeps a partition out of the transactions until a record of it is due, and until its old handlers have ended.
func (e *Engine) rests(a *assignment, due time.Time) {
	a.paused = true
	e.resting[a.part] = due
	e.pauseChange = append(e.pauseChange, a.part)
	time.AfterFunc(time.Until(due), func() {
		e.mu.Lock()
		defer e.unlock()
		e.wakeRested()
	})
}

// wakeRested lets partitions into the next transaction that have rested for long enough. Under mu.
func (e *Engine) wakeRested() {
	for p, due := range e.resting {
		if time.Now().Before(due) || e.haunted(p) {
			continue
		}
		delete(e.resting, p)
		if a := e.parts[p]; a != nil {
			e.resume(a)
		}
	}
}
