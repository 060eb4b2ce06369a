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
	content  content
}

// content is what a batch's transaction does between its fence and its COMMIT: rows, or the user's own SQL.
type content interface {
	// write does all of it, from scratch each time. A *verdict is the batch's outcome, a *brokenError says that no transaction is
	// left; every other error is the database's.
	write(ctx context.Context, conn *conn) error
	// culprits finds the messages that are to blame when the database refuses the whole: it does parts of it, each by try.
	culprits(ctx context.Context, conn *conn, try func(part func() error) error) (map[int]error, error)
	// adapt makes the next try's statements smaller, or puts them in another order, where that may help against an error of this
	// class, and tells whether it has.
	adapt(class) bool
	// committed counts it.
	committed(*counters)
}

// verdict ends a batch: the error is its outcome, whatever the database would say.
type verdict struct {
	err error
	// plain: it is an error that says nothing about what to do, and so may come from a lost connection or an ended context.
	plain bool
}

func (v *verdict) Error() string { return v.err.Error() }

// brokenError says that the transaction was ended by somebody else than us: what is committed, nobody knows.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }

// errEnded: see TxConfig.Work.
var errEnded = errors.New("Work has ended the fenced transaction by a COMMIT, a ROLLBACK or a statement that does such a thing")

// stage is how far a transaction came.
type stage int

const (
	stageFence   stage = iota // begin and fence: no row was touched
	stageContent              // nothing is committed
	stageCommit               // what COMMIT did is unknown
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
		class := c.classify(err)
		if at != stageFence && class.rowFault() {
			if b.content.adapt(class) {
				c.log.DebugContext(ctx, "smaller statements", slog.String("partition", b.claim.String()))
				continue
			}
			failed, searchErr := c.poison(ctx, b)
			switch {
			case searchErr != nil: // no row's fault: the search itself failed
				err, at, class = searchErr, stageFence, c.classify(searchErr)
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
		var done bool
		if done, err = b.decided(ctx, err); done {
			return err
		}
		if errors.Is(err, errNoMatch) {
			if done, err = c.settle(ctx, b); done {
				return err
			}
			class = classRetry
			if err != nil {
				class = c.classify(err)
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
		if at == stageContent && b.content.adapt(class) {
			c.log.DebugContext(ctx, "deletes in the order of keys from now on", slog.Any("error", err))
		}
		c.log.DebugContext(ctx, "transaction again", slog.String("partition", b.claim.String()), slog.Any("error", err))
	}
	return sluice.Outage(fmt.Errorf("sqlsink: %s: %w", b.claim, err))
}

// decided tells whether the content's error is the batch's outcome, whatever the database would say.
func (b *batch) decided(ctx context.Context, err error) (bool, error) {
	if broken, ok := errors.AsType[*brokenError](err); ok {
		return true, b.standStill(broken.err)
	}
	if v, ok := errors.AsType[*verdict](err); ok {
		return !v.plain || ctx.Err() == nil, v.err
	}
	return false, err
}

// ended is the outcome when ctx ended. A deadline, which only a middleware sets, must not use up attempts in an outage.
func ended(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return sluice.Outage(endOf(ctx, err))
	}
	return endOf(ctx, err)
}

// standStill is the outcome when somebody else has ended our transaction: the batch may be in the database in part. To go on
// would lose the rest, to try again would do the part twice, so this claim does neither.
func (b *batch) standStill(err error) error {
	b.claim.broken = sluice.Outage(fmt.Errorf("sqlsink: %s: %w; what it did of the records from offset %d to %d may be committed, and "+
		"nothing of them is done again by this process: mend Work, repair the data, and start the process again (it goes on at the "+
		"next_offset of the table of offsets)", b.claim, err, b.from, b.to-1))
	return b.claim.broken
}

// classify is the dialect's, for errors that are the database's.
func (c *core) classify(err error) class {
	_, isVerdict := errors.AsType[*verdict](err)
	_, isBroken := errors.AsType[*brokenError](err)
	if isVerdict || isBroken {
		return classOutage
	}
	return c.dialect.classify(err)
}

// refused is the outcome of a batch with poison in it.
func (c *core) refused(failed map[int]error) error {
	c.stats.poison.Add(int64(len(failed)))
	for i, err := range failed {
		failed[i] = c.poisonous(err)
	}
	return &sluice.BatchError{Failed: failed, RolledBack: true}
}

func (c *core) poisonous(err error) error {
	if c.ownSQL() {
		return sluice.Poison(fmt.Errorf("sqlsink: %w", err))
	}
	return sluice.Poison(fmt.Errorf("sqlsink: table %s: %w", c.settings.table, err))
}

// transaction writes the batch: fence, content, commit. On success the claim has moved to the batch's end.
func (c *core) transaction(ctx context.Context, b *batch) (stage, error) {
	conn, err := c.fence(ctx, b)
	if err != nil {
		return stageFence, err
	}
	if err := b.content.write(ctx, conn); err != nil {
		return stageContent, c.undo(ctx, conn, err)
	}
	b.claim.sent = b.to
	if _, err := conn.exec(ctx, "commit"); err != nil {
		c.conns.discard(conn)
		return stageCommit, fmt.Errorf("commit: %w", err)
	}
	c.conns.put(conn)
	c.committed(b)
	return stageDone, nil
}

// undo rolls back after an error of a batch's content, and returns it. An error of the user's own is taken for the database's
// when the database does not answer any more.
func (c *core) undo(ctx context.Context, conn *conn, err error) error {
	answered := c.conns.abort(ctx, conn, err)
	if v, ok := errors.AsType[*verdict](err); ok && v.plain && !answered {
		return v.err
	}
	return err
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

func (c *core) committed(b *batch) {
	b.claim.next = b.to
	b.content.committed(&c.stats)
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
	case ours && row.next == b.to && cl.sent != b.to:
		return true, b.standStill(fmt.Errorf("%w: %d is stored, and we have sent no COMMIT", errEnded, b.to))
	case ours && row.next == b.to: // an earlier COMMIT of this batch arrived
		c.committed(b)
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
