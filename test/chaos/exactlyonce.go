package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

const (
	databaseLimit      = 5 * time.Second
	transactionTimeout = 10 * time.Second
)

// toSQL writes a row a record into a table that would take a second one, too.
func (t task) toSQL(ctx context.Context, log *slog.Logger, j *journal) error {
	if err := mysql.SetLogger(&mysql.NopLogger{}); err != nil { // it prints each connection that breaks
		return err
	}
	db, err := sql.Open(t.Driver, t.DSN)
	if err != nil {
		return err
	}
	defer db.Close()
	sink, err := sqlsink.New(sqlsink.Config[int64]{
		DB: db, Dialect: t.dialect(), Table: t.Job.table(), Logger: log,
		Limits: sqlsink.Limits{Idle: databaseLimit, Lock: databaseLimit, Statement: databaseLimit},
		Columns: []sqlsink.Column{
			{Name: "member"}, {Name: "partition_id"}, {Name: "record_offset"}, {Name: "record_key"}, {Name: "number"},
		},
		Row: func(m sluice.Message[int64]) (sqlsink.Row, error) {
			return sqlsink.Put(t.Member, m.Partition(), m.Offset(), string(m.Key()), m.Value), nil
		},
	})
	if err != nil {
		return err
	}
	for err = sink.Prepare(ctx); err != nil; err = sink.Prepare(ctx) { // a member starts in an outage, too
		log.Warn("the sink is not ready", "err", err)
		if !idle(ctx, 500*time.Millisecond) {
			return nil
		}
	}
	app, err := sluice.New(t.config(log, j))
	if err != nil {
		return err
	}
	err = sluice.AddBatch(app, sluice.BatchRoute[int64]{Topics: []string{t.Topic}, Decode: number, Handle: sink.Handle, Offsets: sink})
	if err != nil {
		return err
	}
	return errors.Join(app.Run(ctx), sink.Close())
}

func (t task) dialect() sqlsink.Dialect {
	switch t.Job.Engine {
	case postgres:
		return sqlsink.Postgres()
	case sqLite:
		return sqlsink.SQLite()
	default:
		return sqlsink.MySQL(func(err error) (uint16, string, bool) {
			e, ok := errors.AsType[*mysql.MySQLError](err)
			if !ok {
				return 0, "", false
			}
			return e.Number, string(e.SQLState[:]), true
		})
	}
}

// toKafka writes a record a record, in transactions.
func (t task) toKafka(ctx context.Context, log *slog.Logger, j *journal) error {
	app, err := sluice.New(t.config(log, j))
	if err != nil {
		return err
	}
	err = sluice.AddTransact(app, sluice.TransactRoute[int64]{
		Topics: []string{t.Topic}, Decode: number, Timeout: transactionTimeout,
		Handle: func(_ context.Context, m sluice.Message[int64]) ([]*kgo.Record, error) {
			return []*kgo.Record{{
				Topic: t.Job.table(), Key: m.Key(), Value: fmt.Appendf(nil, "%d %d %d %s", m.Partition(), m.Offset(), m.Value, t.Member),
			}}, nil
		},
	})
	if err != nil {
		return err
	}
	return app.Run(ctx)
}
