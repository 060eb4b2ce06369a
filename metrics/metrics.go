// Package metrics tells Prometheus how an app does:
//
//	registry.MustRegister(metrics.NewCollector(app))
//
// Everything is read from the app when it is scraped; nothing is counted twice. docs/metrics.md lists the names.
package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
)

// App is what is told about: a *sluice.App.
type App interface {
	Stats() sluice.Stats
	Health() sluice.Health
	Snapshot() sluice.Snapshot
}

type collector struct{ app App }

// NewCollector makes the collector of one app. Register those of several apps with prometheus.WrapRegistererWith and a label
// that tells them apart.
func NewCollector(app App) prometheus.Collector { return collector{app} }

// Describe implements prometheus.Collector.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range counters {
		ch <- m.desc
	}
	for _, m := range gauges {
		ch <- m.desc
	}
	for _, m := range partitionGauges {
		ch <- m.desc
	}
	ch <- live
	ch <- ready
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	stats, health, snapshot := c.app.Stats(), c.app.Health(), c.app.Snapshot()
	for _, m := range counters {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, m.value(stats))
	}
	for _, m := range gauges {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(stats))
	}
	ch <- prometheus.MustNewConstMetric(live, prometheus.GaugeValue, truth(health.Live))
	ch <- prometheus.MustNewConstMetric(ready, prometheus.GaugeValue, truth(health.Ready))
	for _, p := range snapshot.Partitions {
		partition := strconv.Itoa(int(p.Partition))
		for _, m := range partitionGauges {
			if v, known := m.value(p); known {
				ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, v, p.Topic, partition)
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

type statsMetric struct {
	desc  *prometheus.Desc
	value func(sluice.Stats) float64
}

type partitionMetric struct {
	desc  *prometheus.Desc
	value func(sluice.PartitionSnapshot) (v float64, known bool)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_"+name, help, labels, nil)
}

var (
	live  = desc("live", "1 unless the process cannot recover by itself.")
	ready = desc("ready", "1 while the app is a member of its group and nothing is wrong.")

	counters = []statsMetric{
		{
			desc("records_polled_total", "Records that were handed over to the app."),
			func(s sluice.Stats) float64 { return float64(s.Polled) },
		},
		{
			desc("records_finished_total", "Records that were finished, in whatever way."),
			func(s sluice.Stats) float64 { return float64(s.Finished) },
		},
		{desc("attempts_failed_total", "Calls of a handler that failed."), func(s sluice.Stats) float64 { return float64(s.Failed) }},
		{
			desc("records_delayed_total", "Records that went on to a retry topic: their copy was acknowledged."),
			func(s sluice.Stats) float64 { return float64(s.Delayed) },
		},
		{
			desc("records_dead_lettered_total", "Records whose dead letter was acknowledged."),
			func(s sluice.Stats) float64 { return float64(s.DeadLettered) },
		},
		{
			desc("records_dropped_total", "Failed records that were dropped, as their policy says."),
			func(s sluice.Stats) float64 { return float64(s.Dropped) },
		},
		{
			desc("records_restored_total", "Records that were polled and not handled, as the group's commit said that they are finished."),
			func(s sluice.Stats) float64 { return float64(s.Restored) },
		},
		{desc("records_skipped_total", "Records that their handler skipped."), func(s sluice.Stats) float64 { return float64(s.Skipped) }},
		{desc("commits_total", "Commits that the broker acknowledged."), func(s sluice.Stats) float64 { return float64(s.Commits) }},
		{
			desc("commits_failed_total", "Commits that failed; they are tried again."),
			func(s sluice.Stats) float64 { return float64(s.CommitsFailed) },
		},
		{
			desc("commit_seconds_total", "What commits took, together."),
			func(s sluice.Stats) float64 { return s.CommitTime.Seconds() },
		},
		{desc("rebalances_total", "Times that partitions came or went."), func(s sluice.Stats) float64 { return float64(s.Rebalances) }},
		{
			desc("data_losses_total", "Times that a position was no longer in its log."),
			func(s sluice.Stats) float64 { return float64(s.DataLosses) },
		},
		{
			desc("outages_total", "Times that a route stood still, as nothing could succeed."),
			func(s sluice.Stats) float64 { return float64(s.Outages) },
		},
		{
			desc("stuck_total", "Records that failed for so long that they were stuck."),
			func(s sluice.Stats) float64 { return float64(s.Stuck) },
		},
		{desc("reclaims_total", "Times that a sink took a partition again."), func(s sluice.Stats) float64 { return float64(s.Reclaims) }},
	}
	gauges = []statsMetric{
		{
			desc("buffered_records", "Records that were polled and are not finished."),
			func(s sluice.Stats) float64 { return float64(s.Buffered) },
		},
		{
			desc("buffered_bytes", "Bytes of the records that were polled and are not finished."),
			func(s sluice.Stats) float64 { return float64(s.BufferedBytes) },
		},
	}
	partitionGauges = []partitionMetric{
		{
			desc("partition_lag_records", "Offsets between the frontier and the log's end as of the last fetch.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) {
				return float64(max(p.LogEnd-p.Frontier, 0)), p.LogEnd >= 0
			},
		},
		{
			desc("partition_frontier_offset", "The lowest offset that is not finished.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Frontier), true },
		},
		{
			desc("partition_committed_offset", "The last commit that the broker acknowledged.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Committed), p.Committed >= 0 },
		},
		{
			desc("partition_queued_records", "Records that wait for a handler.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Queued), true },
		},
		{
			desc("partition_parked_lanes", "Lanes that wait for a retry.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Parked), true },
		},
		{
			desc("partition_halted", "1 when the partition takes nothing new until a restart or a move.", "topic", "partition"),
			func(p sluice.PartitionSnapshot) (float64, bool) { return truth(p.State == "halted"), true },
		},
	}
)
