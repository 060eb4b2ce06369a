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

// Pipeline is a Spec with its database handle and its sink. Close it.
type Pipeline struct {
	Spec *Spec
	db   *sql.DB
	sink *sqlsink.Sink[Row]
}

// Open makes the handle and the sink; no connection is made yet. With readOnly it is good for Check alone.
func Open(spec *Spec, logger *slog.Logger, readOnly bool) (*Pipeline, error) {
	db, err := spec.SQL.DSN.Connect(logger, readOnly)
	if err != nil {
		return nil, err
	}
	sink, err := sqlsink.New(sinkConfig(spec, db, logger))
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Pipeline{Spec: spec, db: db, sink: sink}, nil
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

// Route is the route of the pipeline's topics to its table.
func (p *Pipeline) Route() sluice.BatchRoute[Row] {
	route := sluice.BatchRoute[Row]{
		Topics: p.Spec.Topics, Decode: NewMapper(p.Spec).Decode, Handle: p.sink.Handle, Offsets: p.sink,
		Policy: sluice.Policy{Commit: p.Spec.Commit, Retry: p.Spec.Retry},
	}
	if p.Spec.DeadLetter != "" {
		route.Policy.OnFailure = sluice.DeadLetter{Topic: p.Spec.DeadLetter, Headers: p.Spec.DeadLetterHeaders}
	}
	return route
}

// Prepare reaches the database, creates what is missing and may be created, and checks the rest.
func (p *Pipeline) Prepare(ctx context.Context) error {
	if err := p.Spec.SQL.DSN.Reach(ctx, p.db); err != nil {
		return err
	}
	return p.within(p.sink.Prepare(ctx))
}

// Check reaches the database and looks whether the table fits, and changes nothing. It returns what Prepare would create.
func (p *Pipeline) Check(ctx context.Context) (creates []string, err error) {
	willCreate := []string{offsetsTable}
	if p.Spec.SQL.Create {
		willCreate = append(willCreate, p.Spec.SQL.Table)
	}
	if p.Spec.SQL.DSN.missingFile() {
		if !p.Spec.SQL.Create {
			return nil, fmt.Errorf("database %s: there is no such file, and without create: true no table in it", p.Spec.SQL.DSN)
		}
		return append([]string{p.Spec.SQL.DSN.Database}, willCreate...), nil
	}
	if err := p.Spec.SQL.DSN.Reach(ctx, p.db); err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range Flatten(p.sink.Check(ctx)) {
		table := missingTable(e, willCreate)
		if table == "" {
			errs = append(errs, e)
			continue
		}
		creates = append(creates, table)
	}
	return creates, p.within(errors.Join(errs...))
}

const offsetsTable = "sluice_offsets"

// missingTable tells which of the tables that Prepare creates an error misses.
func missingTable(err error, tables []string) string {
	for _, t := range tables {
		if strings.HasPrefix(err.Error(), "sqlsink: table "+t+": it does not exist") {
			return t
		}
	}
	return ""
}

// within names the database in what the sink says about it, and keeps its password out.
func (p *Pipeline) within(err error) error {
	var errs []error
	for _, e := range Flatten(err) {
		errs = append(errs, fmt.Errorf("database %s: %w", p.Spec.SQL.DSN, p.Spec.SQL.DSN.hide(e)))
	}
	return errors.Join(errs...)
}

// Rows counts the rows that were written.
func (p *Pipeline) Rows() int64 { return p.sink.Stats().Written }

// Skipped counts the records that made no row: those that the filter rejected, and tombstones that are skipped.
func (p *Pipeline) Skipped() int64 { return p.sink.Stats().Skipped }

// Close closes sink and database. Call it after the app's Run has returned.
func (p *Pipeline) Close() error { return errors.Join(p.sink.Close(), p.db.Close()) }
