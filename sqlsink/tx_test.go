package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/sluice-go/sluice"
)

// A Tx fits wherever generated code takes a database, as sqlc's DBTX.
var _ interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
	PrepareContext(context.Context, string) (*sql.Stmt, error)
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
} = (*Tx)(nil)

func TestTxConfigNamesEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := NewTx(TxConfig[int]{})
	wantAll(t, err, "sqlsink.TxConfig.DB: required", "TxConfig.Dialect: required", "TxConfig.Work: required")
	db := noDB(t)
	db.SetMaxOpenConns(2)
	_, err = NewTx(TxConfig[int]{
		DB: db, Dialect: SQLite(), Work: func(context.Context, *Tx, sluice.Batch[int]) error { return nil },
		Isolation: sql.LevelReadCommitted, Limits: Limits{-1, -1, -1}, MaxConns: 3, OffsetsTable: "x.", OnMissingRow: 9,
	})
	wantAll(t, err, "Isolation: SQLite has no level", "Limits.Idle", "Limits.Lock", "Limits.Statement", "MaxConns: 3 is above the 2",
		"OffsetsTable", "OnMissingRow: 9")
	if _, ok := errors.AsType[*sluice.ConfigError](err); !ok {
		t.Errorf("%T is no ConfigError", err)
	}
}

func TestStatementsThatEndTheTransaction(t *testing.T) {
	t.Parallel()
	pg, my, lite := dialect(postgres{}), dialect(mysql{findNumber}), dialect(sqlite{})
	all := []dialect{pg, my, lite}
	for _, c := range []struct {
		text, want string
		in         []dialect
	}{
		{"commit", "COMMIT", all},
		{"\n\t;; -- why\n/* not */ Commit Work;", "COMMIT WORK", all},
		{"rollback", "ROLLBACK", all},
		{"rollback;", "ROLLBACK", all},
		{"ROLLBACK TRANSACTION", "ROLLBACK TRANSACTION", all},
		{"rollback to mine", "", all},
		{"rollback to savepoint mine", "", all},
		{"rollback work to savepoint mine", "", all},
		{"savepoint mine", "", all},
		{"release savepoint mine", "", all},
		{"begin", "BEGIN", all},
		{"start transaction", "START TRANSACTION", all},
		{"update committed set begin = 1", "", all},
		{"insert into t values ('commit')", "", all},
		{"commits", "", all},
		{"commit_all", "", all},
		{"/* commit", "", all},
		{"", "", all},
		{"end", "END", []dialect{pg, lite}},
		{"abort", "ABORT", []dialect{pg}},
		{"prepare transaction 'x'", "PREPARE TRANSACTION", []dialect{pg}},
		{"prepare x as select 1", "", all},
		{"create table x (id int)", "", []dialect{pg, lite}},
		{"create table x (id int)", "CREATE TABLE", []dialect{my}},
		{"create temporary table x (id int)", "", all},
		{"truncate x", "TRUNCATE X", []dialect{my}},
		{"truncate x", "", []dialect{pg}},
		{"alter table x add y int", "ALTER TABLE", []dialect{my}},
		{"# why\ncommit", "COMMIT", []dialect{my}},
	} {
		for _, d := range c.in {
			if got := endsTransaction(d, c.text); got != c.want {
				t.Errorf("%s: %q: %q, want %q", d.name(), c.text, got, c.want)
			}
		}
	}
}

// A syntax error in a statement of our own making is a value's fault; in one of the user's it is the program's.
func TestSyntaxErrorsOfOwnSQL(t *testing.T) {
	t.Parallel()
	for state, want := range map[stateError][2]class{"42601": {classRow, classOutage}, "22003": {classRow, classRow}, "40001": {classRetry, classRetry}} {
		if got := (postgres{}).classify(state); got != want[0] {
			t.Errorf("%s: class %d", state, got)
		}
		if got := (ownSQL{postgres{}}).classify(state); got != want[1] {
			t.Errorf("%s of own SQL: class %d", state, got)
		}
	}
}
