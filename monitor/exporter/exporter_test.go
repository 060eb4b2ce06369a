package exporter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/monitor"
)

var update = flag.Bool("update", false, "write the golden file and the reference page anew")

var all = Config{Partitions: true, KafkaExporter: true}

func at(seconds int64) time.Time { return time.Unix(1_790_000_000+seconds, 0) }

// some is a snapshot with a bit of everything: billing lags, and has lost some; nightly has no commit on one of two partitions; lost cannot
// be seen.
func some() *monitor.Snapshot {
	unseen := errors.New("broker 2 does not answer")
	return &monitor.Snapshot{
		Round: 7, At: at(0), Took: 250 * time.Millisecond, Complete: at(-10),
		Cluster: monitor.Cluster{ID: "c", Controller: 1, Brokers: []monitor.Broker{{ID: 1, Host: "kafka", Port: 9092}, {ID: 2, Host: "::1", Port: 9092}}},
		Groups: []monitor.Group{
			{
				ID: "billing", Type: "consumer", Protocol: "range", State: "Stable", Described: true, Members: make([]monitor.Member, 2), AsOf: at(0),
				Partitions: []monitor.Partition{
					{
						Topic: "orders", Partition: 0, Commit: 90, Start: 10, Stable: 110, End: 110, Lag: 20, Readable: 110, Drain: 30 * time.Second,
						TimeLag: monitor.TimeLag{Known: true, Behind: 90 * time.Second}, Status: monitor.Warn,
					},
					{
						Topic: "orders", Partition: 1, Commit: 5, Start: 15, Stable: 20, End: 20, Lag: 5, Readable: 20, Drain: -1, Gone: 10, Lost: 8,
						Stands: time.Minute, TimeLag: monitor.TimeLag{Known: true, Behind: time.Second}, Status: monitor.Stall,
					},
				},
			},
			{
				ID: "nightly", Type: "classic", State: "Empty", Described: true, AsOf: at(0), Partitions: []monitor.Partition{
					{Topic: "audit", Partition: 0, Commit: -1, Start: 0, Stable: 4, End: 4, Lag: -1, Readable: -1, Drain: -1},
					{
						Topic: "orders", Partition: 1, Commit: 20, Start: 15, Stable: 20, End: 20, Readable: 20, TimeLag: monitor.TimeLag{Known: true},
						Status: monitor.OK,
					},
				},
			},
			{
				ID: "lost", Type: "classic", State: "Stable", AsOf: at(-60), Err: unseen, Partitions: []monitor.Partition{
					{Topic: "orders", Partition: 0, Commit: -1, Start: -1, Stable: -1, End: -1, Lag: -1, Readable: -1, Drain: -1, Err: unseen},
				},
			},
		},
		Topics: []monitor.Topic{
			{Name: "audit", Partitions: []monitor.Log{{Leader: -1, Replicas: []int32{1}, Start: -1, Stable: -1, End: -1, Err: unseen}}, Err: unseen},
			{Name: "orders", Partitions: []monitor.Log{
				{Partition: 0, Leader: 1, Replicas: []int32{1, 2}, InSync: []int32{1}, Start: 10, Stable: 110, End: 110, OpenSince: at(-30)},
				{Partition: 1, Leader: 2, Replicas: []int32{1, 2}, InSync: []int32{1, 2}, Start: 15, Stable: 20, End: 20},
			}},
		},
		Problems: []monitor.Problem{{What: "commits", Err: unseen}},
	}
}

func of(s *monitor.Snapshot, cfg Config) *Exporter {
	return New(func() *monitor.Snapshot { return s }, cfg)
}

func page(t testing.TB, g prometheus.Gatherer, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	out := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(out, request)
	if out.Code != http.StatusOK {
		t.Fatalf("%d: %s", out.Code, out.Body)
	}
	return out
}

// Names, labels and help are what dashboards and alerts are built on: they change with the golden file only.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const file = "testdata/metrics.golden"
	got := page(t, of(some(), all)).Body.Bytes()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s:\n%s", file, got)
	}
}

// kafka_exporter's own names break the rules, and are what they are.
func TestLint(t *testing.T) {
	t.Parallel()
	families, err := of(some(), Config{Partitions: true}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(families) < 20 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What a registry would look for at each scrape is looked for here: no two series are the same, and all of a family have its labels.
func consistent(t *testing.T, s *monitor.Snapshot) {
	t.Helper()
	families, err := of(s, all).Gather()
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(replay(families)); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Gather(); err != nil {
		t.Error(err)
	}
	if _, err := testutil.GatherAndLint(registry); err != nil { // it was told as text, and read again
		t.Error(err)
	}
}

// replay tells families to a registry, as a collector without descriptions.
type replay []*dto.MetricFamily

func (r replay) Describe(chan<- *prometheus.Desc) {}

func (r replay) Collect(ch chan<- prometheus.Metric) {
	for _, f := range r {
		for _, m := range f.GetMetric() {
			var names, values []string
			for _, l := range m.GetLabel() {
				names, values = append(names, l.GetName()), append(values, l.GetValue())
			}
			kind, v := prometheus.GaugeValue, m.GetGauge().GetValue()
			if f.GetType() == counter {
				kind, v = prometheus.CounterValue, m.GetCounter().GetValue()
			}
			metric, err := prometheus.NewConstMetric(prometheus.NewDesc(f.GetName(), f.GetHelp(), names, nil), kind, v, values...)
			if err != nil {
				metric = prometheus.NewInvalidMetric(prometheus.NewDesc(f.GetName(), f.GetHelp(), names, nil), err)
			}
			ch <- metric
		}
	}
}

func TestNothingIsToldTwice(t *testing.T) {
	t.Parallel()
	consistent(t, some())
	consistent(t, &monitor.Snapshot{})
	s := some() // as an answer that repeats itself
	s.Groups = []monitor.Group{s.Groups[0], s.Groups[0], s.Groups[1], s.Groups[2]}
	s.Groups[0].Partitions = append(s.Groups[0].Partitions[:1:1], s.Groups[0].Partitions...)
	s.Topics = []monitor.Topic{s.Topics[0], s.Topics[0], s.Topics[1]}
	s.Cluster.Brokers = append(s.Cluster.Brokers, s.Cluster.Brokers...)
	consistent(t, s)
	if got := page(t, of(s, all)).Body.String(); !strings.Contains(got, `sluice_monitor_group_lag_records{group="billing",topic="orders"} 25`) {
		t.Errorf("what is there twice is counted twice:\n%s", got)
	}
}

// A partition that cannot be seen is told as it was, and counted as one that cannot; one with a commit beyond its end is seen well enough, and so is
// one that is gone.
func TestPartitionsThatAreNotAsTheyShouldBe(t *testing.T) {
	t.Parallel()
	row := func(n int32, lag int64, err error) monitor.Partition {
		return monitor.Partition{Topic: "orders", Partition: n, Commit: 9, End: 9 + lag, Readable: 9 + lag, Lag: lag, Drain: -1, Err: err}
	}
	s := &monitor.Snapshot{Round: 2, At: at(0), Groups: []monitor.Group{
		{ID: "billing", AsOf: at(0), Partitions: []monitor.Partition{
			row(0, 5, nil), row(1, 7, errors.New("broker 2 does not answer")), row(2, 0, fmt.Errorf("commit 9 is %w", monitor.ErrBeyondEnd)),
			row(3, 1, monitor.ErrNoPartition), row(4, -1, monitor.ErrNoPartition),
		}},
		{ID: "well", AsOf: at(0), Partitions: []monitor.Partition{row(0, 5, nil)}},
	}}
	text := page(t, of(s, Config{})).Body.String()
	for name, want := range map[string]string{"lag_records": "13", "unseen_partitions": "2", "beyond_end_partitions": "1"} {
		line := "\nsluice_monitor_group_" + name + `{group="billing",topic="orders"} ` + want + "\n"
		if !strings.Contains(text, line) {
			t.Errorf("no %q in\n%s", line, text)
		}
	}
	for _, name := range []string{"unseen_partitions", "beyond_end_partitions"} {
		if strings.Contains(text, name+`{group="well"`) {
			t.Errorf("%s of a group that is well:\n%s", name, text)
		}
	}
}

// Anybody may call a group what they like.
func TestNamesBreakNothing(t *testing.T) {
	t.Parallel()
	names := []string{
		"a\"} 1\nevil_metric{x=\"", `back\slash`, `back\\slash`, "<script>alert(1)</script>", "\xff", "\xfe", "\uFFFDff", "\uFFFD", "", "\x00", "тема", "a\r",
	}
	s := &monitor.Snapshot{Round: 1, At: at(0)}
	for _, name := range names {
		s.Groups = append(s.Groups, monitor.Group{ID: name, State: name, Protocol: name, Type: name, Partitions: []monitor.Partition{
			{Topic: name, Commit: 1, Start: 0, End: 1, Stable: 1, Readable: 1},
		}})
		s.Topics = append(s.Topics, monitor.Topic{Name: name, Partitions: make([]monitor.Log, 1)})
	}
	consistent(t, s)
	text := page(t, of(s, all)).Body.String()
	for l := range strings.Lines(text) {
		if !strings.HasPrefix(l, "sluice_") && !strings.HasPrefix(l, "kafka_") && !strings.HasPrefix(l, "# ") {
			t.Errorf("a name has got a line of its own: %q", l)
		}
	}
	if n := strings.Count(text, "\nsluice_monitor_group_lag_records{"); n != len(names) {
		t.Errorf("%d of %d groups are there", n, len(names))
	}
}

// kafka_exporter leaves out what has no commit at all, and says -1 beside one that has some; its sums leave these out here.
func TestKafkaExporterWithoutACommit(t *testing.T) {
	t.Parallel()
	text := page(t, of(some(), Config{KafkaExporter: true})).Body.String()
	for line, want := range map[string]bool{
		`kafka_consumergroup_lag{consumergroup="nightly",partition="0",topic="orders"} -1`:            true,
		`kafka_consumergroup_current_offset{consumergroup="nightly",partition="0",topic="orders"} -1`: true,
		`kafka_consumergroup_current_offset_sum{consumergroup="nightly",topic="orders"} 20`:           true,
		`kafka_consumergroup_lag_sum{consumergroup="nightly",topic="orders"} 0`:                       true,
		`consumergroup="nightly",partition="0",topic="audit"`:                                         false,
		`consumergroup="lost",partition=`:                                                             false,
		`sluice_monitor_partition_`:                                                                   false,
	} {
		if strings.Contains(text, line) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
}

// big is a snapshot of so many groups with ten partitions each.
func big(groups int) *monitor.Snapshot {
	s := &monitor.Snapshot{Round: 1, At: at(0), Complete: at(0), Topics: []monitor.Topic{{Name: "orders", Partitions: make([]monitor.Log, 10)}}}
	for p := range s.Topics[0].Partitions {
		s.Topics[0].Partitions[p] = monitor.Log{Partition: int32(p), Leader: 1, Replicas: []int32{1}, InSync: []int32{1}, End: 100, Stable: 100}
	}
	for g := range groups {
		group := monitor.Group{ID: fmt.Sprintf("group-%05d", g), Type: "classic", State: "Empty", Described: true, AsOf: at(0)}
		for p := range 10 {
			group.Partitions = append(group.Partitions, monitor.Partition{
				Topic: "orders", Partition: int32(p), Commit: int64(g % 100), End: 100, Stable: 100, Readable: 100, Lag: int64(100 - g%100),
				TimeLag: monitor.TimeLag{Known: true, Behind: time.Duration(g) * time.Millisecond}, Status: monitor.OK,
			})
		}
		s.Groups = append(s.Groups, group)
	}
	return s
}

// BenchmarkScrape is a scrape of 10,000 groups with commits on ten partitions each, as text, plain and compressed.
func BenchmarkScrape(b *testing.B) {
	s := big(10_000)
	for name, cfg := range map[string]Config{"topic": {}, "partition": {Partitions: true}, "kafka_exporter": {KafkaExporter: true}} {
		for _, coding := range []string{"identity", "gzip"} {
			b.Run(name+"/"+coding, func(b *testing.B) {
				e := of(s, cfg)
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					body := page(b, e, "Accept-Encoding", coding).Body
					n = body.Len()
				}
				b.ReportMetric(float64(n)/1e6, "MB")
				b.ReportMetric(float64(count(b, e)), "series")
			})
		}
	}
}

func count(b *testing.B, e *Exporter) (n int) {
	b.Helper()
	families, err := e.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		n += len(f.GetMetric())
	}
	return n
}

// A scrape that is compressed says the same.
func TestCompressed(t *testing.T) {
	t.Parallel()
	e := of(some(), all)
	r, err := gzip.NewReader(page(t, e, "Accept-Encoding", "gzip").Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, page(t, e).Body.Bytes()) {
		t.Errorf("%v: %s", err, got)
	}
}
