// Package sqlsinktest proves a database and its driver fit for package sqlsink: Exercise runs the guarantees of the sink
// against it, with COMMITs that lose their answer, frozen processes, restored databases and poison rows. It needs no Kafka.
//
//	func TestMyDatabase(t *testing.T) {
//		sqlsinktest.Exercise(t, sqlsinktest.Setup{Dialect: sqlsink.Postgres(), Fresh: freshDatabase})
//	}
package sqlsinktest

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/sqlsink"
)

// Setup is the database under test.
type Setup struct {
	// Dialect is what the sinks get. Required.
	Dialect sqlsink.Dialect

	// Fresh makes an empty database for one test and returns a connector to it. Required.
	Fresh func(testing.TB) driver.Connector

	// Isolations are levels to run the transaction cases with, beside the default.
	Isolations []sql.IsolationLevel

	// LocksForever says that the database cannot end the transaction of a frozen process (SQLite).
	LocksForever bool

	// PacketLimit is the most bytes that a row may have. Zero: no case for it.
	PacketLimit int

	// Secret is the password that connectors carry; WrongLogin gives one whose login fails, with that secret. Nil: no case.
	Secret     string
	WrongLogin func(testing.TB) driver.Connector
}

// Exercise runs every case.
func Exercise(t *testing.T, s Setup) {
	t.Helper()
	type group struct {
		name   string
		cases  []testCase
		level  sql.IsolationLevel
		ownSQL bool
	}
	groups := []group{
		{name: "rows", cases: rowCases}, {name: "commit", cases: commitCases}, {name: "zombie", cases: zombieCases},
		{name: "claim", cases: claimCases}, {name: "poison", cases: poisonCases}, {name: "schema", cases: schemaCases},
		// The same faults, with rows that a Work of one's own writes.
		{name: "own/commit", cases: commitCases, ownSQL: true}, {name: "own/zombie", cases: zombieCases, ownSQL: true},
		{name: "own/poison", cases: ownPoisonCases(), ownSQL: true},
		{name: "own/outcome", cases: outcomeCases, ownSQL: true}, {name: "own/tx", cases: txCases, ownSQL: true},
		{name: "own/accounts", cases: accountCases, ownSQL: true},
	}
	for _, level := range s.Isolations {
		name := "isolation/" + strings.ReplaceAll(level.String(), " ", "_")
		groups = append(groups,
			group{name: name, cases: slices.Concat(commitCases, zombieCases), level: level},
			group{name: name + "/own", cases: accountCases, level: level, ownSQL: true})
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.cases {
				if c.unless != nil && c.unless(s) {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					e := newEnv(t, s, g.level)
					e.ownSQL = g.ownSQL
					c.run(e)
				})
			}
		})
	}
}

type testCase struct {
	name   string
	run    func(*env)
	unless func(Setup) bool
	own    bool // of the cases about poison: holds as it is for rows that a Work of one's own writes
}

// env is one case's database.
type env struct {
	*testing.T
	setup     Setup
	level     sql.IsolationLevel
	ownSQL    bool // the sinks are made by NewTx
	connector driver.Connector
	admin     *sql.DB
	topicID   [16]byte
}

const table = "events_out"

func newEnv(t *testing.T, s Setup, level sql.IsolationLevel) *env {
	t.Helper()
	e := &env{T: t, setup: s, level: level, connector: s.Fresh(t), topicID: [16]byte{1, 2, 3}}
	e.admin = sql.OpenDB(e.connector)
	t.Cleanup(func() { _ = e.admin.Close() })
	return e
}

// process is a sink of its own, with connections of its own, as a process has.
type process struct {
	*env
	sink   *sqlsink.Sink[event]
	db     *sql.DB
	faults *Faults
}

type config = sqlsink.Config[event]

func (e *env) process(change ...func(*config)) *process {
	e.Helper()
	p := e.unprepared(change...)
	if err := p.sink.Prepare(e.Context()); err != nil {
		e.Fatalf("Prepare: %v", err)
	}
	return p
}

func (e *env) unprepared(change ...func(*config)) *process {
	e.Helper()
	p := e.connected()
	cfg := config{
		DB: p.db, Dialect: e.setup.Dialect, Table: table, Create: true, Isolation: e.level, Mode: sqlsink.Upsert, Key: []string{"id"},
		Columns: []sqlsink.Column{
			{Name: "id", Type: "bigint not null"},
			{Name: "note", Type: "varchar(20) not null check (length(note) <= 20)"},
			{Name: "n", Type: "bigint"},
		},
		Row:    makeRow,
		Limits: limits,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if e.ownSQL {
		p.sink, err = sqlsink.NewTx(e.ownConfig(cfg))
	} else {
		p.sink, err = sqlsink.New(cfg)
	}
	if err != nil {
		e.Fatalf("New: %v", err)
	}
	return p
}

// limits are short, so that frozen processes are waited for no longer than a test may take.
var limits = sqlsink.Limits{Idle: time.Second, Lock: 4 * time.Second, Statement: 6 * time.Second}

// connected is a process that has no sink yet.
func (e *env) connected() *process {
	p := &process{env: e, faults: NewFaults(e.connector)}
	p.db = sql.OpenDB(p.faults)
	e.Cleanup(func() {
		if p.sink != nil {
			_ = p.sink.Close()
		}
		_ = p.db.Close()
	})
	return p
}

func insertMode(c *config) { c.Mode = sqlsink.Insert }

// wait waits for something that another goroutine does.
func (e *env) wait(what string, c <-chan struct{}) {
	e.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		e.Fatalf("timed out: %s", what)
	}
}

// async runs fn in a goroutine that the case waits for.
func (e *env) async(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return done
}

func (e *env) result(what string, c <-chan error) error {
	e.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(60 * time.Second):
		e.Fatalf("timed out: %s", what)
		return nil
	}
}

// rows reads the table as "id=note/n" in id order.
func (e *env) rows() []string {
	e.Helper()
	return e.strings("select id, note, n from "+table+" order by id, note, n", func(scan func(...any) error) (string, error) {
		var id, n int64
		var note sql.NullString
		err := scan(&id, &note, &n)
		return fmt.Sprintf("%d=%s/%d", id, note.String, n), err
	})
}

func (e *env) strings(text string, each func(scan func(...any) error) (string, error)) []string {
	e.Helper()
	rows, err := e.admin.QueryContext(e.Context(), text)
	if err != nil {
		e.Fatalf("%s: %v", text, err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		s, err := each(rows.Scan)
		if err != nil {
			e.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		e.Fatal(err)
	}
	return all
}

func (e *env) exec(text string) {
	e.Helper()
	if _, err := e.admin.ExecContext(e.Context(), text); err != nil {
		e.Fatalf("%s: %v", text, err)
	}
}

// offset is the stored offset of group g, topic t, partition 0; -1 when there is none.
func (e *env) offset() int64 {
	e.Helper()
	next := int64(-1)
	const text = "select next_offset from sluice_offsets where group_id = 'g' and topic = 't' and partition_id = 0"
	err := e.admin.QueryRowContext(e.Context(), text).Scan(&next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		e.Fatal(err)
	}
	return next
}

func (e *env) wantRows(want ...string) {
	e.Helper()
	if got := e.rows(); strings.Join(got, " ") != strings.Join(want, " ") {
		e.Errorf("rows\n got %s\nwant %s", short(got), short(want))
	}
}

func (e *env) wantOffset(want int64) {
	e.Helper()
	if got := e.offset(); got != want {
		e.Errorf("stored offset %d, want %d", got, want)
	}
}

func short(s []string) string {
	text := strings.Join(s, " ")
	if len(text) > 2000 {
		text = text[:2000] + "…"
	}
	return fmt.Sprintf("(%d) %s", len(s), text)
}
