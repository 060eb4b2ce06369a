package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
)

// Dialect is a kind of database: made by Postgres, MySQL or SQLite.
type Dialect struct{ impl dialect }

// String is the database's name: PostgreSQL, MySQL or SQLite.
func (d Dialect) String() string {
	if d.impl == nil {
		return "no dialect"
	}
	return d.impl.name()
}

// dialect is what differs between databases.
type dialect interface { //nolint:interfacebloat // all of it belongs to one place
	name() string
	hasIsolation(sql.IsolationLevel) bool

	// setup makes a new connection ours: limits, isolation, strictness.
	setup(context.Context, *conn, Limits, sql.IsolationLevel) error
	// staleIdle tells whether the database ends connections that were idle for Limits.Idle outside of a transaction.
	staleIdle() bool
	// begin starts a transaction that is going to write.
	begin() string
	// checkNow makes the transaction check constraints with each statement that it would check at COMMIT. Empty: nothing to do.
	checkNow() string
	// forUpdate makes a select wait for, see and lock the newest version of its rows.
	forUpdate() string
	// now is the current time as an expression.
	now() string

	quote(name string) string
	param(n int) string // the nth placeholder, from 1
	maxParams() int

	// upsert ends an insert of columns so that it replaces the row with the same key. otherUnique: the table has more unique
	// indexes than the one over key.
	upsert(columns, key []string, otherUnique bool) string
	// offsetsTable creates the table of offsets, name quoted, if it is missing.
	offsetsTable(name string) string
	// columnType is the type of a column that was given none.
	columnType(inKey bool) string
	// tableOptions ends the create statement of a table of rows.
	tableOptions() string
	// describe reads the catalog; errNoTable when there is no such table.
	describe(context.Context, *conn, tableName) (*catalog, error)
	// mayCreate says what keeps the user from creating a table; empty: nothing. It changes nothing.
	mayCreate(context.Context, *conn, tableName) (string, error)
	// mayUse says what keeps the user from using a table so; empty: nothing. It changes nothing.
	mayUse(context.Context, *conn, use) (string, error)
	// widen says how the column found is given another type, and stays all else that it is. Table and column are quoted.
	widen(table, column, typ string, found *catalogColumn) string

	classify(error) class
	// told says whether the error is the server's own word.
	told(error) bool
	// noSavepoint says whether the error is that a savepoint is not there, or no transaction is.
	noSavepoint(error) bool
	// commits says whether a statement that begins with these words, in lower case, ends the transaction in this database only.
	commits(first, second string) bool
}

// catalog is what a dialect knows about a table.
type catalog struct {
	columns []catalogColumn
	unique  [][]string // the columns of each unique index that ON CONFLICT could use
	problem string     // why the table cannot be written exactly once; empty: it can
}

type catalogColumn struct {
	name     string
	typ      string // as the database spells it, in lower case; empty: it takes what is longer, too
	rest     string // what belongs to the type and has to be said again when that changes; "?": that cannot be told
	required bool   // not null, without a default
	kind     keyKind
	compare  func(any) (any, error) // makes a value one that = compares in the column's own type; nil: any is
}

// keyKind tells of a key column when two values are the same to the database exactly if they are the same in Go.
type keyKind int

const (
	keyInexact keyKind = iota // not known, or not so: other case, other spelling of a number
	keyInteger                // for Go's integers
	keyText                   // for strings without trailing spaces
)

var errNoTable = errors.New("no such table")

func (c *catalog) column(name string) *catalogColumn {
	for i := range c.columns {
		if c.columns[i].name == name {
			return &c.columns[i]
		}
	}
	return nil
}

func dollar(n int) string { return "$" + strconv.Itoa(n) }
