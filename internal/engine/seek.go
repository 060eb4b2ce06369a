package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Why a partition cannot be moved.
var (
	ErrNotAssigned = errors.New("the partition is not assigned to this member, or leaves it")
	ErrOutsideLog  = errors.New("the offset lies outside the log")
	ErrTransacts   = errors.New("the route works in transactions; stop its members, and reset the group's offsets")
	ErrSinkDecides = errors.New("the route's sink keeps the offsets, and says where the partition goes on")
)

// Seek moves a partition to an offset: what waits is forgotten, what runs ends first, for at most DrainTimeout, and a new epoch
// begins there, which is committed at once. When ctx ends the move goes on, and is not waited for. It returns the log's bounds; -1
// where they were not asked for.
func (e *Engine) Seek(ctx context.Context, topic string, partition int32, offset int64) (start, end int64, err error) {
	p := part{topic, partition}
	start, end = -1, -1
	if _, err = e.seekable(ctx, p); err != nil {
		return start, end, err
	}
	if start, end, _, err = e.bounds(ctx, p, offset, -1); err != nil {
		return -1, -1, e.explain(err, topic)
	}
	if offset < start || offset > end {
		return start, end, ErrOutsideLog
	}
	a, err := e.seekable(ctx, p) // it may have changed meanwhile
	if err != nil {
		return start, end, err
	}
	done := make(chan error, 1)
	e.mu.Lock()
	if e.parts[p] != a || a.state != open && a.state != halted {
		e.unlock()
		return start, end, ErrNotAssigned
	}
	e.log.Info("partition moved by hand", "event", "partition_moved",
		"topic", topic, "partition", partition, "from", a.tracker.Next(), "to", offset)
	e.quiet(a, moving)
	e.spawn(func() { done <- e.seekTo(a, offset) })
	e.unlock()
	select {
	case err = <-done:
		return start, end, err
	case <-ctx.Done():
		return start, end, fmt.Errorf("under way, but not committed yet: %w", context.Cause(ctx))
	}
}

// seekable waits until a partition can be moved, and returns its assignment.
func (e *Engine) seekable(ctx context.Context, p part) (*assignment, error) {
	e.mu.Lock()
	defer e.unlock()
	var a *assignment
	settled := e.waitUntil(ctx, func() bool {
		a = e.parts[p]
		return a == nil || a.state != starting && a.state != moving
	})
	switch {
	case !settled:
		return nil, context.Cause(ctx)
	case a == nil || a.state != open && a.state != halted:
		return nil, ErrNotAssigned
	case e.transacts():
		return nil, ErrTransacts
	case a.route.fenced():
		return nil, ErrSinkDecides
	}
	return a, nil
}

// seekTo opens the new epoch once the old one's handlers have ended, or had their time, and commits it.
func (e *Engine) seekTo(a *assignment, offset int64) error {
	ctx, cancel := e.whileMoving(a)
	defer cancel()
	drain, cancelDrain := context.WithTimeout(ctx, e.cfg.DrainTimeout)
	defer cancelDrain()
	e.mu.Lock()
	e.waitUntil(drain, func() bool { return a.state != moving || a.idle() })
	e.unlock()
	n := e.moveBy(ctx, a, position{next: offset, epoch: -1, topicID: a.work.TopicID, sought: true})
	if n == nil {
		return ErrNotAssigned
	}
	committing, cancelCommit := e.whileMoving(n)
	defer cancelCommit()
	err := e.retry(committing, "commit the new position of "+n.part.String(), func() error {
		return e.commit(committing, []*assignment{n}, demanded)
	})
	e.mu.Lock()
	defer e.unlock()
	if err == nil && !n.acked { // it left before: what came last may be committed, or not
		err = ErrNotAssigned
	}
	return err
}

// OffsetAt is the first offset of a partition whose timestamp is t or later; the log's end when there is none.
func (e *Engine) OffsetAt(ctx context.Context, topic string, partition int32, t time.Time) (int64, error) {
	p := part{topic, partition}
	if _, err := e.seekable(ctx, p); err != nil {
		return -1, err
	}
	listed, err := e.admin.ListOffsetsAfterMilli(ctx, t.UnixMilli(), topic)
	if err != nil {
		return -1, e.explain(err, topic)
	}
	o, ok := listed.Lookup(topic, partition)
	if !ok || o.Err != nil {
		return -1, fmt.Errorf("the brokers do not tell the offsets of %v: %w", p, cmpErr(o.Err))
	}
	return o.Offset, nil
}
