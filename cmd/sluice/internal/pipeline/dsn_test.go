package pipeline

import (
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func noEnv(string) (string, bool) { return "", false }

func TestParseDSN(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"mysql://app:pw@localhost/shop":                        "mysql app pw localhost:3306 shop ",
		"mariadb://app@db:3307/shop?tls=true&charset=utf8mb4":  "mysql app  db:3307 shop charset=utf8mb4&tls=true",
		"postgres://app:p%40w@localhost/shop":                  "postgres app p@w localhost:5432 shop ",
		"postgresql://app:a@b@[::1]:6543/shop?sslmode=disable": "postgres app a@b [::1]:6543 shop sslmode=disable",
		"mysql://app:${DB_PASSWORD}@localhost:3306/shop":       "mysql app p@ss/w:rd#1? localhost:3306 shop ",
		"${DSN}":                           "postgres app secret db.example:6432 shop sslmode=disable",
		"sqlite:dir/o.db":                  "sqlite   dir/o.db " + "dir/o.db ",
		"sqlite:///var/lib/my orders#1.db": "sqlite   /var/lib/my orders#1.db /var/lib/my orders#1.db ",
		"MySQL://app:pa$$w@localhost/shop": "mysql app pa$w localhost:3306 shop ",
		"postgres://u${DB_PASSWORD}:x@h/db?application_name=%20": "postgres up@ss/w:rd#1? x h:5432 db application_name=+",
	} {
		d, err := ParseDSN(raw, testEnv)
		got := fmt.Sprintf("%s %s %s %s %s %s", d.Scheme, d.User, d.Password, d.Address(), d.Database, d.Options.Encode())
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "orders.db", "app:pw@tcp(localhost)/shop", "mysql:app", "mysql://localhost", "mysql:///shop", "postgres://h:0/db",
		"mysql://app:p?w@host/db", "mysql://app:%zz@host/db", "mysql://h/db?tls", "mysql://h/db?a=1&a=2", "sqlite:", "sqlite::memory:",
		"sqlite:a.db?mode=ro",
	} {
		if d, err := ParseDSN(raw, testEnv); err == nil {
			t.Errorf("%s: got %v, want an error", raw, d)
		}
	}
}

// Whatever a password holds, written out or from a variable, and whatever else is wrong with a DSN, no message shows it.
func TestPasswordIsNeverTold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		password := "Zq" + rapid.StringMatching(`[!-~]{6,20}`).Draw(t, "password") + "qZ"
		written := password
		if rapid.Bool().Draw(t, "escaped") {
			written = url.PathEscape(password)
		}
		env := noEnv
		if rapid.Bool().Draw(t, "from a variable") {
			written = "${SECRET}"
			env = func(string) (string, bool) { return password, true }
		}
		scheme := rapid.SampledFrom([]string{"mysql", "postgres", "sqlite", "oracle", ""}).Draw(t, "scheme")
		host := rapid.SampledFrom([]string{"h", "h:1", "h:port", "[::1]:70000", ""}).Draw(t, "host")
		tail := rapid.SampledFrom([]string{"", "/", "/db", "/db?", "/db?a=1&&", "/db?timeout=soon", "/db?x=${Y}", "/%zz"}).Draw(t, "tail")
		form := rapid.SampledFrom([]string{"%s://app:%s@%s%s", "%s:app:%s@%s%s", "%s://app:%s%s%s"}).Draw(t, "form")
		raw := fmt.Sprintf(form, scheme, written, host, tail)

		text := "name: a\nsource: {topics: [a]}\ndecode: raw\nsink:\n  sql: {table: a, mode: insert, columns: {v: .}, dsn: '" +
			strings.ReplaceAll(raw, "'", "''") + "'}\n"
		_, loadErr := Parse("a.yaml", []byte(text), env)
		d, err := ParseDSN(raw, env)
		told := fmt.Sprint(loadErr, err)
		if err == nil && strings.Contains(raw, "@") { // without an @ it is the name of a host
			told += fmt.Sprintf("%v %#v", d, d)
			if scheme == "sqlite" { // has no password: what looks like one is a part of the file's name
				return
			}
			db, err := d.Connect(slog.New(slog.DiscardHandler), false)
			if err == nil {
				_ = db.Close()
			}
			told += fmt.Sprint(err) + d.hide(fmt.Errorf("refused %s", d.Password)).Error()
		}
		if strings.Contains(told, "Zq") {
			t.Fatalf("%s tells the password:\n%s", raw, told)
		}
	})
}

func TestDriverConfiguration(t *testing.T) {
	t.Parallel()
	d, err := ParseDSN("mysql://app:${DB_PASSWORD}@localhost/shop?tls=skip-verify", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := mysqlConfig(d, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Passwd != "p@ss/w:rd#1?" || !cfg.ClientFoundRows || !cfg.InterpolateParams || !cfg.ParseTime || cfg.MaxAllowedPacket != 0 ||
		cfg.TLSConfig != "skip-verify" || cfg.Timeout != dialLimit || cfg.ReadTimeout != ioLimit || cfg.Net != "tcp" ||
		cfg.Addr != "localhost:3306" {
		t.Errorf("the driver's configuration is wrong: %+v", cfg.Addr)
	}
	d, err = ParseDSN("postgres://app:${DB_PASSWORD}@localhost/shop", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.postgresURL(), "postgres://app:p%40ss%2Fw%3Ard%231%3F@localhost:5432/shop?connect_timeout=10"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	d, err = ParseDSN("sqlite:a b?c%d.db", testEnv)
	if err == nil {
		t.Errorf("got %v, want an error", d)
	}
	d, err = ParseDSN("sqlite:a b#c%d.db", testEnv)
	if got, want := d.sqliteURI(true), "file:a%20b%23c%25d.db?mode=ro&_pragma=busy_timeout(10000)"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
