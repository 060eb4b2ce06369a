package sqlsink

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// poison finds the messages that are to blame for a batch that the database refuses: those whose row is refused by itself
// or on top of the rows before it. It works in one transaction, which begins with the fence as every other does and is
// rolled back. nil: it found none.
func (c *core) poison(ctx context.Context, b *batch) (map[int]error, error) {
	conn, err := c.fence(ctx, b)
	if err != nil {
		return nil, err
	}
	if text := c.dialect.checkNow(); text != "" {
		if _, err := conn.exec(ctx, text); err != nil {
			c.conns.abort(ctx, conn, err)
			return nil, err
		}
	}
	failed, err := culprits(b.ops, func(ops []*op) error { return c.try(ctx, conn, b, ops) })
	c.conns.abort(ctx, conn, err)
	return failed, err
}

// faultError is a row's fault: the rows were taken back, the transaction goes on.
type faultError struct{ err error }

func (e *faultError) Error() string { return e.err.Error() }
func (e *faultError) Unwrap() error { return e.err }

// try writes ops on top of what the transaction has written, or, with a faultError, none of them.
func (c *core) try(ctx context.Context, conn *conn, b *batch, ops []*op) error {
	if _, err := conn.exec(ctx, "savepoint sluice"); err != nil {
		return err
	}
	err := c.write(ctx, conn, b, ops)
	if err == nil {
		_, err = conn.exec(ctx, "release savepoint sluice")
		return err
	}
	if !c.dialect.classify(err).rowFault() {
		return err
	}
	if _, err := conn.exec(ctx, "rollback to savepoint sluice"); err != nil {
		return err
	}
	return &faultError{err}
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

// bisect writes all ops but those to blame, in 2 log2(n) + 1 tries for each of them. The earlier half goes first, so that of two rows
// that exclude each other the later one is to blame.
func bisect(ops []*op, try func([]*op) error, blame func(*op, error)) error {
	err := try(ops)
	fault, ok := errors.AsType[*faultError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return err
	case len(ops) == 1:
		blame(ops[0], fault.err)
		return nil
	}
	half := len(ops) / 2
	if err := bisect(ops[:half], try, blame); err != nil {
		return err
	}
	return bisect(ops[half:], try, blame)
}
