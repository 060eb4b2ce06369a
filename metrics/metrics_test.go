package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice"
)

var update = flag.Bool("update", false, "write the golden file and the reference page anew")

// fakeApp says what it is told to.
type fakeApp struct{ scrape }

func (f fakeApp) Stats() sluice.Stats       { return f.stats }
func (f fakeApp) Health() sluice.Health     { return f.health }
func (f fakeApp) Snapshot() sluice.Snapshot { return f.snapshot }
func (f fakeApp) Totals() sluice.Totals     { return f.totals }
func (f fakeApp) Traffic() sluice.Traffic   { return f.traffic }

// someLengths is a distribution of 1 s, twice, and of 10 minutes.
func someLengths() sluice.Distribution {
	within := make([]int64, len(sluice.DistributionBounds()))
	within[slices.Index(sluice.DistributionBounds(), time.Second)] = 2
	return sluice.Distribution{Count: 3, Sum: 602 * time.Second, Within: within, Fine: map[int]int64{0: 2, 74: 1}}
}

func nothing() sluice.Distribution {
	return sluice.Distribution{Within: make([]int64, len(sluice.DistributionBounds())), Fine: map[int]int64{}}
}

var someApp = fakeApp{scrape{
	stats:  sluice.Stats{Commits: 3, CommitsFailed: 8, Reclaims: 11, Outages: 14, BufferedBytes: 12, Buffered: 13},
	health: sluice.Health{Live: true, Problems: []string{"one", "two"}},
	snapshot: sluice.Snapshot{
		Group: "billing", Protocol: sluice.ConsumerProtocol, BufferFull: true,
		Routes: []sluice.RouteSnapshot{
			{Topics: []string{"orders", "returns"}, Running: 1, Workers: 16, State: "working"},
			{Pattern: `eu\..*`, Running: 2, Workers: 2, State: "saturated", Outage: "since then"},
		},
		Partitions: []sluice.PartitionSnapshot{
			{
				Topic: "orders", Partition: 0, Frontier: 90, Committed: 80, LogEnd: 100, Ahead: 3, Queued: 5, Running: 2, Parked: 1, Bytes: 999,
				State: "open", TimeLag: 1500 * time.Millisecond, Stalled: "why",
			},
			{Topic: "orders", Partition: 1, Frontier: -1, Committed: -1, LogEnd: -1, TimeLag: -1, State: "starting"},
			{Topic: "returns", Partition: 0, Frontier: 5, Committed: 5, LogEnd: 5, State: "halted", Paused: "halted"},
			{Topic: "returns", Partition: 1, Frontier: 5, Committed: 5, LogEnd: 5, State: "open", Paused: "fetch error"},
		},
		Overruns: make([]sluice.Overrun, 4),
	},
	totals: sluice.Totals{
		Topics: []sluice.TopicTotals{
			{
				Topic: "orders", Polled: 1, PolledBytes: 2, Finished: 3, Restored: 4, Skipped: 5, Failed: map[string]int64{"error": 6, "panic": 7},
				Retried: 8, Delayed: 9, DeadLettered: 10, Dropped: 11, Stuck: 12, DataLosses: 13, Lost: 14, Handling: someLengths(),
			},
			{Topic: "returns", Failed: map[string]int64{"error": 0, "panic": 0}, Handling: nothing()},
		},
		Rebalances: map[string]int64{"assigned": 4, "revoked": 3, "lost": 2, "expelled": 1},
		Assigning:  someLengths(), Revoking: nothing(), Commits: someLengths(), LastCommit: time.UnixMilli(1_790_000_000_123),
	},
	traffic: sluice.Traffic{
		Requests: []sluice.RequestTraffic{
			{Kind: "Fetch", Count: 10, Failed: 1, Written: 1000, Read: 200_000, Took: 2500 * time.Millisecond}, {Kind: "OffsetCommit", Count: 3},
		},
		Fetched:  sluice.BatchTraffic{Batches: 20, Records: 400, Bytes: 190_000, Uncompressed: 400_000},
		Produced: sluice.BatchTraffic{Batches: 1, Records: 2, Bytes: 3, Uncompressed: 4},
		Connects: 5, ConnectsFailed: 1, Disconnects: 2, Throttled: 750 * time.Millisecond,
	},
}}

func registryOf(t *testing.T, cs ...prometheus.Collector) *prometheus.Registry {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range cs {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

// Names, labels and help are what dashboards and alerts are built on: they change with the golden file only.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const file = "testdata/metrics.golden"
	registry := registryOf(t, NewCollector(someApp), NewProducerCollector(someApp, "audit"))
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

func gathered(t *testing.T, registry *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*dto.MetricFamily{}
	for _, f := range families {
		out[f.GetName()] = f
	}
	return out
}

// Who asks for protobuf gets both forms of a histogram, and they agree.
func TestHistogramsComeInBothForms(t *testing.T) {
	t.Parallel()
	h := gathered(t, registryOf(t, NewCollector(someApp)))["sluice_process_duration_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 3 || h.GetSampleSum() != 602 || h.GetSchema() != 3 || h.GetCreatedTimestamp() != nil {
		t.Errorf("%v", h)
	}
	native := map[int32]int64{}
	at, count, next := int32(0), int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		at += span.GetOffset()
		for range span.GetLength() {
			count += h.GetPositiveDelta()[next]
			if next++; count > 0 {
				native[at] = count
			}
			at++
		}
	}
	if !maps.Equal(native, map[int32]int64{0: 2, 74: 1}) {
		t.Errorf("native buckets %v of %v", native, h)
	}
	for _, b := range h.GetBucket() {
		if want := map[bool]uint64{false: 0, true: 2}[b.GetUpperBound() >= 1]; b.GetCumulativeCount() != want {
			t.Errorf("up to %v s: %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if n := len(h.GetBucket()); n != len(sluice.DistributionBounds()) {
		t.Errorf("%d classic buckets", n)
	}
}

// An app that does not run yet can be scraped: collectors are registered before Run.
func TestAnAppThatDoesNotRunYet(t *testing.T) {
	t.Parallel()
	app, err := sluice.New(sluice.Config{Brokers: []string{"127.0.0.1:1"}, Group: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	families := gathered(t, registryOf(t, NewCollector(app)))
	if got := families["sluice_live"].GetMetric()[0].GetGauge().GetValue(); got != 1 {
		t.Errorf("live is %v", got)
	}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); len(l) == 0 || !slices.ContainsFunc(l, func(l *dto.LabelPair) bool {
				return l.GetName() == "group" && l.GetValue() == "billing"
			}) {
				t.Errorf("%s has the labels %v", name, l)
			}
		}
	}
}

// Apps of several groups, and producers, are registered side by side.
func TestCollectorsSideBySide(t *testing.T) {
	t.Parallel()
	other := someApp
	other.snapshot.Group = "shipping"
	families := gathered(t, registryOf(t, NewCollector(someApp), NewCollector(other), NewProducerCollector(someApp, "a"), NewProducerCollector(someApp, "b")))
	if n := len(families["sluice_live"].GetMetric()); n != 2 {
		t.Errorf("%d series of two apps", n)
	}
	if n := len(families["sluice_producer_connects_total"].GetMetric()); n != 2 {
		t.Errorf("%d series of two producers", n)
	}
}

// No name that a person can choose breaks a scrape or makes another series.
func TestNamesThatAreNoGoodLabels(t *testing.T) {
	t.Parallel()
	app := someApp
	app.snapshot.Group = "a\"b\\c\nd\xff<script>"
	app.snapshot.Routes = []sluice.RouteSnapshot{{Pattern: "\xff.*"}, {Topics: []string{`"}`, "\xfd"}}}
	app.snapshot.Partitions = []sluice.PartitionSnapshot{{Topic: "\xfc"}}
	app.totals.Topics = []sluice.TopicTotals{{Topic: "\xfb", Handling: nothing()}}
	page := httptest.NewRecorder()
	registry := registryOf(t, NewCollector(app), NewProducerCollector(app, "\xfe"))
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), `group="a\"b\\c\nd`+"\uFFFD"+`<script>"`) {
		t.Errorf("%d %.200s", page.Code, page.Body.String())
	}
	if _, err := testutil.GatherAndLint(registry); err != nil {
		t.Error(err)
	}
}

// The number of series follows from topics, partitions and routes alone.
func TestSeriesAreBounded(t *testing.T) {
	t.Parallel()
	series := func(topics, partitions int) (n int) {
		app := someApp
		app.snapshot.Partitions, app.totals.Topics = nil, nil
		for topic := range topics {
			name := fmt.Sprintf("t%03d", topic)
			app.totals.Topics = append(app.totals.Topics, sluice.TopicTotals{Topic: name, Failed: someApp.totals.Topics[0].Failed, Handling: nothing()})
			for p := range int32(partitions) {
				app.snapshot.Partitions = append(app.snapshot.Partitions, sluice.PartitionSnapshot{Topic: name, Partition: p})
			}
		}
		for _, f := range gathered(t, registryOf(t, NewCollector(app))) {
			for _, m := range f.GetMetric() {
				n++
				if h := m.GetHistogram(); h != nil {
					n += len(h.GetBucket()) + 2 // +Inf, _sum, _count, and not itself
				}
			}
		}
		return n
	}
	none, one := series(0, 0), series(1, 1)
	perPartition := series(1, 2) - one
	perTopic := one - none - perPartition
	if got, want := series(20, 30), none+20*perTopic+600*perPartition; got != want {
		t.Errorf("%d series, want %d + 20 × %d + 600 × %d = %d", got, none, perTopic, perPartition, want)
	}
	if perPartition != 11 || perTopic != 42 { // and 5 classes of failures that the fake app does not have
		t.Errorf("%d series a partition, %d a topic: docs/metrics.md says otherwise", perPartition, perTopic)
	}
}
