package exporter

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestGeneratedMonitorMetricsPage holds docs/monitor_metrics.md to the families that are told; -update writes it (make generate).
func TestGeneratedMonitorMetricsPage(t *testing.T) {
	t.Parallel()
	const file = "../../docs/monitor_metrics.md"
	var b strings.Builder
	b.WriteString(pageHead)
	part := ""
	for _, f := range concat(concat(ownFamilies...), partitionFamilies, kafkaExporterFamilies) {
		if f.part != part {
			part = f.part
			fmt.Fprintf(&b, "\n## %s\n%s| metric | type | labels | meaning |\n|---|---|---|---|\n", part, pageParts[part])
		}
		labels := "–"
		if len(f.labels) > 0 {
			labels = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, strings.ToLower(f.kind.String()), labels, f.help)
	}
	b.WriteString(pageTail)
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("%s is stale: make generate", file)
	}
}

const pageHead = `# Metrics of the monitor

<!-- Written by "make generate" from the tables in monitor/exporter/. Do not edit. -->

` + "```sh" + `
sluice monitor -b kafka:9092 --listen 9308
` + "```" + `

serves these at ` + "`/metrics`" + `. In a program of your own, ` + "`exporter.New(m.Snapshot, exporter.Config{})`" + ` is a prometheus.Gatherer. A scrape reads
what the last round saw, and waits for no broker.

- Labels are groups, topics and, with ` + "`--by partition`" + `, partitions. There is none for members, clients or hosts. A group costs 3 series,
  each topic of it 7, each partition 3 more with ` + "`--by partition`" + `.
- A number that is not known is left out. What a round cannot see stays as it was, and says so: ` + "`sluice_monitor_group_unseen`" + `.
- Names that are no UTF-8 have U+FFFD and two digits for each byte that is none.
- 10,000 groups on 10 partitions each are 100,000 series by topic, 400,000 by partition; ` + "`go test -bench Scrape ./monitor/exporter`" + ` times a scrape.
`

var pageParts = map[string]string{
	ofPartitions: "With `--by partition`.\n\n",
	ofKafkaExporter: "With `--compat kafka_exporter`, beside the others: the names and labels of danielqsj/kafka_exporter, so that dashboards and\n" +
		"alerts that are made for it go on to work. As there, a partition without a commit is -1 where the group has one of another partition of the\n" +
		"topic, and a topic without any is left out. It differs on purpose where that one is wrong:\n\n" +
		"- `kafka_consumergroup_current_offset_sum` does not add up the -1 of partitions without a commit.\n" +
		"- `kafka_consumergroup_members` counts the members of groups of the new protocol (KIP-848), too, and is absent where they are not known.\n" +
		"- What cannot be seen is left out, rather than all of the scrape; lags are never negative, and hold no records that retention has deleted.\n" +
		"- `kafka_consumergroupzookeeper_lag_zookeeper` is gone with ZooKeeper.\n\n",
}

const pageTail = `
## What to ask
| question | expression |
|---|---|
| Who is late? | ` + "`max by (group, topic) (sluice_monitor_group_lag_seconds) > 300`" + ` |
| Who stands still? | ` + "`sluice_monitor_group_status == 4 or sluice_monitor_group_status == 5`" + ` |
| Who loses records? | ` + "`increase(sluice_monitor_group_lost_records_total[1h]) > 0`" + ` |
| Whom does retention threaten? | ` + "`sluice_monitor_group_retention_used_ratio > 0.8`" + ` |
| Who has records and no members? | ` + "`sluice_monitor_group_lag_records > 0 and on (group) sluice_monitor_group_members == 0`" + ` |
| Is the monitor blind? | ` + "`time() - sluice_monitor_last_complete_timestamp_seconds > 60 or sluice_monitor_problem > 0`" + ` |
`
