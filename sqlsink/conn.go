package sqlsink

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"
)

// conns are the sink's own connections. Their sessions have our limits, so they never go back to the DB's pool: they are
// kept here or closed. slots bounds them, below what the DB allows, so that nobody waits in DB.Conn for a connection that
// lies in free.
type conns struct {
	db        *sql.DB
	d         dialect
	isolation sql.IsolationLevel
	limits    Limits
	slots     chan struct{}

	mu     sync.Mutex // held for moments only, never across I/O
	free   []*conn
	closed bool
}

// conn is one connection. It has one user at a time.
type conn struct {
	c      *sql.Conn
	d      dialect
	limit  time.Duration // of one statement
	packet int           // the server's limit on a statement's bytes; 0: none known
	since  time.Time     // when it was last put back
}

var errClosed = errors.New("sqlsink: the sink is closed")

func newConns(s *settings) *conns {
	return &conns{db: s.db, d: s.dialect, isolation: s.isolation, limits: s.limits, slots: make(chan struct{}, s.conns)}
}

// begin starts a transaction. A kept connection that proves dead is replaced: nothing was done on it yet.
func (p *conns) begin(ctx context.Context) (*conn, error) {
	for {
		c, kept, err := p.take(ctx)
		if err != nil {
			return nil, err
		}
		if _, err = c.exec(ctx, p.d.begin()); err == nil {
			return c, nil
		}
		class := p.d.classify(err)
		if class == classRetry {
			p.put(c) // SQLite: somebody else writes
		} else {
			p.discard(c)
		}
		if !kept || class != classOutage || ctx.Err() != nil {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
}

// take gives a kept connection or opens one.
func (p *conns) take(ctx context.Context) (_ *conn, kept bool, _ error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	c, stale, closed := p.pop()
	for _, s := range stale {
		s.close()
	}
	if closed {
		<-p.slots
		return nil, false, errClosed
	}
	if c != nil {
		return c, true, nil
	}
	c, err := p.open(ctx)
	if err != nil {
		<-p.slots
		return nil, false, err
	}
	return c, false, nil
}

func (p *conns) pop() (c *conn, stale []*conn, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.d.staleIdle() {
		fresh := p.free[:0]
		for _, f := range p.free {
			if time.Since(f.since) > p.limits.Idle/2 {
				stale = append(stale, f)
			} else {
				fresh = append(fresh, f)
			}
		}
		p.free = fresh
	}
	if n := len(p.free); n > 0 {
		c, p.free = p.free[n-1], p.free[:n-1]
	}
	return c, stale, p.closed
}

func (p *conns) open(ctx context.Context) (*conn, error) {
	// A server that accepts and says nothing would hold us until ctx ends.
	limited, cancel := context.WithTimeoutCause(ctx, p.limits.Lock+p.limits.Statement, errNoAnswer)
	defer cancel()
	raw, err := p.db.Conn(limited)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", withCause(limited, err))
	}
	c := &conn{c: raw, d: p.d, limit: p.limits.Lock + p.limits.Statement}
	if err := p.d.setup(ctx, c, p.limits, p.isolation); err != nil {
		c.close()
		return nil, fmt.Errorf("prepare a session: %w", err)
	}
	return c, nil
}

// put keeps a connection that has no transaction open.
func (p *conns) put(c *conn) {
	c.since = time.Now()
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.free = append(p.free, c)
	}
	p.mu.Unlock()
	if closed {
		c.close()
	}
	<-p.slots
}

// discard closes a connection that is in doubt.
func (p *conns) discard(c *conn) {
	c.close()
	<-p.slots
}

// abort rolls back after err, and tells whether the database has answered. The connection is kept only when the database itself
// has told what was wrong, or nothing was wrong with it.
func (p *conns) abort(ctx context.Context, c *conn, err error) (answered bool) {
	_, known := errors.AsType[*verdict](err)
	known = known || errors.Is(err, errNoMatch) || errors.Is(err, errNoRow) || err == nil || p.d.classify(err) != classOutage
	if rollbackErr := c.rollback(ctx); rollbackErr != nil || !known {
		p.discard(c)
		return rollbackErr == nil
	}
	p.put(c)
	return true
}

// close closes the free connections and, as they come back, the others.
func (p *conns) close() {
	p.mu.Lock()
	free := p.free
	p.free, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range free {
		c.close()
	}
}

// close really closes: a connection that is merely released would go back to the DB's pool, with our session.
func (c *conn) close() {
	_ = c.c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.c.Close()
}

var errNoAnswer = errors.New("the database did not answer in time")

// withCause says why a statement's own context ended.
func withCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errNoAnswer) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// exec runs a statement and returns the number of rows that it hit.
func (c *conn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errNoAnswer)
	defer cancel()
	result, err := c.c.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, withCause(ctx, err)
	}
	return result.RowsAffected()
}

// queryRow reads one row; sql.ErrNoRows when there is none.
func (c *conn) queryRow(ctx context.Context, text string, args []any, into ...any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errNoAnswer)
	defer cancel()
	return withCause(ctx, c.c.QueryRowContext(ctx, text, args...).Scan(into...))
}

// query calls each for every row.
func (c *conn) query(ctx context.Context, text string, args []any, each func(scan func(...any) error) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.limit, errNoAnswer)
	defer cancel()
	rows, err := c.c.QueryContext(ctx, text, args...)
	if err != nil {
		return withCause(ctx, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return withCause(ctx, rows.Err())
}

// rollback ends the transaction also when ctx has ended. Without an answer the caller closes the connection, which makes
// the database roll back.
func (c *conn) rollback(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_, err := c.c.ExecContext(ctx, "rollback")
	return err
}
