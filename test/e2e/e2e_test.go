package e2e

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// total is how many orders a run has; SLUICE_E2E_ORDERS makes it shorter for a look.
func total() int {
	if n, err := strconv.Atoi(os.Getenv("SLUICE_E2E_ORDERS")); err == nil {
		return n
	}
	return 300_000
}

func TestEveryOrderIsOneRow(t *testing.T) {
	for _, db := range []struct {
		name   string
		server func(testing.TB) *servers.SQLServer
	}{{"MariaDB", servers.MariaDB}, {"PostgreSQL", servers.Postgres}} {
		for _, mode := range []string{"insert", "upsert"} {
			t.Run(db.name+"/"+mode, func(t *testing.T) {
				kafka := servers.Kafka(t)
				database := db.server(t).Database(t)
				s := newScenario(t, kafka, database, mode)
				s.run(t)
			})
		}
	}
}

// scenario is one run: the orders, the processes that write them into a table, and what is done to those.
type scenario struct {
	kafka  *servers.KafkaServer
	db     *sql.DB
	admin  *kadm.Client
	mode   string
	topic  string
	group  string
	dead   string
	file   string
	orders *orders
}

func newScenario(t *testing.T, kafka *servers.KafkaServer, database servers.DB, mode string) *scenario {
	t.Helper()
	suffix := strings.ToLower(rand.Text()[:8])
	s := &scenario{
		kafka: kafka, db: database.Open(t), mode: mode,
		topic: "orders-" + suffix, group: "orders-to-sql-" + suffix, dead: "orders-" + suffix + ".dlq",
	}
	createTopics(t, kafka.Seeds(), s.topic, s.dead)
	keys := total()
	if mode == "upsert" {
		keys = total() / 3 / partitions * partitions // a key's versions share a partition
	}
	s.orders = newOrders(t, kafka.Seeds(), s.topic, total(), keys)
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	s.admin = kadm.NewClient(cl)
	if mode == "insert" { // no key of any kind: a record that is applied twice is two rows
		_, err := s.db.ExecContext(t.Context(), `create table orders (id bigint not null, version int not null,
			customer varchar(16) not null, amount decimal(12,2) not null, src_partition int not null, src_offset bigint not null)`)
		if err != nil {
			t.Fatal(err)
		}
	}
	s.file = s.pipeline(t, database.URL)
	return s
}

// pipeline writes the file that the processes run.
func (s *scenario) pipeline(t *testing.T, url string) string {
	t.Helper()
	dir := t.TempDir()
	properties := filepath.Join(dir, "client.properties")
	write(t, properties, "bootstrap.servers="+s.kafka.Brokers+"\nsession.timeout.ms=6000\n")
	columns := "{id: id, version: version, customer: customer, amount: amount, src_partition: {from: partition}, src_offset: {from: offset}}"
	key, create := "", "false"
	if s.mode == "upsert" {
		columns = "{id: {path: id, type: bigint not null}, version: {path: version, type: int}, customer: {path: customer, type: varchar(16)}, amount: {path: amount, type: 'decimal(12,2)'}, src_partition: {from: partition, type: int}, src_offset: {from: offset, type: bigint}}"
		key, create = "key: [id]", "true"
	}
	file := filepath.Join(dir, "orders.yaml")
	write(t, file, fmt.Sprintf(`name: orders-to-sql
kafka: {properties: %s}
source: {topics: [%s], group: %s, ordering: partition, start: earliest}
decode: json
sink:
  sql:
    dsn: ${DATABASE_URL}
    table: orders
    mode: %s
    %s
    columns: %s
    create: %s
retry: {attempts: 5, backoff: 100ms, max_backoff: 10s}
dead_letter: {topic: %s}
commit: {interval: 500ms}
`, properties, s.topic, s.group, s.mode, key, columns, create, s.dead))
	t.Setenv("DATABASE_URL", url)
	return file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run breaks processes in turn, at least a fifth of the orders so far unread each time, and checks what came of it. The
// shares grow so that each burst is well over a fifth of all before it.
func (s *scenario) run(t *testing.T) {
	a, b, c := start(t, "a", s.file), start(t, "b", s.file), start(t, "c", s.file)
	for _, p := range []*process{a, b, c} {
		until(t, 60*time.Second, p.name+" owns partitions", func() bool {
			h, err := p.snapshot()
			return err == nil && len(h.Partitions) > 0
		})
	}
	stopWatching := s.watchVersions(t)

	s.produceTo(t, 0.08, func() { c.signal(t, syscall.SIGKILL) })
	t.Logf("c was killed by SIGKILL: %v", <-c.ended)

	var zombie frozen
	s.produceTo(t, 0.20, func() { zombie = s.freeze(t, b) })
	s.awaitTakeover(t, zombie)

	s.produceTo(t, 0.38, func() { b.signal(t, syscall.SIGCONT) })
	s.awaitReturn(t, b, zombie)

	var d *process
	s.produceTo(t, 0.62, func() { d = start(t, "d", s.file) })

	s.produceTo(t, 1.00, func() { a.interrupt(t) })

	until(t, 3*time.Minute, "the group has committed everything", func() bool { return s.lag(t) == 0 })
	s.checkLag(t)
	stopWatching()
	b.interrupt(t)
	d.interrupt(t)
	s.checkRows(t)
	s.checkDeadLetters(t)
}

// produceTo produces up to a share of the orders, and breaks something at the moment when at least a fifth of all of them
// is unread: most of them lie in one transaction, which nobody can read before its end.
func (s *scenario) produceTo(t *testing.T, share float64, fault func()) {
	t.Helper()
	burst := int(share*float64(s.orders.total)) - s.orders.sent
	if err := s.orders.produce(t.Context(), burst/8, false, nil); err != nil {
		t.Fatal(err)
	}
	err := s.orders.produce(t.Context(), burst-burst/8, true, func() {
		produced, unread := s.orders.end(), s.orders.end()
		for _, p := range s.positions(t) {
			unread -= p.offset
		}
		if 5*unread < produced {
			t.Fatalf("%d of %d are unread, less than a fifth: the fault would prove little", unread, produced)
		}
		t.Logf("%d of %d unread", unread, produced)
		fault()
	})
	if err != nil {
		t.Fatal(err)
	}
}

// position is a row of sluice_offsets.
type position struct {
	offset int64
	owner  string
}

// positions reads what the database says is done. A connection may have died with a server that was restarted.
func (s *scenario) positions(t *testing.T) map[int32]position {
	t.Helper()
	var at map[int32]position
	until(t, 20*time.Second, "the database tells its offsets", func() bool {
		var err error
		at, err = s.readPositions(t.Context())
		return err == nil
	})
	return at
}

func (s *scenario) readPositions(ctx context.Context) (map[int32]position, error) {
	rows, err := s.db.QueryContext(ctx, "select partition_id, next_offset, owner from sluice_offsets")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	at := make(map[int32]position)
	for rows.Next() {
		var p int32
		var x position
		if err := rows.Scan(&p, &x.offset, &x.owner); err != nil {
			return nil, err
		}
		at[p] = x
	}
	return at, rows.Err()
}

// frozen is a process that was stopped in the middle of its work, and what it owned.
type frozen struct {
	name     string
	snapshot sluice.Snapshot
	before   map[int32]position
}

// freeze stops a process in the middle of its work (SIGSTOP), and proves that it holds unfinished records.
func (s *scenario) freeze(t *testing.T, p *process) frozen {
	t.Helper()
	var h sluice.Snapshot
	until(t, 30*time.Second, p.name+" holds records", func() bool {
		var err error
		h, err = p.snapshot()
		held := 0
		for _, x := range h.Partitions {
			held += x.Queued + x.Running
		}
		return err == nil && held > 1000
	})
	p.signal(t, syscall.SIGSTOP)
	f := frozen{name: p.name, snapshot: h, before: s.positions(t)}
	unfinished := int64(0)
	for _, x := range h.Partitions {
		unfinished += max(0, x.Position-f.before[x.Partition].offset)
	}
	if unfinished == 0 {
		t.Fatalf("%s held no unfinished records when it was frozen", p.name)
	}
	t.Logf("%s was frozen with %d unfinished records of %d partitions", p.name, unfinished, len(h.Partitions))
	return f
}

// awaitTakeover waits until the others have claimed the frozen process' partitions: its session is over then.
func (s *scenario) awaitTakeover(t *testing.T, f frozen) {
	t.Helper()
	until(t, 90*time.Second, "the others own the partitions of "+f.name, func() bool {
		now := s.positions(t)
		for _, x := range f.snapshot.Partitions {
			if now[x.Partition].owner == f.before[x.Partition].owner {
				return false
			}
		}
		return true
	})
}

// awaitReturn waits until a thawed process, a zombie with unfinished records of others' partitions, works as a member again.
func (s *scenario) awaitReturn(t *testing.T, p *process, f frozen) {
	t.Helper()
	var last uint64
	for _, x := range f.snapshot.Partitions {
		last = max(last, x.Epoch)
	}
	until(t, 60*time.Second, p.name+" owns partitions again", func() bool {
		h, err := p.snapshot()
		if err != nil {
			return false
		}
		for _, x := range h.Partitions {
			if x.State == "open" && x.Epoch > last {
				return true
			}
		}
		return false
	})
}

// lag is what the group has not committed, up to the last stable offsets.
func (s *scenario) lag(t *testing.T) int64 {
	t.Helper()
	ends, err := s.admin.ListCommittedOffsets(t.Context(), s.topic)
	if err != nil {
		t.Fatal(err)
	}
	commits, err := s.admin.FetchOffsets(t.Context(), s.group)
	if err != nil {
		t.Fatal(err)
	}
	var lag int64
	ends.Each(func(o kadm.ListedOffset) {
		c, _ := commits.Lookup(s.topic, o.Partition)
		lag += o.Offset - c.At
	})
	return lag
}

// checkLag asks Kafka's own tool.
func (s *scenario) checkLag(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := s.kafka.Tool(ctx, "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
		"--bootstrap-server", s.kafka.Brokers, "--describe", "--group", s.group)
	if err != nil {
		t.Fatalf("kafka-consumer-groups: %v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) > 5 && f[0] == s.group {
			seen++
			if f[5] != "0" {
				t.Fatalf("kafka-consumer-groups shows lag %s:\n%s", f[5], out)
			}
		}
	}
	if seen != partitions {
		t.Fatalf("kafka-consumer-groups shows %d partitions, want %d:\n%s", seen, partitions, out)
	}
}
