package sqlsink_test

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/test/servers"
)

// trapSink is a sink into the table t(id, v), whose messages are a row, or the key of one to delete.
func trapSink(t *testing.T, db *sql.DB, d sqlsink.Dialect) *sqlsink.Sink[[]any] {
	t.Helper()
	sink, err := sqlsink.New(sqlsink.Config[[]any]{
		DB: db, Dialect: d, Table: "t", Columns: []sqlsink.Column{{Name: "id"}, {Name: "v"}},
		Mode: sqlsink.Upsert, Key: []string{"id"}, Logger: slog.New(slog.DiscardHandler),
		Row: func(m sluice.Message[[]any]) (sqlsink.Row, error) {
			if len(m.Value) == 1 {
				return sqlsink.Delete(m.Value[0]), nil
			}
			return sqlsink.Put(m.Value...), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// handle gives the sink one batch, and those that are not poison once more, as the engine does.
func handle(t *testing.T, sink *sqlsink.Sink[[]any], values ...[]any) {
	t.Helper()
	if err := sink.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	claim, err := sink.Claim(t.Context(), sluice.ClaimRequest{
		Group: "g", Topic: "t", Committed: -1, Start: func(context.Context) (int64, error) { return 0, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	b := sluice.Batch[[]any]{Topic: "t", Next: int64(len(values)), Claim: claim.Token}
	for _, v := range values {
		b.Messages = append(b.Messages, sluice.Message[[]any]{Value: v})
	}
	err = sink.Handle(t.Context(), b)
	if failed, ok := err.(*sluice.BatchError); ok { //nolint:errorlint // the very one
		var rest []sluice.Message[[]any]
		for i, m := range b.Messages {
			if failed.Failed[i] == nil {
				rest = append(rest, m)
			}
		}
		b.Messages = rest
		err = sink.Handle(t.Context(), b)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "select id from t order by id")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// MySQL compares text with a number as doubles: 'abc' = 0, and '12abc' = 12. A delete must not.
func TestMariaDBDeletesNoOtherRow(t *testing.T) {
	for name, c := range map[string]struct {
		column string
		there  string
		delete [][]any
		want   []string
	}{
		"text for a number": {"bigint", "(0,'z'),(12,'t'),(13,'x')", [][]any{{"abc"}, {"12abc"}, {"13"}}, []string{"0", "12"}},
		"a number for text": {"varchar(50) collate utf8mb4_bin", "('0','z'),('abc','a'),('012','o')", [][]any{{int64(0)}, {int64(12)}}, []string{"012", "abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			db := servers.MariaDB(t).Database(t).Open(t)
			for _, statement := range []string{"create table t (id " + c.column + " primary key, v varchar(100))", "insert into t values " + c.there} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			handle(t, trapSink(t, db, sqlsink.MySQL(mysqlNumber)), c.delete...)
			if got := keys(t, db); !slices.Equal(got, c.want) {
				t.Fatalf("left %v, want %v", got, c.want)
			}
		})
	}
}

func TestMariaDBKeyZeroIsNoNewNumber(t *testing.T) {
	db := servers.MariaDB(t).Database(t).Open(t)
	if _, err := db.ExecContext(t.Context(), "create table t (id bigint not null auto_increment primary key, v varchar(100))"); err != nil {
		t.Fatal(err)
	}
	handle(t, trapSink(t, db, sqlsink.MySQL(mysqlNumber)), []any{int64(0), "zero"}, []any{int64(7), "seven"})
	if got := keys(t, db); !slices.Equal(got, []string{"0", "7"}) {
		t.Fatalf("keys %v", got)
	}
}

// A crash empties an unlogged table, and the offsets would stay.
func TestPostgresRefusesAnUnloggedTable(t *testing.T) {
	db := servers.Postgres(t).Database(t).Open(t)
	if _, err := db.ExecContext(t.Context(), "create unlogged table t (id bigint primary key, v text)"); err != nil {
		t.Fatal(err)
	}
	if err := trapSink(t, db, sqlsink.Postgres()).Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "set logged") {
		t.Fatalf("Prepare: %v", err)
	}
}
