package e2e

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice/test/servers"
)

// settings are what a pipeline file says.
type settings struct {
	broker, topic, group, dead, url, table, mode, columns, more string
}

// write writes the file. The DSN comes from the environment, as passwords do.
func (s settings) write(t *testing.T) (file string, env []string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "orders.yaml")
	write(t, file, fmt.Sprintf(`name: %s
kafka: {brokers: ["%s"]}
source: {topics: [%s]}
decode: json
sink: {sql: {dsn: "${DATABASE_URL}", table: %s, mode: %s, columns: {%s}}}
dead_letter: {topic: %s}
%s`, s.group, s.broker, s.topic, s.table, s.mode, s.columns, s.dead, s.more))
	return file, []string{"DATABASE_URL=" + s.url}
}

const wrongPassword = "hunter2-is-wrong"

// Whatever is not there, or refuses us, is told within 10 s and by its name; nothing starts.
func TestBadInputIsRefused(t *testing.T) {
	for _, db := range []struct {
		name                   string
		server                 func(testing.TB) *servers.SQLServer
		wrongLogin, noDatabase string
	}{
		{"MariaDB", servers.MariaDB, "Access denied", "Unknown database"},
		{"PostgreSQL", servers.Postgres, "password authentication failed", "does not exist"},
	} {
		t.Run(db.name, func(t *testing.T) {
			database := db.server(t).Database(t)
			s := newScenario(t, servers.Kafka(t), database, "insert")
			silent := silentListener(t)
			const closed = "127.0.0.1:1"
			wrong, elsewhere := func(dsn string) string { return with(t, dsn, wrongPassword, "", "") }, func(s *settings, at string) {
				s.broker, s.url = at, with(t, s.url, "", at, "")
			}
			for _, test := range []struct {
				name   string
				change func(*settings)
				code   int
				want   []string
			}{
				{"nothing wrong", func(*settings) {}, 0, nil},
				{
					"wrong password", func(s *settings) { s.url = wrong(s.url) },
					1, []string{"cannot connect to ADDRESS", db.wrongLogin},
				},
				{
					"unknown database", func(s *settings) { s.url = with(t, s.url, "", "", "nowhere") },
					1, []string{"/nowhere: ", db.noDatabase},
				},
				{"missing topic", func(s *settings) { s.topic = "missing" }, 1, []string{"missing", "topic"}},
				{"missing dead letter topic", func(s *settings) { s.dead = "missing.dlq" }, 1, []string{"missing.dlq", "topic"}},
				{"missing table", func(s *settings) { s.table = "missing" }, 1, []string{"table missing", "does not exist"}},
				{"missing column", func(s *settings) { s.columns += ", missing: m" }, 1, []string{"table orders", "no column missing"}},
				{
					"no key in the table", func(s *settings) { s.mode = "upsert, key: [id]" },
					1, []string{"table orders", "no primary key", "(id)"},
				},
				{"no key in the file", func(s *settings) { s.mode = "upsert" }, 2, []string{"orders.yaml:5:", "key"}},
				{
					"misspelt key, wrong type", func(s *settings) { s.more = "comit: {interval: 1s}\nretry: {attempts: many}" },
					2, []string{"orders.yaml:7:1", "commit", "orders.yaml:8:", "attempts"},
				},
				{
					"no DSN", func(s *settings) { s.url = "mysql://app:" + wrongPassword + "@host:port/shop" },
					2, []string{"orders.yaml:5:", "port"},
				},
				{"two at once", func(s *settings) { s.topic, s.url = "missing", wrong(s.url) }, 1, []string{"missing", db.wrongLogin}},
				{
					"closed ports", func(s *settings) { elsewhere(s, closed) },
					1, []string{"no broker can be reached: " + closed, "cannot connect to " + closed},
				},
				{
					"silent listeners", func(s *settings) { elsewhere(s, silent) },
					1, []string{silent + ": no answer within", "no answer from " + silent},
				},
			} {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					cfg := settings{
						broker: s.kafka.Seeds()[0], topic: s.topic, group: s.group + "-" + strings.ReplaceAll(test.name, " ", "-"),
						dead: s.dead, url: database.URL, table: "orders", mode: "insert",
						columns: "id: id, version: version, customer: customer, amount: amount, " +
							"src_partition: {from: partition}, src_offset: {from: offset}",
					}
					test.change(&cfg)
					file, env := cfg.write(t)
					c := launch(t, env, "run", file, "--until-caught-up")
					took := c.end(t, test.code)
					said := c.stderr.String()
					for _, want := range test.want {
						if want = strings.ReplaceAll(want, "ADDRESS", address(t, database.URL)); !strings.Contains(said, want) {
							t.Errorf("it does not say %q:\n%s", want, said)
						}
					}
					for _, secret := range []string{wrongPassword, password(t, database.URL)} {
						if strings.Contains(said+c.stdout.String(), secret) {
							t.Errorf("it says the password:\n%s", said)
						}
					}
					if test.code == 0 {
						return
					}
					if took >= 10*time.Second || c.stdout.String() != "" || strings.Contains(said, "msg=running") {
						t.Errorf("after %v it printed %q and said:\n%s", took, c.stdout.String(), said)
					}
					groups, err := s.admin.ListGroups(t.Context())
					if _, started := groups[cfg.group]; err != nil || started {
						t.Errorf("it joined its group, or nobody knows: %v", err)
					}
				})
			}
		})
	}
}

// with changes the parts of a DSN that are not empty.
func with(t *testing.T, dsn, password, address, database string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	if address != "" {
		u.Host = address
	}
	if database != "" {
		u.Path = "/" + database
	}
	return u.String()
}

func address(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func password(t *testing.T, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := u.User.Password()
	if !ok {
		t.Fatal("a DSN without a password: nothing could leak")
	}
	return secret
}

// silentListener accepts connections and never says a word.
func silentListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		var open []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			open = append(open, conn)
		}
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}
