// Package exporter tells Prometheus what a monitor has seen:
//
//	exporter.New(m.Snapshot, exporter.Config{}) // a prometheus.Gatherer
//
// A scrape reads the last snapshot, and waits for no broker. docs/monitor_metrics.md lists the names. Those of kafka_exporter are there as
// well where Config.KafkaExporter is set.
//
// An Exporter is a Gatherer and no Collector: a registry looks at each series anew at each scrape, which takes seconds where there are
// hundreds of thousands. Here no two series can be the same: what a snapshot has twice is told once (scrape.go), and names that are no
// UTF-8 stay different (label.go).
package exporter
