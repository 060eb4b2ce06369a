package cli

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

var noConfig sluice.Config

const ordersFile = `
name: orders-to-sql
kafka: {brokers: ["%s"]}
source: {topics: [orders]}
decode: json
sink:
  sql:
    dsn: sqlite:%s
    table: orders
    mode: upsert
    tombstone: delete
    key: [id]
    columns: {id: {from: key, type: bigint}, user: user, amount: {path: amount, type: text}, big: {path: big, type: bigint}}
    create: true
dead_letter: {topic: orders.dlq}
commit: {interval: 20ms}
`

// orders makes a cluster with the topics and a pipeline file on it.
func orders(t *testing.T) (file, address, database string) {
	t.Helper()
	_, address = cluster(t, kafka.NewTopic{Name: "orders", Partitions: 3}, kafka.NewTopic{Name: "orders.dlq", Partitions: 1})
	database = filepath.Join(t.TempDir(), "orders.db")
	return write(t, "orders.yaml", fmt.Sprintf(ordersFile, address, database)), address, database
}

func order(key, value string) *kgo.Record {
	r := &kgo.Record{Topic: "orders", Key: []byte(key)}
	if value != "" {
		r.Value = []byte(value)
	}
	return r
}

// rows returns what a query finds, a line each, sorted.
func rows(t *testing.T, database, query string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+database+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	found, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	var lines []string
	for found.Next() {
		columns, _ := found.Columns()
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := found.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i := range values {
			values[i] = *values[i].(*any)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintln(values...)))
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

type summary struct {
	Records      int64   `json:"records"`
	Rows         int64   `json:"rows"`
	Skipped      int64   `json:"skipped"`
	DeadLettered int64   `json:"dead_lettered"`
	Seconds      float64 `json:"seconds"`
	PerSecond    float64 `json:"records_per_second"`
}

func summaryOf(t *testing.T, r *run) summary {
	t.Helper()
	return lineOf[summary](t, r)
}

// lineOf reads the one line of JSON that a command printed.
func lineOf[V any](t *testing.T, r *run) V {
	t.Helper()
	var s V
	decoder := json.NewDecoder(strings.NewReader(r.stdout.String()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("stdout is not one line of JSON: %v\n%s", err, r.stdout)
	}
	if n := strings.Count(r.stdout.String(), "\n"); n != 1 {
		t.Errorf("%d lines on stdout, want 1", n)
	}
	return s
}

// Everything lands once, numbers keep their digits, poison goes to the dead letters, and a second run adds nothing.
func TestRunUntilCaughtUp(t *testing.T) {
	t.Parallel()
	file, address, database := orders(t)
	send(t, address,
		order("1", `{"user":"a","amount":1.10,"big":9007199254740993}`), order("2", `{"user":"b","amount":2.50}`),
		order("3", `{"user":`), order("4", `{"user":"d","amount":true}`), order("5", `{"user":"e"}`), order("5", ""),
		order("1", `{"user":"A","amount":1.20,"big":-1}`))

	first := summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up"))
	if first.Records != 7 || first.DeadLettered != 1 || first.Rows < 3 {
		t.Errorf("the summary is %+v", first)
	}
	want := []string{"1 A 1.20 -1", "2 b 2.50 <nil>", "4 d 1 <nil>"}
	if got := rows(t, database, "select * from orders"); !slices.Equal(got, want) {
		t.Errorf("the table holds %q, want %q", got, want)
	}
	dead := execute(t, ExitDone, "consume", "-b", address, "-t", "orders.dlq", "-e", "-k", "|").stdout.String()
	if want := "3|{\"user\":\n"; dead != want {
		t.Errorf("the dead letters are %q, want %q", dead, want)
	}

	second := summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up"))
	if second.Records != 0 || second.Rows != 0 {
		t.Errorf("the second run did something: %+v", second)
	}
	if got := rows(t, database, "select * from orders"); !slices.Equal(got, want) {
		t.Errorf("after a second run the table holds %q, want %q", got, want)
	}
}

// An empty topic is caught up at once.
func TestRunNothing(t *testing.T) {
	t.Parallel()
	file, _, _ := orders(t)
	if s := summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up")); s.Records != 0 {
		t.Errorf("the summary is %+v", s)
	}
}

// The first signal drains and ends with 0 and a summary.
func TestRunIsStopped(t *testing.T) {
	t.Parallel()
	file, address, database := orders(t)
	send(t, address, order("1", `{"user":"a"}`))
	r := start(t, nil, "run", file)
	waitUntil(t, func() bool {
		_, err := os.Stat(database)
		return err == nil && strings.Contains(r.stderr.String(), "running") && len(rowsOrNone(database)) == 1
	})
	r.stop()
	r.ends(t, ExitDone)
	if s := summaryOf(t, r); s.Records != 1 || s.Rows != 1 {
		t.Errorf("the summary is %+v", s)
	}
}

func rowsOrNone(database string) []int64 {
	db, err := sql.Open("sqlite", "file:"+database+"?mode=ro")
	if err != nil {
		return nil
	}
	defer func() { _ = db.Close() }()
	var n int64
	if db.QueryRow("select 1 from orders").Scan(&n) != nil {
		return nil
	}
	return []int64{n}
}

// waitUntil looks again and again.
func waitUntil(t *testing.T, good func() bool) {
	t.Helper()
	limit, ticker := time.After(patience), time.NewTicker(10*time.Millisecond)
	defer ticker.Stop()
	for !good() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatal("it did not come true")
		}
	}
}

// --check changes nothing: no file, no topic, no group, no table.
func TestCheckChangesNothing(t *testing.T) {
	t.Parallel()
	file, address, database := orders(t)
	send(t, address, order("1", `{"user":"a"}`))
	r := execute(t, ExitDone, "run", file, "--check")
	got := r.stdout.String()
	if strings.Count(got, "ok: ") != 3 || !strings.Contains(got, "would create "+database+", sluice_offsets, orders") {
		t.Errorf("it says:\n%s", got)
	}
	if _, err := os.Stat(database); err == nil {
		t.Error("the database file was made")
	}

	db, err := sql.Open("sqlite", "file:"+database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `create table orders (id bigint, user text, amount text)`); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	before, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	bad := execute(t, ExitFailed, "run", file, "--check")
	if got := bad.stderr.String(); !strings.Contains(got, "it has no column big") || strings.Contains(got, "sluice_offsets") {
		t.Errorf("it says:\n%s", got)
	}
	if after, err := os.ReadFile(database); err != nil || !slices.Equal(before, after) {
		t.Errorf("the database file was changed: %v", err)
	}
	if _, err := os.Stat(database + "-wal"); err == nil {
		t.Error("a journal was made")
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	groups, err := admin.ListGroups(t.Context())
	if err != nil || len(groups) != 0 {
		t.Errorf("groups were made: %v, %v", groups.Groups(), err)
	}
	topics, err := admin.ListTopics(t.Context())
	if err != nil || len(topics) != 2 {
		t.Errorf("topics were made: %v, %v", topics.Names(), err)
	}
}

// Health and metrics are served on the loopback address, and say when the app is ready.
func TestRunListens(t *testing.T) {
	t.Parallel()
	file, address, _ := orders(t)
	send(t, address, order("1", `{"user":"a"}`))
	r := start(t, nil, "run", file, "--listen", "0")
	line := r.stderr.waitFor(t, "msg=listening address=")
	base, _, _ := strings.Cut(line, " ")
	if !strings.HasPrefix(base, "127.0.0.1:") {
		t.Fatalf("it listens on %s", base)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		answer, err := client.Get("http://" + base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(body)
	}
	waitUntil(t, func() bool { code, _ := get("/readyz"); return code == http.StatusOK })
	finished := regexp.MustCompile(`(?m)^sluice_records_finished_total\{group="[^"]+",topic="orders"\} 1$`)
	waitUntil(t, func() bool {
		_, body := get("/metrics")
		return finished.MatchString(body)
	})
	if code, body := get("/livez"); code != http.StatusOK || !strings.Contains(body, `"live":true`) {
		t.Errorf("/livez says %d %s", code, body)
	}
	if code, body := get("/snapshot.json"); code != http.StatusOK || !strings.Contains(body, `"topic":"orders","partition":0,`) ||
		!strings.Contains(body, `"routes":[{"topics":["orders"],"ordering":"partition",`) {
		t.Errorf("/snapshot.json says %d %s", code, body)
	}
	r.stop()
	r.ends(t, ExitDone)
}
