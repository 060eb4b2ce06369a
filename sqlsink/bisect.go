package sqlsink

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// poison finds the messages that are to blame for a batch that the database refuses: those that are refused by themselves
// or on top of the ones before them. It works in one transaction, which begins with the fence as every other does and is
// rolled back. nil: it found none.
func (c *core) poison(ctx context.Context, b *batch) (map[int]error, error) {
	conn, err := c.fence(ctx, b)
	if err != nil {
		return nil, err
	}
	failed, err := b.content.culprits(ctx, conn, func(part func() error) error { return c.try(ctx, conn, part) })
	return failed, c.undo(ctx, conn, err)
}

// faultError is a row's fault: the part was taken back, the transaction goes on.
type faultError struct{ err error }

func (e *faultError) Error() string { return e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

// try does a part on top of what the transaction has done, or, with a faultError, nothing of it.
func (c *core) try(ctx context.Context, conn *conn, part func() error) error {
	if _, err := conn.exec(ctx, "savepoint sluice"); err != nil {
		return err
	}
	err := part()
	if err == nil {
		err = c.checkNow(ctx, conn)
	}
	if err == nil {
		_, err = conn.exec(ctx, "release savepoint sluice")
		return err
	}
	if !c.classify(err).rowFault() {
		return err
	}
	if _, err := conn.exec(ctx, "rollback to savepoint sluice"); err != nil {
		return err
	}
	return &faultError{err}
}

// checkNow makes the database check what it would check at COMMIT only, and leaves the transaction as it was.
func (c *core) checkNow(ctx context.Context, conn *conn) error {
	text := c.dialect.checkNow()
	if text == "" {
		return nil
	}
	for _, statement := range []string{"savepoint sluice_check", text, "rollback to savepoint sluice_check"} {
		if _, err := conn.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// culprits finds the messages to be taken out so that the rest can be written. try writes some ops, all or none, and
// refuses with a faultError; its other errors end the search.
//
// Only the last op of a key is tried. If that one is to blame, the op before it counts again, so it is tried, too.
func culprits(ops []*op, try func([]*op) error) (map[int]error, error) {
	failed := map[int]error{}
	blame := func(o *op, err error) { failed[o.message] = err }
	for left := lastOps(ops); len(left) > 0; {
		before := len(failed)
		if err := bisect(left, try, blame); err != nil {
			return nil, err
		}
		var exposed []*op
		for _, o := range left {
			if _, bad := failed[o.message]; bad && o.earlier != nil {
				exposed = append(exposed, o.earlier)
			}
		}
		if len(failed) == before {
			break
		}
		slices.SortFunc(exposed, func(a, b *op) int { return cmp.Compare(a.message, b.message) })
		left = exposed
	}
	return failed, nil
}

// bisect does all items but those to blame, in 2 log2(n) + 1 tries for each of them. The earlier half goes first, so that of two
// that exclude each other the later one is to blame.
func bisect[T any](items []T, try func([]T) error, blame func(T, error)) error {
	err := try(items)
	fault, ok := errors.AsType[*faultError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return err
	case len(items) == 1:
		blame(items[0], fault.err)
		return nil
	}
	half := len(items) / 2
	if err := bisect(items[:half], try, blame); err != nil {
		return err
	}
	return bisect(items[half:], try, blame)
}
