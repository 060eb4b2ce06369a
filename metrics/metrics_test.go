package metrics

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sluice-go/sluice"
)

var update = flag.Bool("update", false, "write the golden file anew")

type fakeApp struct {
	stats    sluice.Stats
	health   sluice.Health
	snapshot sluice.Snapshot
}

func (f fakeApp) Stats() sluice.Stats       { return f.stats }
func (f fakeApp) Health() sluice.Health     { return f.health }
func (f fakeApp) Snapshot() sluice.Snapshot { return f.snapshot }

var someApp = fakeApp{
	stats: sluice.Stats{
		Polled: 1, Finished: 2, Failed: 3, Delayed: 15, DeadLettered: 4, Dropped: 5, Skipped: 6, Commits: 7, CommitsFailed: 8, Rebalances: 9,
		DataLosses: 10, Reclaims: 11, Outages: 14, Stuck: 16, BufferedBytes: 12, Buffered: 13,
	},
	health: sluice.Health{Live: true},
	snapshot: sluice.Snapshot{Partitions: []sluice.PartitionSnapshot{
		{Topic: "orders", Partition: 0, Frontier: 90, Committed: 80, LogEnd: 100, Queued: 5, Parked: 1, State: "open"},
		{Topic: "orders", Partition: 1, Frontier: 0, Committed: -1, LogEnd: -1, State: "halted"},
	}},
}

// Names, labels and help are what dashboards and alerts are built on: they change with the golden file only.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const file = "testdata/metrics.golden"
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(someApp))
	if *update {
		page := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if err := os.WriteFile(file, page.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, bytes.NewReader(want)); err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
