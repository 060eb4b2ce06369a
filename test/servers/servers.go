// Package servers starts the real servers that tests need: Apache Kafka, open or with logins, MariaDB, PostgreSQL,
// Prometheus and Alertmanager.
//
// Each is started once a test binary, by the first test that asks for it, on ports of its own and in a temporary folder.
// A server that a test killed and left dead is started again for the next test that asks. TestMain calls [Stop] at its
// end; a server also dies when its test binary dies, however that happens, and the next run removes what it left.
//
// KAFKA_BROKERS, MYSQL_DSN and POSTGRES_DSN name servers to use instead. Those cannot be killed or restarted, so tests
// that do so skip, or fail under CI. The broker with logins is always one of ours.
package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sluice-go/sluice/test/process"
)

// errMissing is wrapped when the software of a server is not installed.
var errMissing = errors.New("not installed: run scripts/servers.sh")

// server is what all of them have in common. A nil process is a server that was given from outside.
type server struct {
	name    string
	process *process.Process
	ready   process.Probe
	dir     *dataDir
}

// Process is the server's, for programs that are no tests; nil for a server that was given from outside.
func (s *server) Process() *process.Process { return s.process }

// Up starts the server again, as Restart does, for programs that are no tests.
func (s *server) Up() error { return s.restart() }

// restart starts the process on the data and the port that it had, and waits until it answers.
func (s *server) restart() error {
	s.process.Kill()
	return s.process.StartAndAwait(s.ready)
}

func (s *server) kill(tb testing.TB) {
	tb.Helper()
	s.own(tb)
	s.process.Kill()
}

func (s *server) stop(tb testing.TB) {
	tb.Helper()
	s.own(tb)
	s.process.Stop()
}

func (s *server) restartFor(tb testing.TB) {
	tb.Helper()
	s.own(tb)
	if err := s.restart(); err != nil {
		tb.Fatalf("restart %s: %v", s.name, err)
	}
}

// own ends the test if the server is not ours to kill.
func (s *server) own(tb testing.TB) {
	tb.Helper()
	if s.process == nil {
		unavailable(tb, fmt.Errorf("%s was given from outside, so it cannot be killed or restarted", s.name))
	}
}

// remove stops the server for good and deletes its data.
func (s *server) remove() {
	if s.process != nil {
		s.process.Stop()
		s.dir.remove()
	}
}

// shared starts a server once a test binary.
type shared[S any] struct {
	start func() (S, error)
	base  func(S) *server

	mu      sync.Mutex
	started bool
	value   S
	err     error
}

// get returns the server, running.
func (s *shared[S]) get(tb testing.TB) S {
	tb.Helper()
	value, err := s.running()
	switch {
	case errors.Is(err, errMissing):
		unavailable(tb, err)
	case err != nil:
		tb.Fatal(err)
	}
	return value
}

// running returns the server, after starting it if it does not run.
func (s *shared[S]) running() (S, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.value, s.err = s.start()
		s.started = true
	}
	if s.err != nil {
		return s.value, s.err
	}
	if base := s.base(s.value); base.process != nil && !base.process.Running() {
		return s.value, base.restart()
	}
	return s.value, nil
}

func (s *shared[S]) remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started && s.err == nil {
		s.base(s.value).remove()
	}
	s.started = false
}

var (
	kafka       = shared[*KafkaServer]{start: startKafka, base: func(s *KafkaServer) *server { return &s.server }}
	secureKafka = shared[*SecureKafkaServer]{start: startSecureKafka, base: func(s *SecureKafkaServer) *server { return &s.server }}
	mariaDB     = shared[*SQLServer]{start: startMariaDB, base: func(s *SQLServer) *server { return &s.server }}
	postgres    = shared[*SQLServer]{start: startPostgres, base: func(s *SQLServer) *server { return &s.server }}
)

// Kafka returns the test binary's Kafka broker.
func Kafka(tb testing.TB) *KafkaServer { tb.Helper(); return kafka.get(tb) }

// SecureKafka returns the test binary's Kafka broker with logins, TLS and access control.
func SecureKafka(tb testing.TB) *SecureKafkaServer { tb.Helper(); return secureKafka.get(tb) }

// MariaDB returns the test binary's MariaDB server.
func MariaDB(tb testing.TB) *SQLServer { tb.Helper(); return mariaDB.get(tb) }

// Postgres returns the test binary's PostgreSQL server.
func Postgres(tb testing.TB) *SQLServer { tb.Helper(); return postgres.get(tb) }

// StartKafka is Kafka for a program that is not a test.
func StartKafka() (*KafkaServer, error) { return kafka.running() }

// StartMariaDB is MariaDB for a program that is not a test.
func StartMariaDB() (*SQLServer, error) { return mariaDB.running() }

// StartPostgres is Postgres for a program that is not a test.
func StartPostgres() (*SQLServer, error) { return postgres.running() }

// Stop stops every server that was started, at once, and removes its data. Call it in TestMain, after m.Run and before
// goroutines are counted, or at the end of the program.
func Stop() {
	var wg sync.WaitGroup
	wg.Go(kafka.remove)
	wg.Go(secureKafka.remove)
	wg.Go(mariaDB.remove)
	wg.Go(postgres.remove)
	wg.Wait()
}

// unavailable ends a test that cannot run here: a failure under CI, so that nothing is left out unseen.
func unavailable(tb testing.TB, err error) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(err)
	}
	tb.Skip(err)
}

// endsWith has a server that was started for a test, or could not be, end with it.
func endsWith(tb testing.TB, err error, remove func()) {
	tb.Helper()
	switch {
	case errors.Is(err, errMissing):
		unavailable(tb, err)
	case err != nil:
		tb.Fatal(err)
	}
	tb.Cleanup(remove)
}

// Repository returns the checkout's root: the nearest folder above with a go.work.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.work in this folder or above: run the tests inside the checkout")
		}
		dir = parent
	}
}
