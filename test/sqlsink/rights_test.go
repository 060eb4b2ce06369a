package sqlsink_test

import (
	"database/sql"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/test/servers"
)

// guest is a database with two users: the owner of everything, and one with no right but to log in and to see what there is.
type guest struct {
	dialect     sqlsink.Dialect
	owner, db   *sql.DB
	name, reads string // the guest's name, and the statement that lets him see
}

const guestPassword = "guest-password"

func mariaGuest(t *testing.T) guest {
	t.Helper()
	d := servers.MariaDB(t).Database(t)
	cfg, err := mysql.ParseDSN(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	g := guest{dialect: sqlsink.MySQL(mysqlNumber), owner: d.Open(t), name: "'g" + cfg.DBName + "'@'%'"}
	g.do(t, "create user "+g.name+" identified by '"+guestPassword+"'")
	t.Cleanup(func() { g.do(t, "drop user "+g.name) })
	g.reads = "grant select on " + cfg.DBName + ".* to " + g.name
	cfg.User, cfg.Passwd, cfg.InterpolateParams = "g"+cfg.DBName, guestPassword, true
	g.db = sql.OpenDB(mysqlConnector(t, cfg))
	t.Cleanup(func() { _ = g.db.Close() })
	return g
}

func postgresGuest(t *testing.T) guest {
	t.Helper()
	d := servers.Postgres(t).Database(t)
	cfg, err := pgx.ParseConfig(d.DSN)
	if err != nil {
		t.Fatal(err)
	}
	g := guest{dialect: sqlsink.Postgres(), owner: d.Open(t), name: "g" + cfg.Database}
	g.do(t, "create user "+g.name+" password '"+guestPassword+"'")
	t.Cleanup(func() {
		g.do(t, "drop owned by "+g.name)
		g.do(t, "drop user "+g.name)
	})
	g.reads = "grant usage on schema public to " + g.name
	cfg.User, cfg.Password = g.name, guestPassword
	g.db = stdlib.OpenDB(*cfg)
	t.Cleanup(func() { _ = g.db.Close() })
	return g
}

func (g guest) do(t *testing.T, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := g.owner.Exec(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

var guests = map[string]func(*testing.T) guest{"MariaDB": mariaGuest, "PostgreSQL": postgresGuest}

// wayOut has the statement at the end of each problem.
var wayOut = regexp.MustCompile(`(?m); ((?:grant|alter) .+)$`)

// mend does what the problems say, and returns how many they were.
func (g guest) mend(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	found := wayOut.FindAllStringSubmatch(err.Error(), -1)
	if len(found) != len(strings.Split(err.Error(), "\n")) {
		t.Fatalf("problems without a way out: %v", err)
	}
	for _, f := range found {
		g.do(t, f[1])
	}
	return len(found)
}

func TestWhoMayOnlyReadIsToldWhatHeNeeds(t *testing.T) {
	for name, open := range guests {
		t.Run(name, func(t *testing.T) {
			g := open(t)
			g.do(t, "create table t (id bigint primary key, v varchar(100))", g.reads)
			if err := trapSink(t, g.owner, g.dialect).Prepare(t.Context()); err != nil { // the offsets, too
				t.Fatal(err)
			}
			sink := trapSink(t, g.db, g.dialect)
			if n := g.mend(t, sink.Check(t.Context())); n != 2 {
				t.Fatalf("%d of 2 tables were told", n)
			}
			if err := sink.Check(t.Context()); err != nil {
				t.Fatalf("after all that it said: %v", err)
			}
			handle(t, sink, []any{int64(7), "seven"}) // Prepare creates nothing, and needs no right to
			if _, err := g.db.ExecContext(t.Context(), "delete from t"); err == nil {
				t.Fatal("the guest got more rights than the sink needs")
			}
			if got := keys(t, g.owner); len(got) != 1 {
				t.Fatalf("keys %v", got)
			}
		})
	}
}

func TestWhoMayNotCreateIsTold(t *testing.T) {
	for name, open := range guests {
		t.Run(name, func(t *testing.T) {
			g := open(t)
			g.do(t, "create table t (id bigint primary key, v varchar(100))", g.reads)
			sink := trapSink(t, g.db, g.dialect)
			err := sink.Check(t.Context())
			for _, want := range []string{"sluice_offsets: it does not exist", "grant create on"} {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("Check: %v; want %q in it", err, want)
				}
			}
			for _, f := range wayOut.FindAllStringSubmatch(err.Error(), -1) {
				g.do(t, f[1])
			}
			if err := sink.Check(t.Context()); err == nil || strings.Contains(err.Error(), "grant") {
				t.Fatalf("with the right to create: %v; want only that the table is not there", err)
			}
		})
	}
}

func TestAColumnThatIsTooNarrowIsTold(t *testing.T) {
	wanted := map[string][]sqlsink.Column{
		"MariaDB": {
			{Name: "id", Type: "bigint not null"}, {Name: "name", Type: "varchar(64)"}, {Name: "amount", Type: "decimal(12,2)"},
			{Name: "at", Type: "datetime(3)"},
		},
		"PostgreSQL": {
			{Name: "id", Type: "bigint not null"}, {Name: "name", Type: "varchar(64)"}, {Name: "amount", Type: "decimal(12,2)"},
			{Name: "at", Type: "timestamp(3) with time zone not null"}, {Name: "ratio", Type: "double precision"},
		},
	}
	narrow := map[string]string{
		"MariaDB": "create table t (id int primary key, name varchar(63) collate utf8mb4_bin not null, amount decimal(11,2), at datetime(2))",
		"PostgreSQL": "create table t (id int primary key, name varchar(63) not null, amount decimal(11,2), at timestamp(2) with time zone, " +
			"ratio real)",
	}
	stays := map[string]string{
		"MariaDB": "select concat(collation_name, is_nullable) = 'utf8mb4_binNO' from information_schema.columns " +
			"where table_schema = database() and table_name = 't' and column_name = 'name'",
		"PostgreSQL": "select format_type(atttypid, atttypmod) = 'timestamp(3) with time zone' from pg_attribute " +
			"where attrelid = 't'::regclass and attname = 'at'",
	}
	for name, open := range guests {
		t.Run(name, func(t *testing.T) {
			g := open(t)
			sink, err := sqlsink.New(sqlsink.Config[[]any]{
				DB: g.owner, Dialect: g.dialect, Table: "t", Columns: wanted[name], Logger: slog.New(slog.DiscardHandler),
				Row: func(m sluice.Message[[]any]) (sqlsink.Row, error) { return sqlsink.Put(m.Value...), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sink.Close() })
			g.do(t, narrow[name])
			if err := sink.Prepare(t.Context()); g.mend(t, err) != len(wanted[name]) {
				t.Fatalf("Prepare: %v; want all %d columns in it", err, len(wanted[name]))
			}
			if err := sink.Check(t.Context()); err != nil {
				t.Fatalf("after all that it said: %v", err)
			}
			var stayed bool
			if err := g.owner.QueryRowContext(t.Context(), stays[name]).Scan(&stayed); err != nil || !stayed {
				t.Errorf("the mended column is another one than before: %v", err)
			}
			g.do(t, "alter table sluice_offsets drop column next_offset", "alter table sluice_offsets add column next_offset int not null")
			if n := g.mend(t, sink.Check(t.Context())); n != 1 {
				t.Fatalf("%d problems of the table of offsets, want 1", n)
			}
			if err := sink.Check(t.Context()); err != nil {
				t.Fatalf("after all that it said: %v", err)
			}
		})
	}
}
