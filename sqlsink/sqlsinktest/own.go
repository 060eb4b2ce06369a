package sqlsinktest

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// work is a TxConfig.Work.
type work = func(context.Context, *sqlsink.Tx, sluice.Batch[event]) error

// ownConfig makes of a Config one whose Work writes the same rows, one statement each, into a table that it finds there.
func (e *env) ownConfig(c config) sqlsink.TxConfig[event] {
	e.Helper()
	e.exec("create table if not exists " + table + " (" + c.Columns[0].Name + " " + c.Columns[0].Type + " primary key, " +
		c.Columns[1].Name + " " + c.Columns[1].Type + ", " + c.Columns[2].Name + " " + c.Columns[2].Type + ")")
	return sqlsink.TxConfig[event]{
		DB: c.DB, Dialect: c.Dialect, Isolation: c.Isolation, Limits: c.Limits, Logger: c.Logger, MaxConns: c.MaxConns,
		OffsetsTable: c.OffsetsTable, OnMissingRow: c.OnMissingRow, Work: e.writeRows(c.Mode),
	}
}

func (e *env) writeRows(mode sqlsink.Mode) work {
	return func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[event]) error {
		for _, m := range b.Messages {
			if mode == sqlsink.Upsert {
				if _, err := tx.ExecContext(ctx, e.sql("delete from "+table+" where id = ?"), m.Value.ID); err != nil {
					return err
				}
			}
			if err := e.insert(ctx, tx, m.Value); err != nil {
				return err
			}
		}
		return nil
	}
}

func (e *env) insert(ctx context.Context, tx *sqlsink.Tx, v event) error {
	_, err := tx.ExecContext(ctx, e.sql("insert into "+table+" values (?, ?, ?)"), v.ID, v.Note, v.N)
	return err
}

// sql writes placeholders as the database wants them.
func (e *env) sql(text string) string {
	if e.setup.Dialect.String() != "PostgreSQL" {
		return text
	}
	var out []byte
	n := 0
	for i := range len(text) {
		if text[i] == '?' {
			n++
			out = strconv.AppendInt(append(out, '$'), int64(n), 10)
		} else {
			out = append(out, text[i])
		}
	}
	return string(out)
}

// works is a process whose sink calls fn for every batch, with the table of rows to write to, and its claim.
func (e *env) works(fn work, change ...func(*sqlsink.TxConfig[event])) *assignment {
	e.Helper()
	e.exec("create table if not exists " + table +
		" (id bigint not null primary key, note varchar(20) not null check (length(note) <= 20), n bigint)")
	p := e.connected()
	cfg := sqlsink.TxConfig[event]{
		DB: p.db, Dialect: e.setup.Dialect, Work: fn, Isolation: e.level, Limits: limits, Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if p.sink, err = sqlsink.NewTx(cfg); err != nil {
		e.Fatalf("NewTx: %v", err)
	}
	if err := p.sink.Prepare(e.Context()); err != nil {
		e.Fatalf("Prepare: %v", err)
	}
	return p.claimed()
}

func ownPoisonCases() []testCase {
	var cases []testCase
	for _, c := range poisonCases {
		if c.own {
			cases = append(cases, c)
		}
	}
	return cases
}
