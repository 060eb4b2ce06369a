package sqlsink

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
)

// Config describes a sink. Zero values are the documented defaults. New checks all of it at once.
type Config[V any] struct {
	// DB is the database. Required. The sink keeps the connections that it takes from it, up to MaxConns, and closes them in
	// Close; the DB is closed by the caller, afterwards.
	DB *sql.DB

	// Dialect is the kind of database: Postgres, MySQL (and MariaDB) or SQLite. Required.
	Dialect Dialect

	// Table is the table that the rows go to; schema.table where it is not in the connection's own schema. Required.
	Table string

	// Columns are the columns that Row gives values for, in order. Required. Columns of the table that are not named here
	// keep their defaults in new rows, and their values in updated ones.
	Columns []Column

	// Row makes a row of a message. Required. An error is poison: the record goes where Policy.OnFailure says. It may be
	// called more than once for a message and from several goroutines, and must make the same row each time.
	Row func(sluice.Message[V]) (Row, error)

	// Create lets Prepare create the table when it is missing. Zero: a missing table is an error.
	Create bool

	// Isolation is the transactions' isolation level. Every level that the database has is correct; a stricter one only
	// costs retries. Zero: READ COMMITTED on PostgreSQL and MySQL, and what SQLite has (serializable).
	Isolation sql.IsolationLevel

	// Key are the columns that identify a row. Required for Upsert, where the table must have a primary key or a unique
	// index over exactly these columns. With Insert it is only the primary key that Create gives the table.
	Key []string

	// Limits bound how long the database waits for us and we for it.
	Limits Limits

	// Logger gets what an operator should know, never a value of a row. Nil: slog.Default().
	Logger *slog.Logger

	// MaxConns bounds the connections, and so the partitions that write at once. Zero: 16, or what the DB's own
	// SetMaxOpenConns allows if that is less; with SQLite, which has one writer at a time, 1.
	MaxConns int

	// MaxStatementRows bounds the rows of one statement. Zero: 1,000. Statements are also kept below the database's limits
	// on placeholders and on a statement's size.
	MaxStatementRows int

	// Mode is Insert or Upsert. Zero: Insert.
	Mode Mode

	// OffsetsTable is the table of offsets. Zero: sluice_offsets. Several sinks, groups and topics can share one; it must
	// be in the same database as Table.
	OffsetsTable string

	// OnMissingRow says where a partition starts that has no row in OffsetsTable although the group has a commit in Kafka.
	// That is either a move to this sink or a lost database, and only you know. Zero: RefuseMissing.
	OnMissingRow MissingRow
}

// Column is a column of the table.
type Column struct {
	// Name is the column's name, as the database spells it.
	Name string

	// Type is the SQL type that Create gives the column, for instance "bigint not null". It goes into the statement as it
	// is. Zero: text; for a column of Key on MySQL, which cannot index that, varchar(255) with binary collation.
	Type string
}

// Mode is what becomes of a row.
type Mode int

const (
	// Insert adds a row for every record. A row that is there already (a duplicate key) is poison.
	Insert Mode = iota
	// Upsert adds the row or replaces the one with the same key, in offset order: the last one wins. Delete removes it.
	Upsert
)

func (m Mode) String() string {
	switch m {
	case Insert:
		return "insert"
	case Upsert:
		return "upsert"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// MissingRow says where a partition starts that has no row in the table of offsets although the group has a commit in
// Kafka.
type MissingRow int

const (
	// RefuseMissing leaves the partition alone, with health red, until a person decided. The default.
	RefuseMissing MissingRow = iota
	// FromCommit starts at the group's commit in Kafka: a group moves to this sink from code that committed to Kafka only.
	FromCommit
	// FromStart starts where a new group would: all of the topic is written again.
	FromStart
)

// Limits are set in every session before its first statement, so that a process that is frozen in the middle of a
// transaction holds its locks no longer than that. The sink waits for an answer no longer than Statement + Lock. MySQL
// rounds up to seconds. SQLite has a limit for Lock only; its other ones are the sink's own, and a frozen process holds
// the database until it goes on or dies.
type Limits struct {
	// Idle ends a session that is silent in the middle of a transaction. Zero: 10 s. On MySQL, which has one limit for all
	// silence (wait_timeout), idle connections are replaced after half of it.
	Idle time.Duration

	// Lock bounds the wait for a lock. Zero: 10 s.
	Lock time.Duration

	// Statement bounds one statement. Zero: 10 s.
	Statement time.Duration
}

const (
	defaultLimit         = 10 * time.Second
	defaultConns         = 16
	defaultStatementRows = 1000
	defaultOffsetsTable  = "sluice_offsets"
)

// settings is a Config without its type parameter, checked and with defaults.
type settings struct {
	db            *sql.DB
	dialect       dialect
	table         tableName
	offsets       tableName
	columns       []Column
	key           []int // indexes into columns, in the order of Config.Key
	create        bool
	isolation     sql.IsolationLevel
	limits        Limits
	log           *slog.Logger
	conns         int
	statementRows int
	mode          Mode
	onMissingRow  MissingRow
}

func (c Config[V]) settings() (settings, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: sqlsink.Config: "+format, append([]any{sluice.ErrConfig}, args...)...))
	}
	s := settings{
		db: c.DB, dialect: c.Dialect.impl, columns: slices.Clone(c.Columns), create: c.Create, isolation: c.Isolation, limits: c.Limits,
		log: c.Logger, conns: c.MaxConns, statementRows: c.MaxStatementRows, mode: c.Mode, onMissingRow: c.OnMissingRow,
	}
	if s.db == nil {
		bad("DB: required")
	}
	if s.dialect == nil {
		bad("Dialect: required (Postgres, MySQL or SQLite)")
	} else if !s.dialect.hasIsolation(s.isolation) {
		bad("Isolation: %s has no level %q", s.dialect.name(), s.isolation)
	}
	if c.Row == nil {
		bad("Row: required")
	}
	var err error
	if s.table, err = parseTable(c.Table); err != nil {
		bad("Table: %v", err)
	}
	if c.OffsetsTable == "" {
		c.OffsetsTable = defaultOffsetsTable
	}
	if s.offsets, err = parseTable(c.OffsetsTable); err != nil {
		bad("OffsetsTable: %v", err)
	} else if s.offsets == s.table {
		bad("OffsetsTable: the same as Table")
	}
	if len(c.Columns) == 0 {
		bad("Columns: name at least one")
	}
	position := make(map[string]int, len(c.Columns))
	for i, col := range c.Columns {
		if err := checkName(col.Name); err != nil {
			bad("Columns[%d].Name: %v", i, err)
		} else if _, twice := position[col.Name]; twice {
			bad("Columns[%d].Name: %q is named twice", i, col.Name)
		}
		position[col.Name] = i
	}
	for i, k := range c.Key {
		at, ok := position[k]
		switch {
		case !ok:
			bad("Key[%d]: %q is not one of Columns", i, k)
		case slices.Contains(c.Key[:i], k):
			bad("Key[%d]: %q is named twice", i, k)
		default:
			s.key = append(s.key, at)
		}
	}
	switch {
	case c.Mode < Insert || c.Mode > Upsert:
		bad("Mode: %d is neither Insert nor Upsert", int(c.Mode))
	case c.Mode == Upsert && len(c.Key) == 0:
		bad("Key: required with Mode Upsert; name the columns that identify a row")
	}
	if c.OnMissingRow < RefuseMissing || c.OnMissingRow > FromStart {
		bad("OnMissingRow: %d is none of RefuseMissing, FromCommit and FromStart", int(c.OnMissingRow))
	}
	limit := func(name string, d *time.Duration) {
		switch {
		case *d < 0:
			bad("Limits.%s: %v is negative; without a limit a frozen process would hold its locks for ever", name, *d)
		case *d == 0:
			*d = defaultLimit
		}
	}
	limit("Idle", &s.limits.Idle)
	limit("Lock", &s.limits.Lock)
	limit("Statement", &s.limits.Statement)
	count := func(name string, n *int, def int) {
		switch {
		case *n < 0:
			bad("%s: %d is negative", name, *n)
		case *n == 0:
			*n = def
		}
	}
	count("MaxStatementRows", &s.statementRows, defaultStatementRows)
	conns := defaultConns
	if _, oneWriter := s.dialect.(sqlite); oneWriter {
		conns = 1 // partitions then wait for each other in turn, not by chance in busy_timeout
	}
	if s.db != nil {
		if most := s.db.Stats().MaxOpenConnections; most > 0 {
			conns = min(conns, most)
			if c.MaxConns > most {
				bad("MaxConns: %d is above the %d that DB.SetMaxOpenConns allows", c.MaxConns, most)
			}
		}
	}
	count("MaxConns", &s.conns, conns)
	if s.log == nil {
		s.log = slog.Default()
	}
	return s, errors.Join(errs...)
}

// tableName is a table's name in parts, unquoted. schema is empty for the connection's own.
type tableName struct{ schema, name string }

func (t tableName) String() string {
	if t.schema == "" {
		return t.name
	}
	return t.schema + "." + t.name
}

func parseTable(s string) (tableName, error) {
	t := tableName{name: s}
	if schema, name, ok := strings.Cut(s, "."); ok {
		t = tableName{schema, name}
		if err := checkName(schema); err != nil {
			return t, fmt.Errorf("%q: schema: %w", s, err)
		}
	}
	if err := checkName(t.name); err != nil {
		return t, fmt.Errorf("%q: %w", s, err)
	}
	if strings.Contains(t.name, ".") {
		return t, fmt.Errorf("%q: give table or schema.table", s)
	}
	return t, nil
}

// checkName accepts every name that can be quoted.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is required")
	case strings.ContainsRune(name, 0):
		return errors.New("a name cannot contain a zero byte")
	}
	return nil
}
