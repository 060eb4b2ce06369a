package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluice-go/sluice"
)

// batch is one batch on its way to the database.
type batch struct {
	claim    *claim
	from, to int64
	epoch    int32 // of the record before to
	messages int
	skipped  int
	ops      []*op // in offset order
	maxRows  int   // of a statement; it shrinks when the database finds one too large
}

// stage is how far a transaction came.
type stage int

const (
	stageFence  stage = iota // begin and fence: no row was touched
	stageRows                // nothing is committed
	stageCommit              // what COMMIT did is unknown
	stageDone
)

const maxTries = 5

// errNoMatch: the fence hit no row.
var errNoMatch = errors.New("the row of the partition is not as we left it")

// work brings a batch to one of Handle's outcomes.
//
// A COMMIT without an answer needs no treatment of its own: the next try's fence waits on the offset row for as long as
// the transaction before may still commit, and then tells. If it hits the row, that transaction is gone and the batch is
// written now. If it does not, settle reads why. The same is true when ctx ends in between and the next call gets the batch
// again, or when another claim comes first: nobody gets past the offset row while a COMMIT is undecided.
func (c *core) work(ctx context.Context, b *batch) error {
	var err error
	nobody := 0 // times that a row was to blame and bisection found none
	for try := range maxTries {
		if try > 0 {
			c.stats.retries.Add(1)
			if !pause(ctx, try) {
				return ended(ctx, err)
			}
		}
		var at stage
		if at, err = c.transaction(ctx, b); err == nil {
			return nil
		}
		class := c.dialect.classify(err)
		if at != stageFence && class.rowFault() {
			if b.smaller(class) {
				c.log.DebugContext(ctx, "smaller statements", slog.String("partition", b.claim.String()), slog.Int("rows", b.maxRows))
				continue
			}
			failed, searchErr := c.poison(ctx, b)
			switch {
			case searchErr != nil: // no row's fault: the search itself failed
				err, at, class = searchErr, stageFence, c.dialect.classify(searchErr)
			case len(failed) == 0 && b.messages == 1:
				return c.refused(map[int]error{0: err})
			case len(failed) > 0:
				return c.refused(failed)
			case nobody > 0:
				return sluice.Poison(fmt.Errorf("sqlsink: %s: the database refuses the batch but none of its rows: %w", b.claim, err))
			default:
				nobody++
				continue
			}
		}
		if errors.Is(err, errNoMatch) {
			var done bool
			if done, err = c.settle(ctx, b); done {
				return err
			}
			class = classRetry
			if err != nil {
				class = c.dialect.classify(err)
			} else {
				err = errNoMatch
			}
		}
		if ctx.Err() != nil {
			return ended(ctx, err)
		}
		if at == stageCommit {
			c.log.WarnContext(ctx, "COMMIT failed; asking the database", slog.String("partition", b.claim.String()), slog.Any("error", err))
			continue
		}
		if class != classRetry {
			break
		}
		c.log.DebugContext(ctx, "transaction again", slog.String("partition", b.claim.String()), slog.Any("error", err))
	}
	return sluice.Outage(fmt.Errorf("sqlsink: %s: %w", b.claim, err))
}

// ended is the outcome when ctx ended. A deadline, which only a middleware sets, must not use up attempts in an outage.
func ended(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return sluice.Outage(endOf(ctx, err))
	}
	return endOf(ctx, err)
}

// smaller makes the statements of the next try smaller, where that may help against an error of this class.
func (b *batch) smaller(class class) bool {
	if b.maxRows == 1 || (class != classTooLarge && class != classTwice) {
		return false
	}
	b.maxRows = max(1, b.maxRows/8)
	if class == classTwice {
		b.maxRows = 1
	}
	return true
}

// refused is the outcome of a batch with poison in it.
func (c *core) refused(failed map[int]error) error {
	c.stats.poison.Add(int64(len(failed)))
	for i, err := range failed {
		failed[i] = sluice.Poison(fmt.Errorf("sqlsink: table %s: %w", c.settings.table, err))
	}
	return &sluice.BatchError{Failed: failed, RolledBack: true}
}

// transaction writes the batch: fence, rows, commit. On success the claim has moved to the batch's end.
func (c *core) transaction(ctx context.Context, b *batch) (stage, error) {
	conn, err := c.fence(ctx, b)
	if err != nil {
		return stageFence, err
	}
	ops := lastOps(b.ops)
	if err := c.write(ctx, conn, b, ops); err != nil {
		c.conns.abort(ctx, conn, err)
		return stageRows, err
	}
	if _, err := conn.exec(ctx, "commit"); err != nil {
		c.conns.discard(conn)
		return stageCommit, fmt.Errorf("commit: %w", err)
	}
	c.conns.put(conn)
	c.committed(b, ops)
	return stageDone, nil
}

// fence begins a transaction and moves the offset to the batch's end, if the partition is ours and stands at its start.
func (c *core) fence(ctx context.Context, b *batch) (*conn, error) {
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return nil, err
	}
	cl := b.claim
	err = c.execOne(ctx, conn, c.text.fence(), b.to, b.epoch, cl.group, cl.topic, cl.partition, cl.epoch, cl.owner, b.from)
	if err != nil {
		c.conns.abort(ctx, conn, err)
		return nil, err
	}
	return conn, nil
}

func (c *core) write(ctx context.Context, conn *conn, b *batch, ops []*op) error {
	for s := range c.plan(ops, b.maxRows, conn.packet) {
		if _, err := conn.exec(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

func (c *core) committed(b *batch, ops []*op) {
	b.claim.next = b.to
	for _, o := range ops {
		if o.kind == rowDelete {
			c.stats.deleted.Add(1)
		} else {
			c.stats.written.Add(1)
		}
	}
	c.stats.skipped.Add(int64(b.skipped))
	c.stats.batches.Add(1)
}

// settle finds out why the fence hit no row. done: err is the batch's outcome. Not done: again, because the row is as we
// left it (err is nil), or because the answer could not be had.
//
// The read locks the row, and so waits for whoever is changing it. It runs in a transaction that begins after the fence's has ended, so no
// isolation level hides what the fence has met.
func (c *core) settle(ctx context.Context, b *batch) (done bool, err error) {
	conn, err := c.conns.begin(ctx)
	if err != nil {
		return false, err
	}
	cl := b.claim
	row, err := c.readRow(ctx, conn, cl.group, cl.topic, cl.partition)
	c.conns.abort(ctx, conn, err)
	ours := row.ownerEpoch == cl.epoch && row.owner == cl.owner
	switch {
	case errors.Is(err, errNoRow):
		err = errNoRow
	case err != nil:
		return false, err
	case ours && row.next == b.to: // an earlier COMMIT of this batch arrived
		c.committed(b, lastOps(b.ops))
		return true, nil
	case ours && row.next == b.from:
		return false, nil
	case ours:
		err = fmt.Errorf("the stored offset is %d, not %d or %d: the database went back, or somebody changed it", row.next, b.from, b.to)
	default:
		err = fmt.Errorf("another process has claimed the partition (owner epoch %d, ours is %d)", row.ownerEpoch, cl.epoch)
	}
	c.stats.reclaims.Add(1)
	return true, sluice.Reclaim(fmt.Errorf("sqlsink: %s: %w", cl, err))
}
