package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"

	"github.com/sluice-go/sluice"
)

// TxConfig describes a sink that runs SQL of your own. Zero values are the documented defaults. NewTx checks all of it at once.
type TxConfig[V any] struct {
	// DB is the database, as in Config. Required.
	DB *sql.DB

	// Dialect is the kind of database: Postgres, MySQL (and MariaDB) or SQLite. Required.
	Dialect Dialect

	// Work does what a batch is to do, with statements of tx only. Required. It is called in a transaction that has already moved
	// the partition's offset to the batch's end; when it returns nil, the transaction is committed. It is never called for a batch
	// without messages.
	//
	// Work is called again, from scratch, in a new transaction, after a deadlock, a serialization failure or an unknown COMMIT,
	// and with parts of the batch while poison is searched for: what it does outside of tx may be done more than once. The
	// transaction holds locks and one of MaxConns connections while it runs, and the database ends it when Work is silent for
	// longer than Limits.Idle.
	//
	// What it returns is the batch's outcome. Whatever is not nil rolls everything back:
	//
	//	nil                              commit
	//	an error of the database,        a deadlock: called again. A value's or constraint's fault (SQLSTATE 22 and 23, and what
	//	wrapped or not                   MySQL and SQLite say instead): the messages to blame are found and poison, the others
	//	                                 land. Everything else, wrong SQL among it: sluice.Outage
	//	*sluice.BatchError               these messages have the given outcomes, the others are handed over again without them
	//	sluice.Poison, Skip, RetryAfter, as on every BatchRoute, for the whole batch
	//	Outage, a panic
	//	any other error                  the batch is tried again as the route's Retry says
	//
	// An error wraps the database's by %w, or it is taken for one of your own. A statement that failed by a value's or
	// constraint's fault may be followed by others where the database allows that: MySQL and SQLite do, PostgreSQL after going back
	// to a savepoint. After every other error of the database the transaction refuses further statements, and is not committed even
	// if Work returns nil.
	//
	// COMMIT, ROLLBACK and BEGIN are refused before they run, and so are MySQL's statements that commit by themselves (CREATE, ALTER,
	// TRUNCATE …); savepoints are yours, but for names that begin with sluice. What hides in a text of several statements, in a
	// stored procedure or in SQLite's OR ROLLBACK is noticed only afterwards, when the batch may be committed in part: then the
	// partition stands still, with health red, until the process is started again. Two things cannot be noticed: a hidden COMMIT right
	// before the process dies or loses its partition (the batch counts as done), and statements behind a hidden ROLLBACK when a later
	// one fails (they are done again). Settings of the session (SET) outlive the batch: use SET LOCAL or none.
	Work func(ctx context.Context, tx *Tx, b sluice.Batch[V]) error

	// Isolation is the transactions' isolation level, as in Config. With a level below serializable, read what you are about to
	// change with FOR UPDATE, or change it in the statement (set balance = balance - ?): other partitions run at the same time.
	Isolation sql.IsolationLevel

	// Limits bound how long the database waits for us and we for it, as in Config. They hold for the statements of Work; the rows
	// of a query have to be read within Statement + Lock.
	Limits Limits

	// Logger gets what an operator should know, never a value of a statement. Nil: slog.Default().
	Logger *slog.Logger

	// MaxConns bounds the connections, as in Config, and so the partitions that work at once.
	MaxConns int

	// OffsetsTable is the table of offsets, as in Config. It must be in the database that Work writes to.
	OffsetsTable string

	// OnMissingRow says where a partition starts that has no row in OffsetsTable, as in Config.
	OnMissingRow MissingRow
}

// Tx is the transaction that a TxConfig.Work runs its statements in. Its methods are those of database/sql's Tx, without Commit and
// Rollback, which are the sink's. Statements of several goroutines run one after another.
//
// When Work returns, rows and prepared statements that it left open are closed, and every later use is sql.ErrTxDone.
type Tx struct{ tx *sql.Tx }

// ExecContext runs a statement that returns no rows.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.tx.ExecContext(ctx, query, args...)
}

// QueryContext runs a query that returns rows.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query that returns one row at most. Its error comes with Scan.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(ctx, query, args...)
}

// PrepareContext prepares a statement, for use in this transaction only.
func (t *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return t.tx.PrepareContext(ctx, query)
}

// NewTx makes a sink that runs SQL of your own, each batch in one fenced transaction together with its offset. It does no I/O;
// every mistake in cfg is returned at once, each a *sluice.ConfigError.
func NewTx[V any](cfg TxConfig[V]) (*Sink[V], error) {
	m := &mistakes{of: "TxConfig"}
	s := settings{base: base{
		db: cfg.DB, dialect: cfg.Dialect.impl, isolation: cfg.Isolation, limits: cfg.Limits, log: cfg.Logger, conns: cfg.MaxConns,
		onMissingRow: cfg.OnMissingRow,
	}}
	s.check(m, cfg.OffsetsTable)
	if cfg.Work == nil {
		m.addf("Work", "required")
	}
	if err := errors.Join(m.errs...); err != nil {
		return nil, err
	}
	s.dialect = ownSQL{s.dialect}
	return &Sink[V]{core: newCore(&s), content: func(b sluice.Batch[V]) (content, error) {
		return &own[V]{work: cfg.Work, batch: b}, nil
	}}, nil
}
