// Package sqlsink_test runs sqlsink's conformance suite on real databases.
package sqlsink_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/sqlsink/sqlsinktest"
	"github.com/sluice-go/sluice/test/servers"
)

var levels = []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}

const wrongPassword = "wr0ng-passw0rd"

func TestMariaDB(t *testing.T) {
	for name, change := range map[string]func(*mysql.Config){
		"as recommended": func(*mysql.Config) {},
		// Nothing as recommended: prepared statements, changed rows counted, and a server that cuts what is too long.
		"as it comes": func(c *mysql.Config) {
			c.InterpolateParams, c.ClientFoundRows = false, false
			c.Params = map[string]string{"sql_mode": "''"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := servers.MariaDB(t)
			var limit int
			if err := server.Open(t).QueryRowContext(t.Context(), "select @@max_allowed_packet").Scan(&limit); err != nil {
				t.Fatal(err)
			}
			config := func(tb testing.TB) *mysql.Config {
				tb.Helper()
				cfg, err := mysql.ParseDSN(server.Database(tb).DSN)
				if err != nil {
					tb.Fatal(err)
				}
				cfg.InterpolateParams, cfg.ClientFoundRows, cfg.MaxAllowedPacket, cfg.ParseTime = true, true, 0, true
				change(cfg)
				return cfg
			}
			sqlsinktest.Exercise(t, sqlsinktest.Setup{
				Dialect:     sqlsink.MySQL(mysqlNumber),
				Fresh:       func(tb testing.TB) driver.Connector { tb.Helper(); return mysqlConnector(tb, config(tb)) },
				Isolations:  levels,
				PacketLimit: limit,
				Secret:      wrongPassword,
				WrongLogin: func(tb testing.TB) driver.Connector {
					tb.Helper()
					cfg := config(tb)
					cfg.Passwd = wrongPassword
					return mysqlConnector(tb, cfg)
				},
			})
		})
	}
}

func mysqlConnector(tb testing.TB, cfg *mysql.Config) driver.Connector {
	tb.Helper()
	c, err := mysql.NewConnector(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func mysqlNumber(err error) (uint16, string, bool) {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return 0, "", false
	}
	return e.Number, string(e.SQLState[:]), true
}

func TestPostgreSQL(t *testing.T) {
	server := servers.Postgres(t)
	connector := func(tb testing.TB, dsn string) driver.Connector {
		tb.Helper()
		c, err := sqlsinktest.Connector("pgx", dsn)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	sqlsinktest.Exercise(t, sqlsinktest.Setup{
		Dialect:    sqlsink.Postgres(),
		Fresh:      func(tb testing.TB) driver.Connector { tb.Helper(); return connector(tb, server.Database(tb).DSN) },
		Isolations: levels,
		Secret:     wrongPassword,
		WrongLogin: func(tb testing.TB) driver.Connector {
			tb.Helper()
			cfg, err := pgx.ParseConfig(server.Database(tb).DSN)
			if err != nil {
				tb.Fatal(err)
			}
			return connector(tb, fmt.Sprintf("host=%s port=%d user=%s dbname=%s password=%s",
				cfg.Host, cfg.Port, cfg.User, cfg.Database, wrongPassword))
		},
	})
}

// A server that dies and comes back is an outage, not the rows' fault: every row is there once.
func TestServerDies(t *testing.T) {
	for name, c := range map[string]struct {
		server  func(testing.TB) *servers.SQLServer
		dialect sqlsink.Dialect
	}{
		"MariaDB":    {servers.MariaDB, sqlsink.MySQL(mysqlNumber)},
		"PostgreSQL": {servers.Postgres, sqlsink.Postgres()},
	} {
		t.Run(name, func(t *testing.T) {
			server := c.server(t)
			db := server.Database(t).Open(t)
			sink, err := sqlsink.New(sqlsink.Config[int64]{
				DB: db, Dialect: c.dialect, Table: "events_out", Create: true,
				Columns: []sqlsink.Column{{Name: "id", Type: "bigint not null primary key"}},
				Row:     func(m sluice.Message[int64]) (sqlsink.Row, error) { return sqlsink.Put(m.Value), nil },
				Logger:  slog.New(slog.DiscardHandler),
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
			const batches, size = 120, 50
			half := make(chan struct{})
			killed := make(chan struct{})
			go func() {
				defer close(killed)
				<-half
				server.Kill(t)
				server.Restart(t)
			}()
			outages := 0
			for n := range int64(batches) {
				if n == batches/2 {
					close(half)
				}
				b := sluice.Batch[int64]{Topic: "t", Next: (n + 1) * size, Claim: claim.Token}
				for i := range int64(size) {
					b.Messages = append(b.Messages, sluice.Message[int64]{Value: n*size + i})
				}
				for err := sink.Handle(t.Context(), b); err != nil; err = sink.Handle(t.Context(), b) {
					if !sqlsinktest.IsOutage(err) {
						t.Fatalf("batch %d: %v", n, err)
					}
					outages++
				}
				if n == batches*3/4 {
					<-killed
				}
			}
			var rows, distinct int64
			err = db.QueryRowContext(t.Context(), "select count(*), count(distinct id) from events_out").Scan(&rows, &distinct)
			if err != nil {
				t.Fatal(err)
			}
			if rows != batches*size || distinct != rows {
				t.Errorf("%d rows, %d of them different, want %d", rows, distinct, batches*size)
			}
			t.Logf("%d outages, %+v", outages, sink.Stats())
		})
	}
}
