package servers

import (
	"net/url"
	"testing"
)

var databases = map[string]func(testing.TB) *SQLServer{"MariaDB": MariaDB, "PostgreSQL": Postgres}

func TestDatabasesAreSeparate(t *testing.T) {
	for name, get := range databases {
		t.Run(name, func(t *testing.T) {
			s := get(t)
			a, b := s.Database(t), s.Database(t)
			if a.DSN == b.DSN || a.URL == b.URL {
				t.Fatalf("twice the same: %+v", a)
			}
			for i, d := range []DB{a, b} {
				db := d.Open(t)
				for _, statement := range []string{"create table t (n int)", "insert into t values (1)"} {
					if _, err := db.ExecContext(t.Context(), statement); err != nil {
						t.Fatalf("database %d: %s: %v", i, statement, err)
					}
				}
				var n int
				if err := db.QueryRowContext(t.Context(), "select count(*) from t").Scan(&n); err != nil || n != 1 {
					t.Errorf("database %d: %d rows, %v", i, n, err)
				}
			}
			u, err := url.Parse(a.URL)
			if err != nil || u.Port() == "" || u.User.Username() != sqlUser || len(u.Path) < 2 {
				t.Errorf("URL %s: %v", a.URL, err)
			}
		})
	}
}

func TestDatabasesAreDroppedWithTheirTest(t *testing.T) {
	for name, get := range databases {
		t.Run(name, func(t *testing.T) {
			s := get(t)
			var d DB
			t.Run("inner", func(t *testing.T) { d = s.Database(t) })
			if err := askSQL(d)(t.Context()); err == nil {
				t.Errorf("%s is still there", d.URL)
			}
		})
	}
}

func TestDatabasesSurviveAKill(t *testing.T) {
	for name, get := range databases {
		t.Run(name, func(t *testing.T) {
			s := get(t)
			d := s.Database(t)
			db := d.Open(t)
			for _, statement := range []string{"create table t (n int)", "insert into t values (7)"} {
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			s.Kill(t)
			if err := askSQL(d)(t.Context()); err == nil {
				t.Fatal("it answers after it was killed")
			}
			s.Restart(t)
			var n int
			if err := d.Open(t).QueryRowContext(t.Context(), "select n from t").Scan(&n); err != nil || n != 7 {
				t.Errorf("after the restart: %d, %v", n, err)
			}
			s.Stop(t)
			if again := get(t); again != s || askSQL(d)(t.Context()) != nil {
				t.Error("a server that a test stopped is not started again for the next")
			}
		})
	}
}

func TestPasswordsAreChecked(t *testing.T) {
	for name, get := range databases {
		t.Run(name, func(t *testing.T) {
			s := get(t)
			s.own(t)
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			wrong := DB{Driver: s.Driver, DSN: sqlUser + ":wrong@tcp(" + u.Host + ")/mysql"}
			if name == "PostgreSQL" {
				u.User = url.UserPassword(sqlUser, "wrong")
				wrong.DSN = u.String()
			}
			if err := askSQL(wrong)(t.Context()); err == nil {
				t.Error("a wrong password is accepted")
			}
		})
	}
}
