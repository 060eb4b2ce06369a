package sqlsink

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sluice-go/sluice"
)

// lent is a connection with a transaction of ours, as long as it is lent to the user's Work. It is a driver between database/sql and
// the true driver: so database/sql's own Tx closes what Work leaves open and refuses what comes later, while BEGIN, COMMIT and
// ROLLBACK do nothing here and stay with us. It sees every statement before the database does, and every error.
//
// database/sql calls it from one goroutine at a time.
type lent struct {
	driver.Conn
	d     dialect
	limit time.Duration // of one statement

	failed  error                // after which nothing may be run any more
	last    error                // of the database, without those that only say that the transaction has failed before
	cancels []context.CancelFunc // of queries, whose rows may still be read
}

var (
	_ driver.ExecerContext      = (*lent)(nil)
	_ driver.QueryerContext     = (*lent)(nil)
	_ driver.ConnPrepareContext = (*lent)(nil)
	_ driver.ConnBeginTx        = (*lent)(nil)
	_ driver.NamedValueChecker  = (*lent)(nil)
	_ driver.Connector          = (*lent)(nil)
)

// lend calls fn with a Tx on this connection, and takes everything back when fn has returned. lent is nil when fn was not called;
// otherwise the error is fn's.
func (c *conn) lend(ctx context.Context, fn func(*Tx) error) (l *lent, err error) {
	var fnErr error
	err = c.c.Raw(func(raw any) error {
		under, ok := raw.(driver.Conn)
		if !ok {
			return fmt.Errorf("the driver's connection is a %T, not a driver.Conn", raw)
		}
		borrowed := &lent{Conn: under, d: c.d, limit: c.limit}
		db := sql.OpenDB(borrowed)
		defer func() { _ = db.Close() }()
		// Its end is here and nowhere else: a context that ends would end it in a goroutine of its own.
		tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return err
		}
		defer func() {
			_ = tx.Rollback() // waits for statements under way, closes rows and prepared statements
			for _, cancel := range borrowed.cancels {
				cancel()
			}
		}()
		l = borrowed
		fnErr = fn(&Tx{tx})
		return nil // what fn returns says nothing about this connection
	})
	if l != nil {
		err = fnErr
	}
	return l, err
}

// run runs a statement under our limit, and makes an error of a driver's panic, which would leave database/sql locked. keep: the
// limit ends with all of Work, since what the statement returns is read later.
func (l *lent) run(ctx context.Context, keep bool, statement func(context.Context) error) error {
	if l.failed != nil {
		return fmt.Errorf("the transaction takes no more statements, after: %w", l.failed)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.limit, errNoAnswer)
	err := withCause(ctx, unpanicked(func() error { return statement(ctx) }))
	if keep && err == nil {
		l.cancels = append(l.cancels, cancel)
		return nil
	}
	cancel()
	if err == nil || errors.Is(err, driver.ErrSkip) || aborted(err) {
		return err
	}
	l.last = err
	if !l.d.classify(err).rowFault() {
		l.failed = err
	}
	return err
}

// refuse refuses a statement that would end the transaction.
func (l *lent) refuse(text string) error {
	if what := endsTransaction(l.d, text); what != "" && l.failed == nil {
		l.failed = fmt.Errorf("sqlsink: Work has tried %s, which was not run: the transaction is the sink's, "+
			"which commits it together with the offset when Work returns nil; take the statement out", what)
		return l.failed
	}
	return nil
}

// isDatabase tells whether an error is the database's or the driver's.
func (l *lent) isDatabase(err error) bool {
	return l.d.told(err) || l.d.classify(err) != classOutage || (l.failed != nil && errors.Is(err, l.failed))
}

// ExecContext implements driver.ExecerContext.
func (l *lent) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (result driver.Result, err error) {
	execer, ok := l.Conn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	if err := l.refuse(text); err != nil {
		return nil, err
	}
	err = l.run(ctx, false, func(ctx context.Context) (err error) {
		result, err = execer.ExecContext(ctx, text, args)
		return err
	})
	return result, err
}

// QueryContext implements driver.QueryerContext.
func (l *lent) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (rows driver.Rows, err error) {
	queryer, ok := l.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	if err := l.refuse(text); err != nil {
		return nil, err
	}
	err = l.run(ctx, true, func(ctx context.Context) (err error) {
		rows, err = queryer.QueryContext(ctx, text, args)
		return err
	})
	return rows, err
}

// PrepareContext implements driver.ConnPrepareContext.
func (l *lent) PrepareContext(ctx context.Context, text string) (statement driver.Stmt, err error) {
	if err := l.refuse(text); err != nil {
		return nil, err
	}
	err = l.run(ctx, false, func(ctx context.Context) (err error) {
		if p, ok := l.Conn.(driver.ConnPrepareContext); ok {
			statement, err = p.PrepareContext(ctx, text)
		} else {
			statement, err = l.Prepare(text)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	execer, canExec := statement.(driver.StmtExecContext)
	queryer, canQuery := statement.(driver.StmtQueryContext)
	if !canExec || !canQuery {
		_ = statement.Close()
		return nil, errors.New("sqlsink: the driver's prepared statements know no context; use ExecContext and QueryContext")
	}
	return &lentStmt{Stmt: statement, execer: execer, queryer: queryer, lent: l}, nil
}

// CheckNamedValue implements driver.NamedValueChecker.
func (l *lent) CheckNamedValue(v *driver.NamedValue) error { return l.check(l.Conn, v) }

// check makes a value of an argument as the checker does, if it is one, or as all drivers do. A Valuer that panics would leave
// database/sql locked, so that is an error.
func (l *lent) check(checker any, v *driver.NamedValue) error {
	err := driver.ErrSkip
	if c, ok := checker.(driver.NamedValueChecker); ok {
		err = unpanicked(func() error { return c.CheckNamedValue(v) })
	}
	if errors.Is(err, driver.ErrSkip) {
		err = unpanicked(func() (err error) {
			v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value)
			return err
		})
	}
	return err
}

func unpanicked(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &sluice.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return fn()
}

// Close implements driver.Conn: the connection is only lent.
func (l *lent) Close() error { return nil }

// Begin implements driver.Conn.
func (l *lent) Begin() (driver.Tx, error) { return lentTx{}, nil }

// BeginTx implements driver.ConnBeginTx.
func (l *lent) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return lentTx{}, nil }

// Connect implements driver.Connector.
func (l *lent) Connect(context.Context) (driver.Conn, error) { return l, nil }

// Driver implements driver.Connector. Nobody asks.
func (l *lent) Driver() driver.Driver { return nil }

type lentTx struct{}

func (lentTx) Commit() error   { return nil }
func (lentTx) Rollback() error { return nil }

// lentStmt is a prepared statement of a lent connection.
type lentStmt struct {
	driver.Stmt
	execer  driver.StmtExecContext
	queryer driver.StmtQueryContext
	lent    *lent
}

// ExecContext implements driver.StmtExecContext.
func (s *lentStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (result driver.Result, err error) {
	err = s.lent.run(ctx, false, func(ctx context.Context) (err error) {
		result, err = s.execer.ExecContext(ctx, args)
		return err
	})
	return result, err
}

// QueryContext implements driver.StmtQueryContext.
func (s *lentStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = s.lent.run(ctx, true, func(ctx context.Context) (err error) {
		rows, err = s.queryer.QueryContext(ctx, args)
		return err
	})
	return rows, err
}

// CheckNamedValue implements driver.NamedValueChecker.
func (s *lentStmt) CheckNamedValue(v *driver.NamedValue) error {
	if _, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return s.lent.check(s.Stmt, v)
	}
	return s.lent.CheckNamedValue(v)
}
