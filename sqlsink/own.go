package sqlsink

import (
	"context"
	"errors"
	"fmt"

	"github.com/sluice-go/sluice"
)

// own is the content of a batch that TxConfig.Work does by SQL of the user's own.
type own[V any] struct {
	work  func(context.Context, *Tx, sluice.Batch[V]) error
	batch sluice.Batch[V]
}

func (w *own[V]) write(ctx context.Context, conn *conn) error {
	return w.do(ctx, conn, 0, len(w.batch.Messages))
}

func (w *own[V]) culprits(ctx context.Context, conn *conn, try func(func() error) error) (map[int]error, error) {
	failed := map[int]error{}
	all := make([]int, len(w.batch.Messages))
	for i := range all {
		all[i] = i
	}
	err := bisect(all, func(part []int) error { // which has no gaps
		return try(func() error { return w.do(ctx, conn, part[0], part[0]+len(part)) })
	}, func(message int, err error) { failed[message] = err })
	if err != nil {
		return nil, err
	}
	return failed, nil
}

func (*own[V]) adapt(class) bool    { return false }
func (*own[V]) committed(*counters) {}

// do calls Work with the messages [from, to). The savepoint around it is how we know afterwards that the transaction is still the
// fenced one: whatever ends a transaction takes its savepoints along, in every database.
func (w *own[V]) do(ctx context.Context, conn *conn, from, to int) error {
	if from == to {
		return nil
	}
	if _, err := conn.exec(ctx, "savepoint sluice_work"); err != nil {
		return err
	}
	b := w.batch
	b.Messages = b.Messages[from:to:to]
	lent, err := conn.lend(ctx, func(tx *Tx) error {
		return unpanicked(func() error { return w.work(ctx, tx, b) })
	})
	if lent == nil {
		return err
	}
	outcome := w.judge(lent, err, from, to)
	if lent.failed != nil { // an error that may itself have ended the transaction
		return outcome
	}
	_, err = conn.exec(ctx, "release savepoint sluice_work")
	switch {
	case err != nil && conn.d.noSavepoint(err):
		return &brokenError{fmt.Errorf("%w: %w", errEnded, err)}
	case outcome != nil:
		return outcome
	case aborted(err):
		if lent.last != nil {
			err = lent.last
		}
		return fmt.Errorf("Work returned nil after a statement had failed, and the database has given the transaction up; "+
			"return the error, or go back to a savepoint: %w", err)
	}
	return err
}

// judge says what Work's error is: the batch's outcome, as a *verdict, or the database's.
func (w *own[V]) judge(l *lent, err error, from, to int) error {
	if batchErr, ok := errors.AsType[*sluice.BatchError](err); ok {
		return w.some(batchErr, from, to)
	}
	if sluice.IsOutcome(err) {
		return w.part(&verdict{err: err}, from, to)
	}
	_, panicked := errors.AsType[*sluice.PanicError](err)
	switch {
	case l.failed != nil && (err == nil || panicked || !l.isDatabase(err)): // that is what went wrong, whatever Work makes of it
		return l.failed
	case err == nil:
		return nil
	case panicked:
		return w.part(&verdict{err: err}, from, to)
	}
	if aborted(err) && l.last != nil { // Work went on after the error that matters
		return fmt.Errorf("Work went on after an error of the database: %w", l.last)
	}
	if !l.isDatabase(err) {
		return &verdict{err: err, plain: true}
	}
	return err
}

// part makes the outcome of a single message, while poison is searched for, that message's only.
func (w *own[V]) part(v *verdict, from, to int) error {
	if to-from == 1 && len(w.batch.Messages) > 1 {
		v.err = &sluice.BatchError{Failed: map[int]error{from: v.err}, RolledBack: true}
	}
	return v
}

// some turns the indexes of a part into those of the whole.
func (w *own[V]) some(e *sluice.BatchError, from, to int) error {
	whole := &sluice.BatchError{Failed: make(map[int]error, len(e.Failed)), RolledBack: true}
	for i, err := range e.Failed {
		if i < 0 || i >= to-from {
			return &verdict{err: fmt.Errorf("sqlsink: Work's BatchError names index %d of a batch of %d messages", i, to-from), plain: true}
		}
		whole.Failed[from+i] = err
	}
	return &verdict{err: whole}
}

// ownSQL is a dialect for statements that we have not made ourselves.
type ownSQL struct{ dialect }

// classify takes a syntax error for what it is: only of statements that are right for sure, it is a value's fault.
func (d ownSQL) classify(err error) class {
	if state, _ := sqlState(err); state == "42601" {
		return classOutage
	}
	return d.dialect.classify(err)
}

// aborted tells whether err is PostgreSQL's refusal to go on in a transaction that has failed.
func aborted(err error) bool {
	state, _ := sqlState(err)
	return state == "25P02"
}
