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
	// is. Zero: text; for a column of Key on MySQL, which cannot index that, varchar(255) with binary collation. A column that is
	// there already and takes less than a number, a text, bytes or a time of this type is refused.
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

// settings is a Config or a TxConfig without its type parameter, checked and with defaults.
type settings struct {
	base
	table         tableName // empty where the user's own SQL is run
	columns       []Column
	key           []int // indexes into columns, in the order of Config.Key
	create        bool
	statementRows int
	mode          Mode
}

// base is what both kinds of sinks need.
type base struct {
	db           *sql.DB
	dialect      dialect
	offsets      tableName
	isolation    sql.IsolationLevel
	limits       Limits
	log          *slog.Logger
	conns        int
	onMissingRow MissingRow
}

func (s *settings) ownSQL() bool { return s.table.name == "" }

// mistakes collects what is wrong with a configuration of the named type.
type mistakes struct {
	of   string
	errs []error
}

func (m *mistakes) addf(field, format string, args ...any) {
	m.errs = append(m.errs, &sluice.ConfigError{Field: "sqlsink." + m.of + "." + field, Problem: fmt.Sprintf(format, args...)})
}

func (m *mistakes) count(field string, n *int, def int) {
	switch {
	case *n < 0:
		m.addf(field, "%d is negative", *n)
	case *n == 0:
		*n = def
	}
}

// check finds what is wrong and sets defaults. offsets is the name of the table of offsets.
func (s *base) check(m *mistakes, offsets string) {
	if s.db == nil {
		m.addf("DB", "required")
	}
	if s.dialect == nil {
		m.addf("Dialect", "required (Postgres, MySQL or SQLite)")
	} else if !s.dialect.hasIsolation(s.isolation) {
		m.addf("Isolation", "%s has no level %q", s.dialect.name(), s.isolation)
	}
	if offsets == "" {
		offsets = defaultOffsetsTable
	}
	var err error
	if s.offsets, err = parseTable(offsets); err != nil {
		m.addf("OffsetsTable", "%v", err)
	}
	if s.onMissingRow < RefuseMissing || s.onMissingRow > FromStart {
		m.addf("OnMissingRow", "%d is none of RefuseMissing, FromCommit and FromStart", int(s.onMissingRow))
	}
	for _, l := range []struct {
		field string
		d     *time.Duration
	}{{"Limits.Idle", &s.limits.Idle}, {"Limits.Lock", &s.limits.Lock}, {"Limits.Statement", &s.limits.Statement}} {
		switch {
		case *l.d < 0:
			m.addf(l.field, "%v is negative; without a limit a frozen process would hold its locks for ever", *l.d)
		case *l.d == 0:
			*l.d = defaultLimit
		}
	}
	most := defaultConns
	if _, oneWriter := s.dialect.(sqlite); oneWriter {
		most = 1 // partitions then wait for each other in turn, not by chance in busy_timeout
	}
	if s.db != nil {
		if open := s.db.Stats().MaxOpenConnections; open > 0 {
			most = min(most, open)
			if s.conns > open {
				m.addf("MaxConns", "%d is above the %d that DB.SetMaxOpenConns allows", s.conns, open)
			}
		}
	}
	m.count("MaxConns", &s.conns, most)
	if s.log == nil {
		s.log = slog.Default()
	}
}

func (c Config[V]) settings() (settings, error) {
	m := &mistakes{of: "Config"}
	s := settings{
		base: base{
			db: c.DB, dialect: c.Dialect.impl, isolation: c.Isolation, limits: c.Limits, log: c.Logger, conns: c.MaxConns,
			onMissingRow: c.OnMissingRow,
		},
		columns: slices.Clone(c.Columns), create: c.Create, statementRows: c.MaxStatementRows, mode: c.Mode,
	}
	s.check(m, c.OffsetsTable)
	if c.Row == nil {
		m.addf("Row", "required")
	}
	var err error
	if s.table, err = parseTable(c.Table); err != nil {
		m.addf("Table", "%v", err)
	} else if s.table == s.offsets {
		m.addf("OffsetsTable", "the same as Table")
	}
	if len(c.Columns) == 0 {
		m.addf("Columns", "name at least one")
	}
	position := make(map[string]int, len(c.Columns))
	for i, col := range c.Columns {
		if err := checkName(col.Name); err != nil {
			m.addf(fmt.Sprintf("Columns[%d].Name", i), "%v", err)
		} else if _, twice := position[col.Name]; twice {
			m.addf(fmt.Sprintf("Columns[%d].Name", i), "%q is named twice", col.Name)
		}
		position[col.Name] = i
	}
	for i, k := range c.Key {
		at, ok := position[k]
		switch {
		case !ok:
			m.addf(fmt.Sprintf("Key[%d]", i), "%q is not one of Columns", k)
		case slices.Contains(c.Key[:i], k):
			m.addf(fmt.Sprintf("Key[%d]", i), "%q is named twice", k)
		default:
			s.key = append(s.key, at)
		}
	}
	switch {
	case c.Mode < Insert || c.Mode > Upsert:
		m.addf("Mode", "%d is neither Insert nor Upsert", int(c.Mode))
	case c.Mode == Upsert && len(c.Key) == 0:
		m.addf("Key", "required with Mode Upsert; name the columns that identify a row")
	}
	m.count("MaxStatementRows", &s.statementRows, defaultStatementRows)
	return s, errors.Join(m.errs...)
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
