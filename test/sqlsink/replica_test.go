package sqlsink_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/test/servers"
)

// The server dies, and its asynchronous replica takes over without the last transactions. What was committed to Kafka is ahead of the
// database then; the members go on where the database is, and the replica ends with every record, once.
func TestFailOverToAReplicaThatLags(t *testing.T) {
	const members, partitions = 4, 12
	pair := servers.MariaDBPair(t)
	d := pair.Primary.Database(t)
	direct := d.Open(t)
	dialect := sqlsink.MySQL(mysqlNumber)
	if err := ledger(t, direct, dialect, sqlsink.Limits{}).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, dialect, partitions)
	w := newWire(t, d)
	crew := make([]*sailor, members)
	for i := range crew {
		crew[i] = f.join(d, w)
	}
	f.produce(6_000)
	f.untilWritten(direct)

	replica := pair.Copy(t, d)
	copied := replica.Open(t)
	f.until("the replica has it", func() bool { return f.written(copied) == f.produced })
	pair.Lag(t)
	before := f.produced
	f.produce(6_000)
	f.until("the primary is ahead", func() bool { return f.written(direct) > before+3_000 })
	pair.Primary.Kill(t)
	w.lead(t, replica) // read-only as yet: an outage, nobody's fault
	f.until("a member is refused", func() bool {
		return slices.ContainsFunc(crew, func(m *sailor) bool { return strings.Contains(strings.Join(m.Health().Problems, " "), "read-only") })
	})
	pair.Promote(t)
	f.produce(6_000)
	f.untilWritten(copied)
	var reclaims int64
	for _, m := range crew {
		f.leave(m)
		reclaims += m.sink.Stats().Reclaims
	}
	if reclaims == 0 {
		t.Error("no partition went back, so the replica did not lag")
	}
	wantEachOnce(t, copied, f.produced)
}
