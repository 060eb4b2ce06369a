package servers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/test/process"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// A test binary that is killed cannot clean up; its servers go all the same, also those that run as another user.
func TestServersDieWithTheirTestBinary(t *testing.T) {
	needs(t, Postgres)
	needs(t, MariaDB)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	child.Env = append(os.Environ(), "SLUICE_TEST_CHILD=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := child.StdinPipe() // held open: the child waits for its end
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var servers []DB
	for lines := bufio.NewScanner(out); len(servers) < 2 && lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), "up "); found {
			driver, dsn, _ := strings.Cut(rest, " ")
			servers = append(servers, DB{Driver: driver, DSN: dsn})
		}
	}
	if len(servers) != 2 {
		t.Fatal("the child did not start its servers")
	}
	for _, s := range servers {
		if err := askSQL(s)(t.Context()); err != nil {
			t.Fatalf("%s before the kill: %v", s.Driver, err)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	for _, s := range servers {
		waitFor(t, s.Driver+" to be gone", func() bool { return askSQL(s)(t.Context()) != nil })
	}
	sweep()
}

// TestChild is the test binary that is killed.
func TestChild(t *testing.T) {
	if os.Getenv("SLUICE_TEST_CHILD") == "" {
		t.Skip("only as a child of TestServersDieWithTheirTestBinary")
	}
	for _, s := range []*SQLServer{Postgres(t), MariaDB(t)} {
		fmt.Printf("up %s %s\n", s.Driver, s.DSN)
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
}

func TestFoldersLeftBehindAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	held, err := newDataDir()
	if err != nil {
		t.Fatal(err)
	}
	left, err := newDataDir()
	if err != nil {
		t.Fatal(err)
	}
	if err := left.lock.Close(); err != nil { // as the kernel does when the test binary ends
		t.Fatal(err)
	}
	next, err := newDataDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a test binary that is gone is still there: %v", err)
	}
	for _, d := range []*dataDir{held, next} {
		if _, err := os.Stat(d.path); err != nil {
			t.Errorf("a folder in use was removed: %v", err)
		}
		d.remove()
	}
}

func TestPortsAreOutsideTheEphemeralRange(t *testing.T) {
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Skip(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatal(err)
	}
	if port >= low && port <= high {
		t.Errorf("port %d is between %d and %d: a client that dials a server which is down may take it", port, low, high)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address(port))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestMissingServersFailUnderCIAndSkipElsewhere(t *testing.T) {
	missing := &shared[*SQLServer]{start: func() (*SQLServer, error) { return nil, fmt.Errorf("X is %w", errMissing) }}
	broken := &shared[*SQLServer]{start: func() (*SQLServer, error) { return nil, errors.New("broken") }}
	external := &shared[*SQLServer]{
		start: func() (*SQLServer, error) { return &SQLServer{}, nil },
		base:  func(s *SQLServer) *server { return &s.server },
	}
	for _, c := range []struct {
		name, ci string
		call     func(testing.TB)
		want     string
	}{
		{"missing", "", func(tb testing.TB) { missing.get(tb) }, "skip"},
		{"missing", "true", func(tb testing.TB) { missing.get(tb) }, "fatal"},
		{"broken", "", func(tb testing.TB) { broken.get(tb) }, "fatal"},
		{"killing an external one", "", func(tb testing.TB) { external.get(tb).Kill(tb) }, "skip"},
		{"killing an external one", "true", func(tb testing.TB) { external.get(tb).Kill(tb) }, "fatal"},
		{"stopping an external one", "", func(tb testing.TB) { external.get(tb).Stop(tb) }, "skip"},
		{"restarting an external one", "true", func(tb testing.TB) { external.get(tb).Restart(tb) }, "fatal"},
		{"using an external one", "true", func(tb testing.TB) { external.get(tb) }, ""},
	} {
		t.Run(c.name+" CI="+c.ci, func(t *testing.T) {
			t.Setenv("CI", c.ci)
			if got := outcome(t, c.call); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExternalAddresses(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "a:1,b:2")
	k, err := startKafka()
	if err != nil || k.process != nil || len(k.Seeds()) != 2 {
		t.Errorf("Kafka: %+v, %v", k, err)
	}
	for _, c := range []struct{ env, value, dsn, url string }{
		{"MYSQL_DSN", "u:p@tcp(h:1)/d?parseTime=true", "u:p@tcp(h:1)/d2?parseTime=true", "mysql://u:p@h:1/d2"},
		{"MYSQL_DSN", "mysql://u:p@h:1/d", "u:p@tcp(h:1)/d2", "mysql://u:p@h:1/d2"},
		{"POSTGRES_DSN", "postgres://u:p@h:1/d?a=b", "postgres://u:p@h:1/d2?a=b", "postgres://u:p@h:1/d2?a=b"},
		{"POSTGRES_DSN", "host=h port=1 user=u password=p dbname=d", "postgres://u:p@h:1/d2", "postgres://u:p@h:1/d2"},
	} {
		t.Setenv(c.env, c.value)
		start := startMariaDB
		if c.env == "POSTGRES_DSN" {
			start = startPostgres
		}
		s, err := start()
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if d := s.at("d2"); d.DSN != c.dsn || d.URL != c.url {
			t.Errorf("%s: DSN %s, URL %s", c.value, d.DSN, d.URL)
		}
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	p := &process.Process{
		Name: "sh", Argv: []string{"sh", "-c", "echo the reason >&2; exit 3"},
		Log: filepath.Join(t.TempDir(), "log"),
	}
	never := askSQL(DB{Driver: "pgx", DSN: "postgres://127.0.0.1:1/x?sslmode=disable"})
	if err := p.StartAndAwait(never); !errors.Is(err, process.ErrEnded) || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v", err)
	}
}
