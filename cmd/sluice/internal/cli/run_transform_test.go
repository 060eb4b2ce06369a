package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

const transformFile = `
name: orders-to-sql
kafka: {brokers: ["%s"]}
source: {topics: [orders]}
decode: json
transform:
  filter: value.status == "paid"
  set:
    total: value.quantity * value.price
    source: topic + "/" + headers["from"]
sink:
  sql:
    dsn: sqlite:%s
    table: orders
    mode: insert
    key: [id]
    columns:
      id: {path: id, type: bigint}
      price: {path: price, type: text}
      total: {from: set, type: text}
      source: {from: set, type: text}
    create: true
dead_letter: {topic: orders.dlq}
commit: {interval: 20ms}
`

// What the filter rejects makes no row and no dead letter, what cannot be computed is a dead letter, and every offset is
// stepped over once, whichever of them comes last.
func TestRunTransforms(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 2}, kafka.NewTopic{Name: "orders.dlq", Partitions: 1})
	database := filepath.Join(t.TempDir(), "orders.db")
	file := write(t, "orders.yaml", fmt.Sprintf(transformFile, address, database))
	var want []string
	var records []*kgo.Record
	var rejected, poison int64
	const all = 600
	for i := range all {
		value := fmt.Sprintf(`{"id":%d,"status":"paid","quantity":%d,"price":1.50}`, i, i)
		switch {
		case i%7 == 0:
			value = fmt.Sprintf(`{"id":%d,"status":"open"}`, i) // what set would stumble over does not count
			rejected++
		case i%50 == 1:
			value = fmt.Sprintf(`{"id":%d,"status":"paid","quantity":"%d","price":1.50}`, i, i)
			poison++
		case i%50 == 2:
			value = fmt.Sprintf(`{"id":%d,"quantity":1,"price":1.50}`, i)
			poison++
		default:
			total := fmt.Sprint(float64(i) * 1.5)
			want = append(want, fmt.Sprintf("%d 1.50 %s orders/shop", i, total))
		}
		r := order(fmt.Sprint(i), value)
		r.Headers = []kgo.RecordHeader{{Key: "from", Value: []byte("shop")}}
		records = append(records, r)
	}
	slices.Sort(want)
	send(t, address, records...)

	s := summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up"))
	if s.Records != all || s.Skipped != rejected || s.DeadLettered != poison || s.Rows != int64(len(want)) || s.Rows+s.Skipped+s.DeadLettered != all {
		t.Errorf("the summary is %+v, want %d records, %d rows, %d skipped, %d dead letters", s, all, len(want), rejected, poison)
	}
	if got := rows(t, database, "select id, price, total, source from orders"); !slices.Equal(got, want) {
		t.Errorf("the table holds %d rows, want %d:\n%q\n%q", len(got), len(want), got, want)
	}
	demandOffsets(t, database, all)

	// The last records of both partitions are rejected: their offsets count all the same.
	records = nil
	for i := range 20 {
		records = append(records, order(fmt.Sprint(i), `{"status":"open"}`))
	}
	send(t, address, records...)
	s = summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up"))
	if s.Records != 20 || s.Skipped != 20 || s.Rows != 0 || s.DeadLettered != 0 {
		t.Errorf("the summary of rejected records is %+v", s)
	}
	demandOffsets(t, database, all+20)
	if s = summaryOf(t, execute(t, ExitDone, "run", file, "--until-caught-up")); s.Records != 0 || s.Skipped != 0 {
		t.Errorf("the third run did something: %+v", s)
	}
	dead := execute(t, ExitDone, "consume", "-b", address, "-t", "orders.dlq", "-e").stdout.String()
	if n := int64(strings.Count(dead, "\n")); n != poison {
		t.Errorf("%d dead letters, want %d", n, poison)
	}
}

func demandOffsets(t *testing.T, database string, want int) {
	t.Helper()
	if got := rows(t, database, "select sum(next_offset) from sluice_offsets"); !slices.Equal(got, []string{fmt.Sprint(want)}) {
		t.Errorf("the offsets are at %v together, want %d", got, want)
	}
}
