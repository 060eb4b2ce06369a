package e2e

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/test/servers"
)

const (
	consumerGroups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	topicCommand   = "org.apache.kafka.tools.TopicCommand"
)

// Kafka's own tools and kcat work on the embedded broker.
func TestBrokerServesOtherTools(t *testing.T) {
	kafka := servers.Kafka(t) // for its tools
	c, broker := startBroker(t, "--topic", "orders:3", "--topic", "orders.dlq:1")
	dir := t.TempDir()
	lines := filepath.Join(dir, "orders.txt")
	write(t, lines, orderLines(0, 30))
	execute(t, 0, "produce", "-b", broker, "-t", "orders", "-k", "|", lines)
	file, env := settings{
		broker: broker, topic: "orders", group: "orders-to-sql", dead: "orders.dlq", url: "sqlite:" + filepath.Join(dir, "orders.db"),
		table: "orders", mode: "insert, create: true", columns: "id: id, amount: amount",
	}.write(t)
	run := launch(t, env, "run", file, "--until-caught-up")
	run.end(t, 0)
	if got := run.summary(t); got.Rows != 30 {
		t.Errorf("the summary is %+v", got)
	}

	tool := func(class string, args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := kafka.Tool(ctx, class, append([]string{"--bootstrap-server", broker}, args...)...)
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := tool(consumerGroups, "--list"); !slices.Contains(strings.Fields(out), "orders-to-sql") {
		t.Errorf("--list shows\n%s", out)
	}
	describe := func() (current, end, lag int) {
		out := tool(consumerGroups, "--describe", "--group", "orders-to-sql")
		for _, f := range table(out, "orders-to-sql") {
			current, end, lag = current+number(t, f[3]), end+number(t, f[4]), lag+number(t, f[5])
		}
		return current, end, lag
	}
	if current, end, lag := describe(); current != 30 || end != 30 || lag != 0 {
		t.Errorf("--describe shows %d of %d and lag %d", current, end, lag)
	}
	out := tool(consumerGroups, "--reset-offsets", "--to-earliest", "--all-topics", "--group", "orders-to-sql", "--execute")
	if got := table(out, "orders-to-sql"); len(got) != 3 {
		t.Errorf("--reset-offsets shows\n%s", out)
	}
	if current, end, lag := describe(); current != 0 || end != 30 || lag != 30 {
		t.Errorf("after --reset-offsets, --describe shows %d of %d and lag %d", current, end, lag)
	}
	out = tool(topicCommand, "--describe", "--topic", "orders")
	if strings.Count(out, "Partition: ") != 3 || !strings.Contains(out, "PartitionCount: 3") {
		t.Errorf("kafka-topics shows\n%s", out)
	}
	t.Run("kcat", func(t *testing.T) { checkKcat(t, broker) })
	c.interrupt(t, 0)
}

func checkKcat(t *testing.T, broker string) {
	program, err := exec.LookPath("kcat")
	if err != nil {
		unavailable(t, "kcat is not installed: run scripts/servers.sh")
	}
	kcat := func(stdin string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"-b", broker}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("kcat %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	if out := kcat("", "-L"); !strings.Contains(out, `topic "orders" with 3 partitions`) {
		t.Errorf("kcat -L shows\n%s", out)
	}
	kcat(orderLines(30, 40), "-P", "-t", "orders", "-K", "|")
	if out := kcat("", "-C", "-t", "orders", "-e", "-K", "|"); sorted(out) != sorted(orderLines(0, 40)) {
		t.Errorf("kcat -C shows\n%s", out)
	}
	out := kcat("", "-G", "others", "-X", "auto.offset.reset=earliest", "-e", "-K", "|", "orders")
	if sorted(out) != sorted(orderLines(0, 40)) {
		t.Errorf("kcat -G shows\n%s", out)
	}
}

// What produce delivers consume prints, on the real broker; Ctrl-C ends both, and produce says what it has delivered.
func TestProduceAndConsume(t *testing.T) {
	s := newScenario(t, servers.Kafka(t), servers.MariaDB(t).Database(t), "insert")
	broker := s.kafka.Brokers
	whole := filepath.Join(t.TempDir(), "orders.txt")
	write(t, whole, orderLines(0, 5000))
	said := execute(t, 0, "produce", "-b", broker, "-t", s.topic, "-k", "|", whole).stderr.String()
	if !strings.Contains(said, "5000 delivered") {
		t.Errorf("produce says %q", said)
	}

	endless := launch(t, nil, "consume", "-b", broker, "-t", s.topic, "-k", "|")
	until(t, time.Minute, "consume prints what is there", func() bool { return strings.Count(endless.stdout.String(), "\n") == 5000 })
	p := launch(t, nil, "produce", "-b", broker, "-t", s.topic, "-k", "|")
	if _, err := p.stdin.Write([]byte(orderLines(5000, 5010))); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "consume prints what comes", func() bool { return strings.Count(endless.stdout.String(), "\n") == 5010 })
	p.interrupt(t, 1) // the input has not ended
	if said := p.stderr.String(); !strings.Contains(said, "10 delivered") || !strings.Contains(said, "before the end of the input") {
		t.Errorf("produce, interrupted, says %q", said)
	}
	endless.interrupt(t, 0)
	if got := endless.stdout.String(); sorted(got) != sorted(orderLines(0, 5010)) {
		t.Errorf("consume printed %d bytes, which are not the orders", len(got))
	}
	got := execute(t, 0, "consume", "-b", broker, "-t", s.topic, "-k", "|", "-e").stdout.String()
	if sorted(got) != sorted(orderLines(0, 5010)) {
		t.Errorf("consume -e printed %d bytes, which are not the orders", len(got))
	}
	if got := execute(t, 0, "consume", "-b", broker, "-t", s.topic, "-n", "7").stdout.String(); strings.Count(got, "\n") != 7 {
		t.Errorf("consume -n 7 printed %q", got)
	}
}

// --check looks and changes nothing. --until-caught-up ends behind an aborted transaction, and a second run adds nothing.
func TestCheckThenUntilCaughtUpTwice(t *testing.T) {
	for _, db := range []struct {
		name   string
		server func(testing.TB) *servers.SQLServer
		schema string
	}{{"MariaDB", servers.MariaDB, "database()"}, {"PostgreSQL", servers.Postgres, "current_schema()"}} {
		t.Run(db.name, func(t *testing.T) {
			s := newScenario(t, servers.Kafka(t), db.server(t).Database(t), "upsert") // its table is made by the run
			s.produce(t, 3000)
			if err := s.orders.aborted(t.Context()); err != nil {
				t.Fatal(err)
			}
			tables := func() (n string) {
				count := "select count(*) from information_schema.tables where table_schema = " + db.schema
				if err := s.db.QueryRowContext(t.Context(), count).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			check := execute(t, 0, "run", s.file, "--check").stdout.String()
			if strings.Count(check, "ok: ") != 3 || !strings.Contains(check, "would create sluice_offsets, orders") {
				t.Errorf("--check printed\n%s", check)
			}
			groups, err := s.admin.ListGroups(t.Context())
			if _, joined := groups[s.group]; err != nil || joined || tables() != "0" || s.end(t, s.dead) != 0 {
				t.Errorf("--check changed something: %s tables, group made: %v, %v", tables(), joined, err)
			}
			first := execute(t, 0, "run", s.file, "--until-caught-up").summary(t)
			if first.Records != 3000 || first.Rows != 2998 || first.DeadLettered != 2 || first.Seconds <= 0 || first.PerSecond <= 0 {
				t.Errorf("the summary is %+v", first)
			}
			if left := s.lag(t); left != 0 {
				t.Errorf("%d offsets are not committed", left)
			}
			second := execute(t, 0, "run", s.file, "--until-caught-up").summary(t)
			if second.Records != 0 || second.Rows != 0 || second.DeadLettered != 0 {
				t.Errorf("the second summary is %+v", second)
			}
			s.checkRows(t)
			s.checkDeadLetters(t)
		})
	}
}

var demoCount = regexp.MustCompile(`^(\d+) produced, (\d+) rows, (\d+) dead-lettered, 0 lost, 0 duplicated\n$`)

// The demonstration works on real servers.
func TestDemoOnRealServers(t *testing.T) {
	for _, db := range []struct {
		name   string
		server func(testing.TB) *servers.SQLServer
	}{{"MariaDB", servers.MariaDB}, {"PostgreSQL", servers.Postgres}} {
		t.Run(db.name, func(t *testing.T) {
			kafka := servers.Kafka(t)
			c := execute(t, 0, "demo", "--brokers", kafka.Brokers, "--dsn", db.server(t).Database(t).URL, "--duration", "5s")
			m := demoCount.FindStringSubmatch(c.stdout.String())
			if m == nil {
				t.Fatalf("it printed %q", c.stdout.String())
			}
			produced, rows, dead := number(t, m[1]), number(t, m[2]), number(t, m[3])
			if produced < 5000 || rows+dead != produced || dead == 0 {
				t.Errorf("it counted %q", m[0])
			}
			t.Log(strings.TrimSpace(m[0]))
		})
	}
}

// startBroker runs the embedded broker, and returns its address.
func startBroker(t *testing.T, args ...string) (*command, string) {
	t.Helper()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	c := launch(t, nil, append([]string{"broker", "--listen", address}, args...)...)
	until(t, 20*time.Second, "the broker says that it listens, and for what it is good", func() bool {
		said := c.stderr.String()
		return strings.Contains(said, address) && strings.Contains(said, "for development only")
	})
	return c, address
}

// orderLines are orders, a line each, with keys.
func orderLines(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "key-%d|{\"id\":%d,\"amount\":\"%d.50\"}\n", i, i, i)
	}
	return b.String()
}

func sorted(lines string) string {
	all := strings.Split(strings.TrimSpace(lines), "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// table returns the fields of the lines that begin with a word.
func table(out, first string) (rows [][]string) {
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 0 && f[0] == first {
			rows = append(rows, f)
		}
	}
	return rows
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
