package sqlsink_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/sqlsink"
)

// Behind a route, what a Work returns has the effect that it has on every BatchRoute: errors of its own are retried as Retry says
// and dead-lettered in the end, Skip steps over, poison of the database is found, and everything else is there once.
func TestOwnSQLBehindARoute(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 20, 0)
		db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "test.db")+"?_pragma=busy_timeout(5000)")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if _, err := db.ExecContext(t.Context(), "create table done (id integer primary key check (id <> 7))"); err != nil {
			t.Fatal(err)
		}
		passing := 2
		var sink *sqlsink.Sink[int]
		sink, err = sqlsink.NewTx(sqlsink.TxConfig[int]{
			DB: db, Dialect: sqlsink.SQLite(), Logger: slog.New(slog.DiscardHandler),
			Work: func(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[int]) error {
				for i, m := range b.Messages {
					if _, err := tx.ExecContext(ctx, "insert into done values (?)", m.Value); err != nil {
						return err
					}
					switch {
					case m.Value == 3 && passing > 0:
						passing--
						return errors.New("it may pass")
					case m.Value == 11:
						return errors.New("it never passes")
					case m.Value == 15:
						return &sluice.BatchError{Failed: map[int]error{i: sluice.Skip("not wanted")}}
					}
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sink.Close() }()
		if err := sink.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		app, err := sluice.New(sluice.Config{
			Brokers: c.ListenAddrs(), Group: "g", ClientOptions: c.Options(c.Dial)[1:], Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		err = sluice.AddBatch(app, sluice.BatchRoute[int]{
			Topics: []string{"orders"}, Handle: sink.Handle, Offsets: sink, MaxSize: 20,
			Decode: func(r *kgo.Record) (int, error) { return strconv.Atoi(string(r.Value)) },
			Policy: sluice.Policy{
				OnFailure: sluice.DeadLetter{Topic: "dlq"}, Retry: sluice.Retry{MaxAttempts: 4, Backoff: 10 * time.Millisecond},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- app.Run(ctx) }()
		c.Until("the commit", func() bool { return c.Committed("g", "orders", 0) == 20 })
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		var rows, next int
		var has bool
		err = db.QueryRow("select count(*), (select next_offset from sluice_offsets), "+
			"exists (select * from done where id in (7, 11, 15)) from done").Scan(&rows, &next, &has)
		if err != nil || rows != 17 || next != 20 || has {
			t.Errorf("%d rows, next offset %d, one that must not be there: %v (%v); want 17 and 20", rows, next, has, err)
		}
		var dead []string
		for _, r := range c.Read("dlq") {
			dead = append(dead, string(r.Value))
		}
		if len(dead) != 2 {
			t.Errorf("dead letters %q, want 7 and 11", dead)
		}
	})
}
