package sqlsink_test

import (
	"database/sql"
	"log/slog"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/test/servers"
)

// database is one kind of server.
type database struct {
	server  func(testing.TB) *servers.SQLServer
	dialect sqlsink.Dialect
}

func databases() map[string]database {
	return map[string]database{
		"MariaDB":    {servers.MariaDB, sqlsink.MySQL(mysqlNumber)},
		"PostgreSQL": {servers.Postgres, sqlsink.Postgres()},
	}
}

// ledger is a sink that inserts numbers into a table that has no key at all, so that nothing but the sink keeps a row from coming twice.
// Its statements have four rows.
func ledger(t *testing.T, db *sql.DB, d sqlsink.Dialect, limits sqlsink.Limits) *sqlsink.Sink[int64] {
	t.Helper()
	sink, err := sqlsink.New(sqlsink.Config[int64]{
		DB: db, Dialect: d, Table: "ledger", Create: true, MaxStatementRows: 4, Limits: limits, MaxConns: 2,
		Columns: []sqlsink.Column{{Name: "id", Type: "bigint not null"}},
		Row:     func(m sluice.Message[int64]) (sqlsink.Row, error) { return sqlsink.Put(m.Value), nil },
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// wantEachOnce looks into the ledger for the numbers 0 to n-1.
func wantEachOnce(t *testing.T, db *sql.DB, n int64) {
	t.Helper()
	var rows, distinct, sum int64
	err := db.QueryRowContext(t.Context(), "select count(*), count(distinct id), coalesce(sum(id), 0) from ledger").Scan(&rows, &distinct, &sum)
	if err != nil {
		t.Fatal(err)
	}
	if rows != n || distinct != n || sum != n*(n-1)/2 {
		t.Errorf("the ledger has %d rows, %d of them different, and a sum of %d; want %d, each once, and %d", rows, distinct, sum, n, n*(n-1)/2)
	}
}
