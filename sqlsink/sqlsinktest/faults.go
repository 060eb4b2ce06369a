package sqlsinktest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strings"
	"sync"
	"sync/atomic"
)

// Faults is a connector whose connections go wrong at a chosen statement. Each fault happens once, at the first statement
// that begins with the given text, on whichever connection that comes.
type Faults struct {
	driver.Connector
	statements atomic.Int64

	mu      sync.Mutex
	planned []*planned
	log     func(string)
}

type planned struct {
	begins string
	later  bool // the action runs the statement after it has returned
	action func(c *faultyConn, run func() error) error
}

// NewFaults wraps a connector.
func NewFaults(c driver.Connector) *Faults { return &Faults{Connector: c} }

// Connector makes a connector of a registered driver and its data source name.
func Connector(driverName, dsn string) (driver.Connector, error) {
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	if d, ok := db.Driver().(driver.DriverContext); ok {
		return d.OpenConnector(dsn)
	}
	return dsnConnector{db.Driver(), dsn}, nil
}

type dsnConnector struct {
	driver driver.Driver
	dsn    string
}

func (c dsnConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c dsnConnector) Driver() driver.Driver                        { return c.driver }

// LoseAnswer runs the statement and cuts the connection before its answer comes.
func (f *Faults) LoseAnswer(begins string) {
	f.plan(begins, func(c *faultyConn, run func() error) error {
		_ = run()
		c.cut()
		return driver.ErrBadConn
	})
}

// Drop cuts the connection before the statement is sent.
func (f *Faults) Drop(begins string) {
	f.plan(begins, func(c *faultyConn, _ func() error) error {
		c.cut()
		return driver.ErrBadConn
	})
}

// Late cuts the connection as the client sees it, while the statement is still on its way to the database: it arrives when
// release is called, and done is closed when it has run.
func (f *Faults) Late(begins string) (reached <-chan struct{}, release func(), done <-chan struct{}) {
	at, gate, ran := make(chan struct{}), make(chan struct{}), make(chan struct{})
	f.add(&planned{begins, true, func(c *faultyConn, run func() error) error {
		c.detached.Store(true)
		close(at)
		go func() {
			<-gate
			_ = run()
			_ = c.Conn.Close()
			close(ran)
		}()
		return driver.ErrBadConn
	}})
	return at, sync.OnceFunc(func() { close(gate) }), ran
}

// Freeze stops the process, as far as the database can see, before the statement is sent: reached is closed then, and
// nothing goes on until thaw. Cancelling the statement's context does not help, as it would not help a stopped process.
func (f *Faults) Freeze(begins string) (reached <-chan struct{}, thaw func()) {
	at, gate := make(chan struct{}), make(chan struct{})
	f.plan(begins, func(_ *faultyConn, run func() error) error {
		close(at)
		<-gate
		return run()
	})
	return at, sync.OnceFunc(func() { close(gate) })
}

// Call calls fn before the statement is sent.
func (f *Faults) Call(begins string, fn func()) {
	f.plan(begins, func(_ *faultyConn, run func() error) error {
		fn()
		return run()
	})
}

// Log is called with every statement's text from now on.
func (f *Faults) Log(fn func(text string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = fn
}

// Statements counts the statements that were run.
func (f *Faults) Statements() int64 { return f.statements.Load() }

func (f *Faults) plan(begins string, action func(*faultyConn, func() error) error) {
	f.add(&planned{begins, false, action})
}

func (f *Faults) add(p *planned) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planned = append(f.planned, p)
}

func (f *Faults) statement(text string) *planned {
	f.statements.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log != nil {
		f.log(text)
	}
	for i, p := range f.planned {
		if strings.HasPrefix(text, p.begins) {
			f.planned = append(f.planned[:i:i], f.planned[i+1:]...)
			return p
		}
	}
	return nil
}

// Connect implements driver.Connector.
func (f *Faults) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyConn{Conn: c, faults: f}, nil
}

type faultyConn struct {
	driver.Conn
	faults   *Faults
	isCut    atomic.Bool
	detached atomic.Bool // the connection is somebody else's to close
	answer   driver.Rows // of a query that a fault waits for
}

func (c *faultyConn) cut() {
	if !c.isCut.Swap(true) {
		if c.answer != nil { // which would keep SQLite's connection open, and its locks
			_ = c.answer.Close()
		}
		_ = c.Conn.Close()
	}
}

// Close implements driver.Conn.
func (c *faultyConn) Close() error {
	if !c.detached.Load() {
		c.cut()
	}
	return nil
}

func (c *faultyConn) gone() bool { return c.isCut.Load() || c.detached.Load() }

// ExecContext implements driver.ExecerContext.
func (c *faultyConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (result driver.Result, err error) {
	if c.gone() {
		return nil, driver.ErrBadConn
	}
	execer, ok := c.Conn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	run := func() (err error) {
		result, err = execer.ExecContext(ctx, text, args)
		return err
	}
	p := c.faults.statement(text)
	switch {
	case p == nil:
		err = run()
	case p.later: // runs after we have returned
		err = p.action(c, func() error {
			_, err := execer.ExecContext(context.WithoutCancel(ctx), text, args)
			return err
		})
	default:
		err = p.action(c, run)
	}
	return result, err
}

// QueryContext implements driver.QueryerContext.
func (c *faultyConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (rows driver.Rows, err error) {
	if c.gone() {
		return nil, driver.ErrBadConn
	}
	queryer, ok := c.Conn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	run := func() (err error) {
		rows, err = queryer.QueryContext(ctx, text, args)
		return err
	}
	if p := c.faults.statement(text); p != nil {
		err = p.action(c, func() error {
			err := run()
			c.answer = rows
			return err
		})
		return rows, err
	}
	err = run()
	return rows, err
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *faultyConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if c.gone() {
		return nil, driver.ErrBadConn
	}
	if p, ok := c.Conn.(driver.ConnPrepareContext); ok {
		return p.PrepareContext(ctx, text)
	}
	return c.Conn.Prepare(text)
}

// BeginTx implements driver.ConnBeginTx.
func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.Conn.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, o)
	}
	return c.Conn.Begin() //nolint:staticcheck // what drivers without BeginTx have
}

// Ping implements driver.Pinger.
func (c *faultyConn) Ping(ctx context.Context) error {
	if p, ok := c.Conn.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

// ResetSession implements driver.SessionResetter.
func (c *faultyConn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *faultyConn) IsValid() bool {
	if c.gone() {
		return false
	}
	if v, ok := c.Conn.(driver.Validator); ok {
		return v.IsValid()
	}
	return true
}

// CheckNamedValue implements driver.NamedValueChecker.
func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if n, ok := c.Conn.(driver.NamedValueChecker); ok {
		return n.CheckNamedValue(v)
	}
	return driver.ErrSkip
}
