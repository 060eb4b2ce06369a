package pipeline

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// table is the sink that is a SQL table.
type table struct {
	spec  *Spec
	db    *sql.DB
	sink  *sqlsink.Sink[Row]
	spans *Spans
}

func openTable(spec *Spec, logger *slog.Logger, spans *Spans, readOnly bool) (*table, error) {
	db, err := spec.SQL.DSN.Connect(logger, readOnly)
	if err != nil {
		return nil, err
	}
	sink, err := sqlsink.New(sinkConfig(spec, db, logger))
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &table{spec: spec, db: db, sink: sink, spans: spans}, nil
}

func sinkConfig(spec *Spec, db *sql.DB, logger *slog.Logger) sqlsink.Config[Row] {
	s := spec.SQL
	cfg := sqlsink.Config[Row]{
		DB: db, Dialect: s.DSN.Dialect(), Table: s.Table, Key: s.Key, Create: s.Create, Logger: logger, Row: rowOf(s),
		Mode:         map[string]sqlsink.Mode{ModeInsert: sqlsink.Insert, ModeUpsert: sqlsink.Upsert}[s.Mode],
		OnMissingRow: map[string]sqlsink.MissingRow{MissingCommit: sqlsink.FromCommit, MissingStart: sqlsink.FromStart}[s.OnMissingRow],
	}
	for _, c := range s.Columns {
		cfg.Columns = append(cfg.Columns, sqlsink.Column{Name: c.Name, Type: c.Type})
	}
	return cfg
}

// rowOf tells the sink what to do with a row.
func rowOf(s SQL) func(sluice.Message[Row]) (sqlsink.Row, error) {
	key := s.keyColumns()
	return func(m sluice.Message[Row]) (sqlsink.Row, error) {
		switch row := m.Value; {
		case row.Rejected:
			return sqlsink.Skip(), nil
		case !row.Tombstone:
			return sqlsink.Put(row.Values...), nil
		case s.Tombstone == TombstoneDelete:
			values := make([]any, len(key))
			for i, j := range key {
				values[i] = row.Values[j]
			}
			return sqlsink.Delete(values...), nil
		}
		return sqlsink.Skip(), nil
	}
}

// keyColumns are the columns of the key, in its order.
func (s SQL) keyColumns() []int {
	key := make([]int, len(s.Key))
	for i, name := range s.Key {
		key[i] = slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == name })
	}
	return key
}

// Dialect is the sink's word for the kind of database.
func (d DSN) Dialect() sqlsink.Dialect {
	switch d.Scheme {
	case schemeMySQL:
		return sqlsink.MySQL(mysqlError)
	case schemePostgres:
		return sqlsink.Postgres()
	}
	return sqlsink.SQLite()
}

func mysqlError(err error) (number uint16, state string, ok bool) {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return 0, "", false
	}
	return e.Number, string(e.SQLState[:]), true
}

// tableBatch is how many records a transaction takes at most. Three times the library's: a commit waits for the disk, and with 3,000
// rows a commit `bench` gives a tenth (MariaDB, PostgreSQL) to a quarter (SQLite) more.
const tableBatch = 3_000

// Add implements Sink.
func (t *table) Add(app *sluice.App) error {
	return sluice.AddBatch(app, sluice.BatchRoute[Row]{
		Topics: t.spec.Topics, Decode: NewMapper(t.spec).Decode, Handle: t.spans.batches(t.spec, t.sink.Handle),
		MaxSize: tableBatch, Offsets: t.sink, Policy: t.spec.policy(),
	})
}

// Prepare reaches the database, creates what is missing and may be created, and checks the rest.
func (t *table) Prepare(ctx context.Context) error {
	if err := t.spec.SQL.DSN.Reach(ctx, t.db); err != nil {
		return err
	}
	return t.within(t.sink.Prepare(ctx))
}

// Check reaches the database and looks whether the table fits, and changes nothing.
func (t *table) Check(ctx context.Context) (found string, err error) {
	creates, err := t.check(ctx)
	found = fmt.Sprintf("database %s: table %s", t.spec.SQL.DSN, t.spec.SQL.Table)
	if len(creates) > 0 {
		found += "; a run would create " + strings.Join(creates, ", ")
	}
	return found, err
}

// check returns what Prepare would create.
func (t *table) check(ctx context.Context) (creates []string, err error) {
	willCreate := []string{offsetsTable}
	if t.spec.SQL.Create {
		willCreate = append(willCreate, t.spec.SQL.Table)
	}
	if t.spec.SQL.DSN.missingFile() {
		if !t.spec.SQL.Create {
			return nil, fmt.Errorf("database %s: there is no such file, and without create: true no table in it", t.spec.SQL.DSN)
		}
		return append([]string{t.spec.SQL.DSN.Database}, willCreate...), nil
	}
	if err := t.spec.SQL.DSN.Reach(ctx, t.db); err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range Flatten(t.sink.Check(ctx)) {
		name := missingTable(e, willCreate)
		if name == "" {
			errs = append(errs, e)
			continue
		}
		creates = append(creates, name)
	}
	return creates, t.within(errors.Join(errs...))
}

const offsetsTable = "sluice_offsets"

// missingTable tells which of the tables that Prepare creates an error misses.
func missingTable(err error, tables []string) string {
	for _, name := range tables {
		if strings.HasPrefix(err.Error(), "sqlsink: table "+name+": it does not exist") {
			return name
		}
	}
	return ""
}

// within names the database in what the sink says about it, and keeps its password out.
func (t *table) within(err error) error {
	var errs []error
	for _, e := range Flatten(err) {
		errs = append(errs, fmt.Errorf("database %s: %w", t.spec.SQL.DSN, t.spec.SQL.DSN.hide(e)))
	}
	return errors.Join(errs...)
}

// Counts implements Sink. What is skipped are records that the filter rejected, and tombstones.
func (t *table) Counts(sluice.Stats) Counts {
	stats := t.sink.Stats()
	return Counts{Unit: "rows", Written: stats.Written, Skipped: stats.Skipped}
}

// LogAttrs implements Sink.
func (t *table) LogAttrs() []any {
	return []any{"database", t.spec.SQL.DSN.String(), "table", t.spec.SQL.Table}
}

// Close closes sink and database.
func (t *table) Close(context.Context) error { return errors.Join(t.sink.Close(), t.db.Close()) }
