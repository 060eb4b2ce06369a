package sqlsink

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice"
)

// rows is the content of a batch that Config.Row makes rows of.
type rows struct {
	core    *core
	ops     []*op // in offset order
	skipped int
	maxRows int // of a statement; it shrinks when the database finds one too large
}

// newRows makes the rows of a batch. Its error is the batch's outcome.
func newRows[V any](c *core, row func(sluice.Message[V]) (Row, error), messages []sluice.Message[V]) (content, error) {
	w := &rows{core: c, maxRows: c.statementRows}
	failed := map[int]error{}
	for i, m := range messages {
		var r Row
		err := unpanicked(func() (err error) { // a panic is that message's poison
			r, err = row(m)
			return err
		})
		if err == nil && r.kind == rowSkip {
			w.skipped++
			continue
		}
		var o *op
		if err == nil {
			r, err = c.deleteKey(r)
		}
		if err == nil {
			o, err = c.newOp(i, r)
		}
		if err != nil {
			failed[i] = sluice.Poison(fmt.Errorf("sqlsink: table %s: %w", c.settings.table, err))
			continue
		}
		w.ops = append(w.ops, o)
	}
	if len(failed) > 0 {
		c.stats.poison.Add(int64(len(failed)))
		return nil, &sluice.BatchError{Failed: failed, RolledBack: true}
	}
	return w, nil
}

func (w *rows) write(ctx context.Context, conn *conn) error {
	return w.writeOps(ctx, conn, lastOps(w.ops))
}

func (w *rows) writeOps(ctx context.Context, conn *conn, ops []*op) error {
	for s := range w.core.plan(ops, w.maxRows, conn.packet) {
		if _, err := conn.exec(ctx, s.text, s.args...); err != nil {
			return err
		}
	}
	return nil
}

func (w *rows) culprits(ctx context.Context, conn *conn, try func(func() error) error) (map[int]error, error) {
	return culprits(w.ops, func(ops []*op) error {
		return try(func() error { return w.writeOps(ctx, conn, ops) })
	})
}

func (w *rows) adapt(class class) bool {
	if class == classRetry {
		return !w.core.careful.Swap(true)
	}
	if w.maxRows == 1 || (class != classTooLarge && class != classTwice) {
		return false
	}
	w.maxRows = max(1, w.maxRows/8)
	if class == classTwice {
		w.maxRows = 1
	}
	return true
}

func (w *rows) committed(c *counters) {
	for _, o := range lastOps(w.ops) {
		if o.kind == rowDelete {
			c.deleted.Add(1)
		} else {
			c.written.Add(1)
		}
	}
	c.skipped.Add(int64(w.skipped))
}
