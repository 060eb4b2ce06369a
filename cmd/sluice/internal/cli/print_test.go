package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// printGolden compares what was printed with a file; -update writes it anew.
func printGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "print", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-update writes it anew)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// printFile is a pipeline whose database is not there.
func printFile(t *testing.T, address, source, sink, tail string) string {
	t.Helper()
	return write(t, "print.yaml", fmt.Sprintf("name: print\nkafka: {brokers: [%q]}\nsource: %s\ndecode: json\n"+
		"transform: {filter: value.status == 'paid', set: {total: value.qty * value.price}}\n"+
		"sink: {sql: {dsn: 'mysql://app:hunter2@%s/shop', table: orders, %s}}\n%s", address, source, closedPort(t), sink, tail))
}

const (
	upsertColumns = "mode: upsert, key: [id], tombstone: delete, " +
		"columns: {id: {from: key, type: bigint}, who: who, total: {from: set}, at: {from: timestamp}}"
	insertColumns = "mode: insert, tombstone: skip, columns: {id: id, blob: {path: who, type: blob}, total: {from: set}}"
)

func printed(offset int, key, value string) *kgo.Record {
	r := order(key, value)
	r.Timestamp = time.Date(2026, 1, 31, 8, 0, offset, 0, time.UTC)
	return r
}

func printRecords(t *testing.T, address string) {
	t.Helper()
	for i, r := range [][2]string{
		{"1", `{"id":9007199254740993,"status":"paid","who":"<Ann> & \"Bob\"","qty":3,"price":1.50}`},
		{"2", `{"id":2,"status":"open","qty":3,"price":1.50}`},
		{"3", `{"id":`},
		{"4", `{"id":4,"status":"paid","who":"s3cr3t","qty":"three","price":1.50}`},
		{"5", `{"id":5,"qty":1,"price":1}`},
		{"1", ""},
		{"6", `{"id":6,"status":"paid","qty":2,"price":2.0}`},
	} {
		send(t, address, printed(i, r[0], r[1]))
	}
}

// A dry run prints what would become of each record, with poison among them, and ends with 0; no database is needed.
func TestPrint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ source, sink, tail string }{
		"upsert.golden": {"{topics: [orders]}", upsertColumns, "dead_letter: {topic: orders.dlq}"},
		"insert.golden": {"{topics: [orders]}", insertColumns, ""}, // without a dead letter topic
		"time.golden":   {"{topics: [orders], start: '2026-01-31T08:00:06Z'}", insertColumns, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
			printRecords(t, address)
			r := execute(t, ExitDone, "run", printFile(t, address, c.source, c.sink, c.tail), "--print")
			printGolden(t, name, r.stdout.String())
			if got := r.stderr.String(); got != "" {
				t.Errorf("stderr says %q", got)
			}
		})
	}
}

// It changes nothing: no group, no topic, no file of a database, no dead letter; and so it prints the same again.
func TestPrintChangesNothing(t *testing.T) {
	t.Parallel()
	file, address, database := orders(t)
	send(t, address, order("1", `{"user":"a"}`), order("2", `{"user":`))
	first := execute(t, ExitDone, "run", file, "--print").stdout.String()
	if strings.Count(first, `"op":"upsert"`) != 1 || strings.Count(first, `"op":"dead_letter"`) != 1 {
		t.Fatalf("it printed %s", first)
	}
	if again := execute(t, ExitDone, "run", file, "--print").stdout.String(); len(again) != len(first) {
		t.Errorf("the second time it printed %s", again)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if groups, err := admin.ListGroups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups were made: %v, %v", groups.Groups(), err)
	}
	ends, err := admin.ListEndOffsets(t.Context(), "orders.dlq")
	if end, _ := ends.Lookup("orders.dlq", 0); err != nil || end.Offset != 0 {
		t.Errorf("there are %d dead letters, %v", end.Offset, err)
	}
	if _, err := os.Stat(database); err == nil {
		t.Error("the database file was made")
	}
}

// It ends after -n records, at the end of the topics, and at once where there is nothing.
func TestPrintEnds(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 3}, kafka.NewTopic{Name: "more", Partitions: 1})
	file := func(start string) string {
		return printFile(t, address, "{topics: [orders, more], start: "+start+"}", insertColumns, "")
	}
	if got := execute(t, ExitDone, "run", file("earliest"), "--print").stdout.String(); got != "" {
		t.Errorf("of nothing it printed %q", got)
	}
	var records []*kgo.Record
	for i := range 30 {
		records = append(records, order(fmt.Sprint(i), `{"id":1,"status":"paid","qty":1,"price":1}`))
	}
	send(t, address, records...)
	send(t, address, &kgo.Record{Topic: "more", Value: []byte(`{"id":1,"status":"paid","qty":1,"price":1}`)})
	for _, c := range []struct {
		start string
		args  []string
		want  int
	}{
		{"earliest", nil, 10}, {"earliest", []string{"-n", "3"}, 3}, {"earliest", []string{"-n", "100"}, 31},
		{"latest", []string{"-n", "100"}, 31}, {"latest", []string{"-n", "1"}, 1}, {"'2100-01-01T00:00:00Z'", nil, 0},
	} {
		out := execute(t, ExitDone, append([]string{"run", file(c.start), "--print"}, c.args...)...).stdout.String()
		if n := strings.Count(out, "\n"); n != c.want {
			t.Errorf("start %s, %v: %d lines, want %d:\n%s", c.start, c.args, n, c.want, out)
		}
		for line := range strings.Lines(out) {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
}

// Records of aborted transactions are not printed, and the markers that lie behind the last record keep it from nothing.
func TestPrintReadsWhatIsCommitted(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), order("1", `{"id":1,"status":"paid","qty":1,"price":1}`)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	file := printFile(t, address, "{topics: [orders]}", insertColumns, "")
	if got := execute(t, ExitDone, "run", file, "--print").stdout.String(); strings.Count(got, "\n") != 1 {
		t.Errorf("it printed %s", got)
	}
}

// What it cannot read ends with 1, and says why.
func TestPrintRefused(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "other", Partitions: 1})
	closed, silent := closedPort(t), silentListener(t)
	for _, c := range []struct{ address, want string }{
		{closed, "kafka: no broker can be reached: " + closed},
		{silent, silent + ": no answer within"},
		{address, "topic orders: there is no such topic"},
	} {
		file := printFile(t, c.address, "{topics: [orders, other]}", insertColumns, "")
		r := startWithin(t, time.Second, nil, "run", file, "--print")
		r.ends(t, ExitFailed)
		if got := r.stderr.String(); !strings.Contains(got, c.want) || strings.Contains(got, "hunter2") {
			t.Errorf("it says %s, want %s", got, c.want)
		}
	}
}

// A broker that is lost on the way ends it with 1; what was printed stays.
func TestPrintLosesItsBroker(t *testing.T) {
	t.Parallel()
	c, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	send(t, address, order("1", `{"id":1,"status":"paid","qty":1,"price":1}`))
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, errors.New("the broker is lost"), true
	})
	r := startWithin(t, time.Second, nil, "run", printFile(t, address, "{topics: [orders]}", insertColumns, ""), "--print")
	r.ends(t, ExitFailed)
	if want := "kafka: no record came for 1s; offsets left up to the end of the topics: 1"; !strings.Contains(r.stderr.String(), want) {
		t.Errorf("it says %s, want %s", r.stderr, want)
	}
}
