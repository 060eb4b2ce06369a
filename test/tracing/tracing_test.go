package tracing

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	_ "modernc.org/sqlite" // what the members write to

	"github.com/sluice-go/sluice/test/process"
	"github.com/sluice-go/sluice/test/servers"
)

const records = 5 // orders that are sent

// line is the three processes, which send their spans to one place.
type line struct {
	dir   string // with a database each
	bills string // the second topic
	roles map[string]*process.Process
}

// startLine has orders go through the three processes, each of which sends its spans to endpoint. The topics are new ones.
func startLine(t *testing.T, parent bool, protocol, endpoint string) *line {
	t.Helper()
	k := servers.Kafka(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	prefix := rand.Text() + "-"
	orders, bills := prefix+"orders", prefix+"bills"
	if _, err := kadm.NewClient(client).CreateTopics(t.Context(), 1, 1, nil, orders, bills); err != nil {
		t.Fatal(err)
	}
	l := &line{dir: t.TempDir(), bills: bills, roles: map[string]*process.Process{}}
	for _, role := range []string{"produce", "bill", "ship"} {
		p := &process.Process{
			Name: role, Log: filepath.Join(l.dir, role+".log"),
			Argv: []string{
				member, "-brokers", k.Brokers, "-orders", orders, "-bills", bills, "-database", l.database(role),
				"-parent=" + strconv.FormatBool(parent), "-records", strconv.Itoa(records), role,
			},
			Env: append(os.Environ(), "OTEL_SERVICE_NAME="+role, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint,
				"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_BSP_SCHEDULE_DELAY=100"),
		}
		l.roles[role] = p
		t.Cleanup(func() {
			p.Kill()
			if t.Failed() {
				t.Logf("%s said last:\n%s", role, p.Tail())
			}
		})
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *line) database(role string) string { return filepath.Join(l.dir, role+".db") }

// wrote is how many records a role says that it has written. Whoever asked the database would hold it up.
func (l *line) wrote(t *testing.T, role string) (n int) {
	t.Helper()
	log, err := os.ReadFile(l.roles[role].Log)
	if err != nil {
		t.Fatal(err)
	}
	for said := range strings.Lines(string(log)) {
		var more int
		if _, err := fmt.Sscanf(said, "wrote %d\n", &more); err == nil {
			n += more
		}
	}
	return n
}

// rows are how many rows a database has in a table.
func rows(t *testing.T, database, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "select count(*) from "+table).Scan(&n); err != nil {
		t.Error(err)
	}
	return n
}

// stop waits until all has gone through, and stops the consumers. All three have to end by themselves.
func (l *line) stop(t *testing.T) {
	t.Helper()
	until(t, "all is written", func() (string, bool) {
		orders, bills := l.wrote(t, "bill"), l.wrote(t, "ship")
		return fmt.Sprintf("%d orders, %d bills", orders, bills), orders == records && bills == records
	})
	until(t, "the producer has ended", func() (string, bool) { return "", !l.roles["produce"].Running() })
	for _, role := range []string{"bill", "ship"} {
		if !l.roles[role].StopWithin(process.StopTimeout) {
			t.Errorf("%s does not end", role)
		}
		if n := rows(t, l.database(role), "records"); n != records {
			t.Errorf("%s has written %d rows, want %d", role, n, records)
		}
	}
}

func until(t *testing.T, what string, ok func() (state string, done bool)) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		state, done := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for: %s: %s", what, state)
		}
		<-tick.C
	}
}

// From a request over the producer, the consumer with its database, and the second topic, all is connected: as one trace where process
// spans are children, and over links where they are not.
func TestOneTraceOverThreeProcesses(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for _, parent := range []bool{true, false} {
			t.Run(fmt.Sprintf("parent %v over %s", parent, protocol), func(t *testing.T) {
				t.Parallel()
				c := startCollector(t)
				endpoint := map[string]string{"grpc": c.grpc, "http/protobuf": c.http}[protocol]
				startLine(t, parent, protocol, "http://"+endpoint).stop(t)
				checkTraces(t, c.all(), parent)
			})
		}
	}
}

func checkTraces(t *testing.T, spans []span, parent bool) {
	t.Helper()
	const want = "bill: insert records, bill: process orders, bill: send bills, " +
		"produce: POST /orders, produce: send orders, ship: insert records, ship: process bills"
	requests := 0
	for _, root := range spans {
		if root.Name() != "POST /orders" {
			continue
		}
		requests++
		reached := from(root, spans)
		var ofPolls, handled []span
		for _, s := range reached {
			if strings.HasPrefix(s.Name(), "poll ") { // of many records: each a trace of its own, with links to senders
				ofPolls = append(ofPolls, s)
			} else {
				handled = append(handled, s)
			}
			if s.Status().Code() == ptrace.StatusCodeError {
				t.Errorf("%s of %s failed: %s", s.Name(), s.service, s.Status().Message())
			}
		}
		if got := names(handled); got != want {
			t.Errorf("a request leads to %s;\nwant %s", got, want)
		}
		if got := names(ofPolls); got != "bill: poll orders, ship: poll bills" {
			t.Errorf("a request is polled by %q", got)
		}
		traces := map[pcommon.TraceID]bool{}
		for _, s := range handled {
			traces[s.TraceID()] = true
		}
		if wantTraces := map[bool]int{true: 1, false: 3}[parent]; len(traces) != wantTraces {
			t.Errorf("a request makes %d traces, want %d", len(traces), wantTraces)
		}
		if parent && len(handled) != 7 {
			t.Errorf("a request has %d spans: %s", len(handled), names(handled))
		}
	}
	if requests != records {
		t.Errorf("%d requests, want %d", requests, records)
	}
	counts := map[string]int{}
	for _, s := range spans {
		counts[s.name()]++
		if s.name() == "send bills" && (s.Kind() != ptrace.SpanKindProducer || !strings.HasSuffix(s.attribute("messaging.destination.name"), "-bills") ||
			s.attribute("messaging.kafka.offset") == "") {
			t.Errorf("a send span says %v, %v", s.Kind(), s.Attributes().AsRaw())
		}
	}
	for name, want := range map[string]int{"send orders": records, "send bills": records, "insert records": 2 * records} {
		if counts[name] != want {
			t.Errorf("%d spans %q, want %d", counts[name], name, want)
		}
	}
	for _, name := range []string{"commit orders", "commit bills"} {
		if counts[name] == 0 {
			t.Errorf("no span %q", name)
		}
	}
}

const pipelineFile = `
name: program
kafka: {brokers: [%s]}
source: {topics: [%s], start: earliest}
decode: raw
sink:
  sql:
    dsn: sqlite:%s
    table: copies
    mode: insert
    columns:
      value: {from: value, type: text}
    create: true
`

// What sluice run sends, a real collector takes: its transactions are led to by the requests that sent the records.
func TestTheProgramsSpansReachACollector(t *testing.T) {
	t.Parallel()
	c := startCollector(t)
	endpoint := "http://" + c.http
	l := startLine(t, false, "http/protobuf", endpoint)
	l.stop(t)
	k := servers.Kafka(t)
	database, file := l.database("program"), filepath.Join(l.dir, "program.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, pipelineFile, k.Brokers, l.bills, database), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), program, "run", file, "--until-caught-up", "--otlp", endpoint)
	if out, err := run.CombinedOutput(); err != nil || strings.Contains(string(out), "spans_") {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := rows(t, database, "copies"); n != records {
		t.Errorf("%d rows, want %d", n, records)
	}
	spans, requests := c.all(), 0
	for _, root := range spans {
		if root.Name() != "POST /orders" {
			continue
		}
		requests++
		if got := names(from(root, spans)); !strings.Contains(got, "program: insert copies, ") || !strings.Contains(got, "program: process bills") {
			t.Errorf("a request leads to %s", got)
		}
	}
	if requests != records {
		t.Errorf("%d requests, want %d", requests, records)
	}
}

// A collector that takes connections and never answers holds up nobody: all is written, and every process ends in time.
func TestACollectorThatHangsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var taken atomic.Int64
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				var open []net.Conn
				for {
					conn, err := l.Accept()
					if err != nil {
						break
					}
					taken.Add(1)
					open = append(open, conn)
				}
				for _, conn := range open {
					_ = conn.Close()
				}
			}()
			t.Cleanup(func() {
				_ = l.Close()
				<-ended
			})
			began := time.Now()
			startLine(t, true, protocol, "http://"+l.Addr().String()).stop(t)
			t.Logf("took %v, and %d connections hang", time.Since(began).Round(time.Millisecond), taken.Load())
			if taken.Load() < 3 { // one of each process, or nothing was tried
				t.Errorf("the collector has %d connections", taken.Load())
			}
		})
	}
}
