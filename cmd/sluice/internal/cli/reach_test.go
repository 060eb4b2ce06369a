package cli

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// What is not there, or refuses us, is told with its address, all at once, before anything starts.
func TestRunRefused(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "other", Partitions: 1})
	silent := silentListener(t)
	closed := closedPort(t)
	pipeline := func(broker, dsn string) string {
		return write(t, "p.yaml", fmt.Sprintf("name: p\nkafka: {brokers: ['%s']}\nsource: {topics: [orders, other]}\ndecode: raw\n"+
			"sink: {sql: {dsn: '%s', table: t, mode: insert, columns: {v: .}}}\ndead_letter: {topic: dlq}\n", broker, dsn))
	}
	for _, test := range []struct {
		name, broker, dsn string
		want              []string
	}{
		{
			"closed ports", closed, "mysql://app:hunter2@" + closed + "/shop",
			[]string{"kafka: no broker can be reached: " + closed, "database mysql://app@" + closed + "/shop: cannot connect to " + closed},
		},
		{
			"silent listeners", silent, "mysql://app:hunter2@" + silent + "/shop",
			[]string{silent + ": no answer within", "/shop: no answer from " + silent},
		},
		{
			"a silent PostgreSQL", silent, "postgres://app:hunter2@" + silent + "/shop",
			[]string{silent + ": no answer within", "/shop: no answer from " + silent},
		},
		{"missing topics and table", address, "sqlite:" + filepath.Join(t.TempDir(), "t.db"), []string{"orders", "dlq"}},
		{"a folder that is not there", address, "sqlite:/nowhere/t.db", []string{"/nowhere/t.db"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := pipeline(test.broker, test.dsn)
			for _, args := range [][]string{{"run", file}, {"run", file, "--check"}, {"run", file, "--until-caught-up"}} {
				began := time.Now()
				limit := time.Second
				if test.broker == address { // which answers, on a busy machine later than that
					limit = 0
				}
				r := startWithin(t, limit, nil, args...)
				r.ends(t, ExitFailed)
				for _, want := range test.want {
					if !strings.Contains(r.stderr.String(), want) {
						t.Errorf("%v: no %q in:\n%s", args, want, r.stderr)
					}
				}
				if strings.Contains(r.stderr.String(), "hunter2") {
					t.Errorf("%v: the password is told:\n%s", args, r.stderr)
				}
				if took := time.Since(began); took > 8*time.Second {
					t.Errorf("%v: took %v with a limit of 1s", args, took)
				}
				if r.stdout.String() != "" {
					t.Errorf("%v: stdout has %q", args, r.stdout)
				}
			}
		})
	}
}

// silentListener accepts connections, reads and never answers.
func silentListener(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		defer func() {
			for _, c := range conns {
				_ = c.Close()
			}
		}()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
