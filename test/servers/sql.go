package servers

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/test/process"
)

const (
	sqlUser      = "sluice"
	sqlPassword  = "sluice-secret"
	probeTimeout = 2 * time.Second
)

// SQLServer is a database server. The user in its addresses may do everything.
type SQLServer struct {
	server
	DB // a database that always exists

	// at names another database of this server, and drop is the statement that removes one.
	at   func(name string) DB
	drop string
}

// DB is where to find one database.
type DB struct {
	Driver string // for sql.Open; the driver is imported by this package
	DSN    string // in the driver's form
	URL    string // mysql://user:password@host:port/name or postgres://user:password@host:port/name?options
}

// Open opens the database and closes it at the end of the test.
func (d DB) Open(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open(d.Driver, d.DSN)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// Kill ends the server with SIGKILL.
func (s *SQLServer) Kill(tb testing.TB) { tb.Helper(); s.kill(tb) }

// Stop ends the server as an operator does.
func (s *SQLServer) Stop(tb testing.TB) { tb.Helper(); s.stop(tb) }

// Restart starts the server again, on its data and its port, killing it first if it runs. It returns when the server
// answers.
func (s *SQLServer) Restart(tb testing.TB) { tb.Helper(); s.restartFor(tb) }

// Database makes an empty database, which is dropped at the end of the test.
func (s *SQLServer) Database(tb testing.TB) DB {
	tb.Helper()
	d, drop, err := s.NewDatabase(tb.Context(), "t_")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(drop)
	return d
}

// NewDatabase makes an empty database, whose name begins with prefix, and the function that drops it.
func (s *SQLServer) NewDatabase(ctx context.Context, prefix string) (d DB, drop func(), err error) {
	name := prefix + strings.ToLower(rand.Text()[:16])
	if err := s.exec(ctx, "create database "+name); err != nil {
		return DB{}, nil, fmt.Errorf("%s: create database: %w", s.name, err)
	}
	return s.at(name), func() {
		ctx, cancel := context.WithTimeout(context.Background(), process.StopTimeout)
		defer cancel()
		_ = s.exec(ctx, strings.ReplaceAll(s.drop, "NAME", name)) // somebody may have killed the server
	}, nil
}

func (s *SQLServer) exec(ctx context.Context, statement string) error {
	db, err := sql.Open(s.Driver, s.DSN)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// askSQL is a probe: one statement on a connection of its own.
func askSQL(d DB, statements ...string) process.Probe {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		db, err := sql.Open(d.Driver, d.DSN)
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		for _, statement := range append(statements, "select 1") {
			if _, err := db.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
}
