package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGeneratedMetricsPage holds docs/metrics.md to the families that collectors tell; -update writes it (make generate).
func TestGeneratedMetricsPage(t *testing.T) {
	t.Parallel()
	const file = "../docs/metrics.md"
	got := metricsPage()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale: make generate", file)
	}
}

func metricsPage() string {
	var b strings.Builder
	b.WriteString(pageHead)
	part := ""
	for _, f := range appFamilies {
		if f.part != part {
			part = f.part
			fmt.Fprintf(&b, "\n## %s\n| metric | type | labels | meaning |\n|---|---|---|---|\n", part)
		}
		b.WriteString(pageRow("sluice_", f))
	}
	b.WriteString(pageProducers)
	for _, f := range producerFamilies {
		b.WriteString(pageRow("sluice_producer_", f))
	}
	b.WriteString(pageTail)
	return b.String()
}

func pageRow(prefix string, f family) string {
	labels := "–"
	if len(f.labels) > 0 {
		labels = "`" + strings.Join(f.labels, "`, `") + "`"
	}
	return fmt.Sprintf("| `%s%s` | %s | %s | %s |\n", prefix, f.name, f.kind, labels, f.help)
}

const pageHead = `# Metrics

<!-- Written by "make generate" from the tables in metrics/. Do not edit. -->

` + "```go" + `
registry.MustRegister(metrics.NewCollector(app))
` + "```" + `

is all that there is to set up; ` + "`sluice run --listen 9100`" + ` serves the same at ` + "`/metrics`" + `. Everything is read from the app when it is scraped.

- Every series of an app has the label ` + "`group`" + `. Register several apps of one group with ` + "`prometheus.WrapRegistererWith`" + ` and a label of
  your own.
- Labels are bounded: topics, partitions that are assigned now, routes, and words of a fixed list. There is none for members, clients,
  brokers, keys or errors. A partition costs 11 series, a topic 47, 22 of them for its histogram.
- What is told of a partition goes at once when the partition does. Counters by topic stay as long as a route names the topic; those of a
  topic that only a pattern matches go within a minute or so after its last partition, and begin at 0 when it comes back, which
  ` + "`rate`" + ` and ` + "`increase`" + ` take for a restart.
- Histograms come in both forms at once. A scrape as text has the classic buckets. Prometheus asks for protobuf when native histograms are
  on, and gets both; their resolution is 2^(1/8), which puts a quantile right to about 5 %.
- Counters and ` + "`_count`" + ` of a histogram say the same where both exist; the counter is there as well, since ` + "`_count`" + ` is no series of its own with
  native histograms.
- A number that is not known is left out: the lag of a partition whose log's end nobody has seen yet, an offset before the first commit.

The three lags of a partition:

- **Frontier lag** (` + "`sluice_partition_lag_records`" + `) is the log's end less the lowest offset that is not finished: what is left to do, at
  most, as compacted and aborted records count. With read_committed the end is the last stable offset.
- **Unfinished lag** (` + "`sluice_partition_unfinished_records`" + `) is less by what is finished above the frontier. One stuck record makes the first
  grow while the second stays small.
- **Time lag** (` + "`sluice_partition_lag_seconds`" + `) is how long ago the record at the frontier was written, by its timestamp, and so what to set
  an objective for. It is 0 when all is finished. In a retry topic it counts from when the record was due. A record that was not
  polled yet counts as old as the last one that was, or, on a partition that was caught up, for as long as the app has known of it. It is right
  to half a second while a partition's held records have at most a thousand different times, and to about a thousandth of their span else.

Handlers that take less than 20 µs are timed up to 64 records at once. When such a run takes longer than that, one record is taken for
the slow one.
`

const pageProducers = `
## Producers
` + "`metrics.NewProducerCollector(producer, name)`" + ` tells what a ` + "`sluice.Producer`" + ` of your own sends. Its series have the label ` + "`producer`" + `: the
name that you give.

| metric | type | labels | meaning |
|---|---|---|---|
`

const pageTail = `
## What to ask
| question | expression |
|---|---|
| Is anything late? | ` + "`max by (group, topic) (sluice_partition_lag_seconds) > 60`" + ` |
| Records a second | ` + "`sum by (group, topic) (rate(sluice_records_finished_total[5m]))`" + ` |
| The slowest hundredth, classic | ` + "`histogram_quantile(0.99, sum by (group, topic, le) (rate(sluice_process_duration_seconds_bucket[5m])))`" + ` |
| The slowest hundredth, native | ` + "`histogram_quantile(0.99, sum by (group, topic) (rate(sluice_process_duration_seconds[5m])))`" + ` |
| The share of calls that fail | ` + "`sum by (group, topic) (rate(sluice_attempts_failed_total[5m])) / sum by (group, topic) (rate(sluice_records_polled_total[5m]))`" + ` |
| Records a fetch brings | ` + "`sum by (group) (rate(sluice_fetched_records_total[5m])) / sum by (group) (rate(sluice_requests_total{request=\"Fetch\"}[5m]))`" + ` |
| Bytes a fetch brings | ` + "`sum by (group) (rate(sluice_read_bytes_total{request=\"Fetch\"}[5m])) / sum by (group) (rate(sluice_requests_total{request=\"Fetch\"}[5m]))`" + ` |
| Round trips a thousand records | ` + "`1000 * sum by (group) (rate(sluice_requests_total[5m])) / sum by (group) (rate(sluice_fetched_records_total[5m]))`" + ` |
| Records a produced batch | ` + "`sum by (producer) (rate(sluice_producer_produced_records_total[5m])) / sum by (producer) (rate(sluice_producer_produced_batches_total[5m]))`" + ` |
| How long does a rebalance stop what leaves? | ` + "`histogram_quantile(0.99, sum by (group, le) (rate(sluice_rebalance_duration_seconds_bucket{reason=\"revoked\"}[1h])))`" + ` |
`
