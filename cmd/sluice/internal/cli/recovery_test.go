package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

const insertFile = `
name: recovery
kafka: {brokers: ["%s"]}
source: {topics: [orders]}
decode: raw
sink:
  sql:
    dsn: sqlite:%s
    table: orders
    mode: insert
    columns: {v: .}
    create: true
dead_letter: {topic: orders.dlq}
commit: {interval: 20ms}
`

func recovery(t *testing.T) (file, address, database string) {
	t.Helper()
	_, address = cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1}, kafka.NewTopic{Name: "orders.dlq", Partitions: 1})
	database = filepath.Join(t.TempDir(), "o.db")
	return write(t, "o.yaml", fmt.Sprintf(insertFile, address, database)), address, database
}

func demandRows(t *testing.T, database string, want ...string) {
	t.Helper()
	if got := rows(t, database, "select v from orders order by v"); !slices.Equal(got, want) {
		t.Fatalf("rows %v, want %v", got, want)
	}
}

// The group's commits in Kafka say that all is read; the database, which is the authority, has gone back.
func TestCaughtUpMeansTheDatabase(t *testing.T) {
	file, address, database := recovery(t)
	send(t, address, order("1", "a"), order("2", "b"))
	execute(t, ExitDone, "run", file, "--until-caught-up")
	backup, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	send(t, address, order("3", "c"), order("4", "d"))
	execute(t, ExitDone, "run", file, "--until-caught-up")
	demandRows(t, database, "a", "b", "c", "d")

	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(database + suffix) // there may be none
	}
	if err := os.WriteFile(database, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, ExitDone, "run", file, "--until-caught-up")
	demandRows(t, database, "a", "b", "c", "d")
}

// The marker of a transaction lies behind its last record, and all that is left of an aborted one is its marker. When retention
// takes everything up to there, nothing was lost.
func TestRetentionBehindAMarkerLosesNothing(t *testing.T) {
	for name, end := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		t.Run(name, func(t *testing.T) {
			file, address, database := recovery(t)
			client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("x"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			if err := client.ProduceSync(t.Context(), order("1", "a"), order("2", "b")).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(t.Context(), end); err != nil {
				t.Fatal(err)
			}
			want := []string{"a", "b", "c"}
			if end == kgo.TryAbort {
				want = []string{"c"}
			}
			execute(t, ExitDone, "run", file, "--until-caught-up")
			if got := rows(t, database, "select next_offset from sluice_offsets"); !slices.Equal(got, []string{"3"}) {
				t.Fatalf("the database is at %v, want 3: two records and their marker", got)
			}
			var offsets kadm.Offsets
			offsets.AddOffset("orders", 0, 3, -1)
			if _, err := kadm.NewClient(client).DeleteRecords(t.Context(), offsets); err != nil {
				t.Fatal(err)
			}
			send(t, address, order("3", "c"))
			execute(t, ExitDone, "run", file, "--until-caught-up")
			demandRows(t, database, want...)
		})
	}
}

// A partition that waits for a person does not keep the command waiting: here the database has lost its offsets.
func TestCaughtUpEndsWhenAPartitionStandsStill(t *testing.T) {
	file, address, database := recovery(t)
	send(t, address, order("1", "a"))
	execute(t, ExitDone, "run", file, "--until-caught-up")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(database + suffix) // there may be none
	}
	stderr := execute(t, ExitFailed, "run", file, "--until-caught-up").stderr.String()
	if !strings.Contains(stderr, "the group cannot catch up: orders[0] stands still") {
		t.Fatalf("it said:\n%s", stderr)
	}
}
