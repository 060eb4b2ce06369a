// Package examples runs the programs below /examples on the real servers, as a reader would.
package examples

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

var programs string // the folder that they are built into

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-examples-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs = dir
	defer servers.Stop()
	build := exec.Command("go", "build", "-tags", "synctests", "-o", dir+"/", "github.com/sluice-go/sluice/examples/...")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// program is one run of an example.
type program struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(filepath.Join(programs, name), args...)}
	p.cmd.Env = append(append(os.Environ(), "KAFKA_BROKERS="+servers.Kafka(t).Brokers), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("%s\n%s\n%s", strings.Join(p.cmd.Args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// end waits for a clean end, and returns what the program printed.
func (p *program) end(t *testing.T) string {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("%s: %v", p.cmd.Args[0], err)
	}
	return p.stdout.String()
}

// numbers returns the groups of the expression, which must match.
func numbers(t *testing.T, text, expression string) []float64 {
	t.Helper()
	m := regexp.MustCompile(expression).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q does not say %s", text, expression)
	}
	out := make([]float64, len(m)-1)
	for i, s := range m[1:] {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = n
	}
	return out
}

func admin(t *testing.T) *kadm.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers.Kafka(t).Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// newTopic makes a topic of this test's own, and waits until it can be used.
func newTopic(t *testing.T, adm *kadm.Client, name string) string {
	t.Helper()
	name = fmt.Sprintf("%s-%s-%d", strings.ToLower(t.Name()), name, os.Getpid())
	if _, err := adm.CreateTopic(t.Context(), 6, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	until(t, "topic "+name, func(ctx context.Context) bool {
		md, err := adm.Metadata(ctx, name)
		if err != nil || md.Topics[name].Err != nil {
			return false
		}
		for _, p := range md.Topics[name].Partitions {
			if p.Err != nil || p.Leader < 0 {
				return false
			}
		}
		return len(md.Topics[name].Partitions) == 6
	})
	return name
}

func until(t *testing.T, what string, ok func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited a minute for: %s", what)
		case <-tick.C:
		}
	}
}

// fill writes orders with the example that does so.
func fill(t *testing.T, topic string, n int) {
	t.Helper()
	out := start(t, nil, "producer", "-topic", topic, "-n", strconv.Itoa(n)).end(t)
	if want := fmt.Sprintf("%d delivered, 0 failed\n", n); out != want {
		t.Fatalf("producer printed %q, want %q", out, want)
	}
}

func committed(ctx context.Context, adm *kadm.Client, group, topic string) int64 {
	offsets, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return -1
	}
	var sum int64
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic {
			sum += max(0, o.At)
		}
	})
	return sum
}

func TestProducerAndConsumerGroup(t *testing.T) {
	adm := admin(t)
	topic := newTopic(t, adm, "orders")
	const n = 20_000
	fill(t, topic, n)
	group := topic + "-billing"
	one := start(t, nil, "consumer", "-topic", topic, "-group", group)
	two := start(t, nil, "consumer", "-topic", topic, "-group", group)
	until(t, "all is committed", func(ctx context.Context) bool { return committed(ctx, adm, group, topic) == n })
	var orders, total float64
	for _, p := range []*program{one, two} {
		began := time.Now()
		if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		got := numbers(t, p.end(t), `(\d+) orders, (\d+) in all`)
		orders, total = orders+got[0], total+got[1]
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %v to end after SIGINT", took)
		}
	}
	var sum float64
	for i := range n {
		sum += float64(i%500 + 1)
	}
	if orders != n || total != sum {
		t.Errorf("%v orders with %v in all, want %d with %v: a clean stop repeats and loses nothing", orders, total, n, sum)
	}
	// The signal comes while the producer works: what it enqueued is delivered, and it says how much.
	p := start(t, nil, "producer", "-topic", topic, "-n", "-1")
	until(t, "some more orders", func(ctx context.Context) bool { return end(ctx, adm, topic) > n+1000 })
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	got := numbers(t, p.end(t), `(\d+) delivered, 0 failed`)
	if more := end(t.Context(), adm, topic) - n; float64(more) != got[0] {
		t.Errorf("it says %v delivered, and the topic has %d more", got[0], more)
	}
}

// end is how many records a topic has.
func end(ctx context.Context, adm *kadm.Client, topic string) int64 {
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err != nil {
		return -1
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

func TestMySQL(t *testing.T) {
	database := servers.MariaDB(t).Database(t)
	topic := newTopic(t, admin(t), "orders")
	fill(t, topic, 600)
	out := start(t, []string{"MYSQL_DSN=" + database.DSN}, "mysql", "-topic", topic, "-n", "600").end(t)
	for _, way := range []string{"after each record", "after every third", "after every hundredth", "every second", "sqlsink, exactly once"} {
		got := numbers(t, out, way+`: +(\d+) orders in +([\d.]+) s, +(\d+) commits of ([\d.]+)`)
		if got[0] != 600 || got[1] <= 0 || got[3] < 0 {
			t.Errorf("%s: %v", way, got)
		}
	}
	each, third := numbers(t, out, `each record:.* (\d+) commits`)[0], numbers(t, out, `third:.* (\d+) commits`)[0]
	if each < 100 || third > each {
		t.Errorf("%v commits after each record, %v after every third", each, third)
	}
	db := database.Open(t)
	rows, err := db.QueryContext(t.Context(), "select way, count(*), count(distinct id) from example_orders group by way")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	ways := 0
	for rows.Next() {
		var way string
		var all, distinct int
		if err := rows.Scan(&way, &all, &distinct); err != nil {
			t.Fatal(err)
		}
		if ways++; all != 600 || distinct != 600 {
			t.Errorf("%s: %d rows, %d of them different", way, all, distinct)
		}
	}
	if err := rows.Err(); err != nil || ways != 5 {
		t.Errorf("%d ways have rows: %v", ways, err)
	}
}

func TestHTTP(t *testing.T) {
	adm := admin(t)
	topic, dead := newTopic(t, adm, "orders"), newTopic(t, adm, "dlq")
	fill(t, topic, 2000)
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers.Kafka(t).Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	poison := &kgo.Record{Topic: topic, Key: []byte("customer-5"), Value: []byte(`{"id":1000000,"customer":"customer-5","amount":0}`)}
	if err := cl.ProduceSync(t.Context(), poison).FirstErr(); err != nil {
		t.Fatal(err)
	}
	out := start(t, nil, "http", "-topic", topic, "-dead", dead, "-group", topic+"-charging", "-n", "2001").end(t)
	got := numbers(t, out, `(\d+) orders in ([\d.]+) s: (\d+) charged, (\d+) dead letters; (\d+) calls failed`)
	order := numbers(t, out, `up to (\d+) calls at once, (\d+) out of order`)
	retried := float64(2000/97 + 1) // the service refuses the first call for each 97th order
	if got[0] != 2001 || got[2] != 2000 || got[3] != 1 || got[4] != retried+1 || order[1] != 0 {
		t.Errorf("%q: want 2001 orders, 2000 charged, 1 dead letter, %v failed calls, none out of order", out, retried+1)
	}
	if order[0] <= 6 || order[0] > 64 {
		t.Errorf("up to %v calls at once; there are 6 partitions and 64 workers", order[0])
	}
	if n := end(t.Context(), adm, dead); n != 1 {
		t.Errorf("%d dead letters in the topic", n)
	}
}

func TestLongPolling(t *testing.T) {
	topic := newTopic(t, admin(t), "ticks")
	out := start(t, nil, "longpolling", "-topic", topic, "-time", "5s").end(t)
	soon := numbers(t, out, `anything: +(\d+) records in +(\d+) fetches, +([\d.]+) records`)
	later := numbers(t, out, `500 ms: +(\d+) records in +(\d+) fetches, +([\d.]+) records`)
	if soon[0] == 0 || later[0] == 0 || later[1]*2 > soon[1] {
		t.Errorf("%q: the second way should need less than half of the fetches", out)
	}
}
