package sqlsink_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/sqlsink/sqlsinktest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	sqlsinktest.Exercise(t, sqlsinktest.Setup{
		Dialect:      sqlsink.SQLite(),
		Fresh:        freshSQLite,
		Isolations:   []sql.IsolationLevel{sql.LevelSerializable},
		LocksForever: true,
	})
}

func freshSQLite(tb testing.TB) driver.Connector {
	tb.Helper()
	c, err := sqlsinktest.Connector("sqlite", "file:"+filepath.Join(tb.TempDir(), "test.db")+
		"?_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// A full disk is nobody's fault: the batch is tried until there is room.
func TestSQLiteIsFull(t *testing.T) {
	t.Parallel()
	c, err := sqlsinktest.Connector("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=max_page_count(20)")
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	defer func() { _ = db.Close() }()
	sink, err := sqlsink.New(sqlsink.Config[string]{
		DB: db, Dialect: sqlsink.SQLite(), Table: "events_out", Create: true, Columns: []sqlsink.Column{{Name: "note"}},
		Row:    func(m sluice.Message[string]) (sqlsink.Row, error) { return sqlsink.Put(m.Value), nil },
		Logger: slog.New(slog.DiscardHandler), MaxConns: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := func(context.Context) (int64, error) { return 0, nil }
	claim, err := sink.Claim(t.Context(), sluice.ClaimRequest{Group: "g", Topic: "t", Committed: -1, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	b := sluice.Batch[string]{Topic: "t", Next: 1, Claim: claim.Token}
	b.Messages = []sluice.Message[string]{{Value: strings.Repeat("x", 1<<20)}}
	for range 3 {
		if err := sink.Handle(t.Context(), b); !sqlsinktest.IsOutage(err) {
			t.Fatalf("Handle: %v, want an outage", err)
		}
	}
	b.Messages[0].Value = "fits"
	if err := sink.Handle(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}
