package sqlsink

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

func TestConfigNamesEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(Config[int]{})
	wantAll(t, err, "DB: required", "Dialect: required", "Row: required", "Table: ", "Columns: name at least one")

	_, err = New(Config[int]{
		DB: noDB(t), Dialect: SQLite(), Table: "a.b.c", Row: func(sluice.Message[int]) (Row, error) { return Skip(), nil },
		Columns: []Column{{Name: "a"}, {Name: ""}, {Name: "a"}, {Name: "z\x00"}}, Key: []string{"a", "b", "a"}, Mode: 7,
		Isolation: sql.LevelReadCommitted, Limits: Limits{-1, -1, -1}, MaxConns: -1, MaxStatementRows: -1,
		OffsetsTable: "x.", OnMissingRow: 9,
	})
	wantAll(t, err, "Table: ", "Columns[1].Name", "Columns[2].Name", "Columns[3].Name", "Key[1]", "Key[2]", "Mode: 7",
		`Isolation: SQLite has no level "Read Committed"`,
		"Limits.Idle", "Limits.Lock", "Limits.Statement", "MaxConns", "MaxStatementRows", "OffsetsTable", "OnMissingRow: 9")

	_, err = New(Config[int]{Mode: Upsert, Table: "sluice_offsets", Dialect: MySQL(nil)})
	wantAll(t, err, "Key: required with Mode Upsert", "OffsetsTable: the same as Table", "Dialect: required")

	db := noDB(t)
	db.SetMaxOpenConns(2)
	_, err = New(Config[int]{DB: db, MaxConns: 3})
	wantAll(t, err, "MaxConns: 3 is above the 2")
}

func wantAll(t *testing.T, err error, parts ...string) {
	t.Helper()
	if !errors.Is(err, sluice.ErrConfig) {
		t.Fatalf("%v: want ErrConfig", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q is not in\n%v", p, err)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	s := testSettings(t, Postgres(), nil)
	if s.limits != (Limits{10 * time.Second, 10 * time.Second, 10 * time.Second}) || s.conns != 16 || s.statementRows != 1000 ||
		s.offsets.String() != "sluice_offsets" || s.onMissingRow != RefuseMissing || s.log == nil {
		t.Errorf("%+v", s)
	}
	db := noDB(t)
	db.SetMaxOpenConns(3)
	if s := testSettings(t, Postgres(), func(c *Config[int]) { c.DB = db }); s.conns != 3 {
		t.Errorf("%d connections of a DB that has 3", s.conns)
	}
	for _, m := range []Mode{Insert, Upsert, Mode(5)} {
		if m.String() == "" {
			t.Error("a mode without a name")
		}
	}
	if got := (Dialect{}).String(); got != "no dialect" {
		t.Error(got)
	}
}
