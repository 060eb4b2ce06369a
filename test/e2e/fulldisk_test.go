package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/sluice-go/sluice/test/servers"
)

// The disk under an SQLite database fills up, and is made larger: the process waits and goes on where it was.
func TestFullDisk(t *testing.T) {
	kafka := servers.Kafka(t)
	if os.Getuid() != 0 {
		asRoot(t, "KAFKA_BROKERS="+kafka.Brokers)
		return
	}
	disk := newDisk(t, "2m")
	file := filepath.Join(disk.folder, "orders.db")
	s := newScenario(t, kafka, servers.DB{Driver: "sqlite", DSN: "file:" + file, URL: "sqlite:" + file}, "insert")
	s.refuseLikeOthers(t)
	const orders = 60_000
	s.orders = newOrders(t, kafka.Seeds(), s.topic, orders, orders)
	p := start(t, "p", s.file)
	waitReadyz(t, http.StatusOK, p)

	s.produce(t, orders)
	until(t, time.Minute, "/readyz says that the disk is full", func() bool {
		p.alive(t)
		code, h, err := p.readyz()
		return err == nil && code == http.StatusServiceUnavailable && strings.Contains(strings.Join(h.Problems, "; "), "disk is full")
	})
	stays(t, 3*time.Second, "the process waits for room", func() bool { return waits(t, p) })
	left := s.lag(t)
	if left == 0 {
		t.Fatal("everything fitted on the full disk")
	}
	t.Logf("%d of %d orders wait for room", left, orders)
	disk.resize(t, "64m")
	waitReadyz(t, http.StatusOK, p)
	until(t, time.Minute, "the group has committed everything", func() bool { return s.lag(t) == 0 })
	p.interrupt(t)
	s.checkRows(t)
	s.checkDeadLetters(t)
	if n := s.end(t, s.dead); n != int64(len(s.orders.poison)) {
		t.Errorf("%d dead letters of %d poison orders", n, len(s.orders.poison))
	}
}

// refuseLikeOthers makes the table anew. SQLite takes any value in any column, but for a check.
func (s *scenario) refuseLikeOthers(t *testing.T) {
	t.Helper()
	for _, text := range []string{"drop table orders", `create table orders (id bigint not null, version int not null,
		customer varchar(16) not null check (length(customer) <= 16),
		amount decimal(12,2) not null check (typeof(amount) <> 'text'), src_partition int not null, src_offset bigint not null)`} {
		if _, err := s.db.ExecContext(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// end is where a topic of one partition ends.
func (s *scenario) end(t *testing.T, topic string) int64 {
	t.Helper()
	ends, err := s.admin.ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

// asRoot runs the test again, in a process that is root in a namespace of its own and so may mount there.
func asRoot(t *testing.T, env ...string) {
	t.Helper()
	unshare := []string{"--user", "--map-root-user", "--mount", "--kill-child"}
	folder := t.TempDir()
	try := exec.CommandContext(t.Context(), "unshare", append(unshare, "mount", "-t", "tmpfs", "tmpfs", folder)...)
	if out, err := try.CombinedOutput(); err != nil {
		unavailable(t, fmt.Sprintf("only root may mount a small disk, and there are no user namespaces (unshare: %v: %s)", err, out))
	}
	again := exec.CommandContext(t.Context(), "unshare", append(unshare, os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")...)
	again.Env = append(os.Environ(), env...)
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("as root of a namespace: %v\n%s", err, out)
	}
	t.Logf("as root of a namespace:\n%s", out)
}

// unavailable ends a test that lacks something: a failure under CI, so that nothing is left out unseen.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// disk is a file system of a few megabytes, in memory.
type disk struct{ folder string }

func newDisk(t *testing.T, size string) disk {
	t.Helper()
	d := disk{t.TempDir()}
	d.run(t, "mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", d.folder)
	t.Cleanup(func() { d.run(t, "umount", d.folder) })
	return d
}

func (d disk) resize(t *testing.T, size string) {
	t.Helper()
	// With the device's name, or mount repeats the old options, of which a namespace refuses some.
	d.run(t, "mount", "-o", "remount,size="+size, "tmpfs", d.folder)
}

func (d disk) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
