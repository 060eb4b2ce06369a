package metrics

import (
	"strconv"
	"strings"

	"github.com/sluice-go/sluice"
)

// family is all series of one name. docs/metrics.md is made of these.
type family struct {
	part   string // of the reference page
	name   string // without the prefix
	help   string
	kind   kind
	labels []string
	read   func(*scrape, *series)
}

type kind string

const (
	counter       kind = "counter"
	gauge         kind = "gauge"
	distributions kind = "histogram"
)

// The parts of the reference page, in its order.
const (
	ofHealth     = "Health"
	ofRecords    = "Records, by topic"
	ofPartitions = "Partitions that are assigned now"
	ofRoutes     = "Routes, and the buffer"
	ofCommits    = "Commits"
	ofGroup      = "The group"
	ofWire       = "Between the app and its brokers"
)

var appFamilies = concat(healthFamilies, recordFamilies, partitionFamilies, routeFamilies, commitFamilies, groupFamilies, wireFamilies)

func concat(all ...[]family) (out []family) {
	for _, fs := range all {
		out = append(out, fs...)
	}
	return out
}

var healthFamilies = []family{
	plain(ofHealth, "live", "1 unless the process cannot recover by itself.", gauge,
		func(s *scrape) float64 { return truth(s.health.Live) }),
	plain(ofHealth, "ready", "1 while the app is a member of its group and nothing is wrong.", gauge,
		func(s *scrape) float64 { return truth(s.health.Ready) }),
	plain(ofHealth, "problems", "How many things are wrong; App.Health and /readyz say which.", gauge,
		func(s *scrape) float64 { return float64(len(s.health.Problems)) }),
}

var recordFamilies = []family{
	byTopic("records_polled_total", "Records that were handed over to the app.", func(t sluice.TopicTotals) int64 { return t.Polled }),
	byTopic("polled_bytes_total", "Bytes of their keys, values and headers.", func(t sluice.TopicTotals) int64 { return t.PolledBytes }),
	byTopic("records_finished_total", "Records that were finished, in whatever way; on a TransactRoute, once they are committed: "+
		"those of a transaction whose commit was done but never answered, as those that were delayed, dead lettered, dropped or skipped "+
		"in it, are not counted.",
		func(t sluice.TopicTotals) int64 { return t.Finished }),
	{
		ofRecords, "process_duration_seconds",
		"What a handler took for a record, on a BatchRoute for a batch, failed calls included.",
		distributions, []string{"topic"}, func(s *scrape, out *series) {
			for _, t := range s.totals.Topics {
				out.distribution(t.Handling, t.Topic)
			}
		},
	},
	{
		ofRecords, "attempts_failed_total",
		"Calls of a handler that failed, a record each; class: error, timeout, outage, poison, panic, decode, or write, which is what " +
			"brokers refused of a TransactRoute.",
		counter, []string{"topic", "class"}, func(s *scrape, out *series) {
			for _, t := range s.totals.Topics {
				for class, n := range t.Failed {
					out.add(float64(n), t.Topic, class)
				}
			}
		},
	},
	byTopic("records_retried_total", "Records that were handed to a handler once more.",
		func(t sluice.TopicTotals) int64 { return t.Retried }),
	byTopic("records_delayed_total", "Records that went on to a retry topic: their copy was acknowledged.",
		func(t sluice.TopicTotals) int64 { return t.Delayed }),
	byTopic("records_dead_lettered_total", "Records whose dead letter was acknowledged.",
		func(t sluice.TopicTotals) int64 { return t.DeadLettered }),
	byTopic("records_dropped_total", "Failed records that were dropped, as their policy says.",
		func(t sluice.TopicTotals) int64 { return t.Dropped }),
	byTopic("records_skipped_total", "Records that their handler skipped.", func(t sluice.TopicTotals) int64 { return t.Skipped }),
	byTopic("records_stuck_total", "Records that failed for so long, while others succeeded, that they were stuck.",
		func(t sluice.TopicTotals) int64 { return t.Stuck }),
	byTopic("records_restored_total", "Records that were polled and not handled, as the group's commit said that they are finished.",
		func(t sluice.TopicTotals) int64 { return t.Restored }),
	byTopic("data_losses_total", "Times that a position was no longer in its log.",
		func(t sluice.TopicTotals) int64 { return t.DataLosses }),
	byTopic("records_lost_total", "Offsets that retention took before they were read.", func(t sluice.TopicTotals) int64 { return t.Lost }),
}

var partitionFamilies = []family{
	byPartition("partition_lag_records",
		"Frontier lag: offsets between the lowest one that is not finished and the log's end as last seen.",
		func(p sluice.PartitionSnapshot) (float64, bool) {
			return float64(max(p.LogEnd-p.Frontier, 0)), p.LogEnd >= 0 && p.Frontier >= 0
		}),
	byPartition("partition_unfinished_records", "Unfinished lag: the frontier lag, less what is finished above the frontier.",
		func(p sluice.PartitionSnapshot) (float64, bool) {
			return float64(max(p.LogEnd-p.Frontier-int64(p.Ahead), 0)), p.LogEnd >= 0 && p.Frontier >= 0
		}),
	byPartition("partition_lag_seconds", "Time lag: how long ago the record at the frontier was written; 0 when all is finished.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return p.TimeLag.Seconds(), p.TimeLag >= 0 }),
	byPartition("partition_frontier_offset", "The lowest offset that is not finished.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Frontier), p.Frontier >= 0 }),
	byPartition("partition_committed_offset", "The last commit that the broker acknowledged.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Committed), p.Committed >= 0 }),
	byPartition("partition_queued_records", "Records that wait for a handler, a retry or their dead letter.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Queued), true }),
	byPartition("partition_buffered_bytes", "Bytes of the records that were polled and are not finished, with 200 for each record.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Bytes), true }),
	byPartition("partition_running_records", "Records that a handler has, or that wait for Message.Done.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Running), true }),
	byPartition("partition_parked_lanes", "Lanes that wait for a retry; in a retry topic, also records that wait for its delay.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return float64(p.Parked), true }),
	byPartition("partition_halted", "1 when the partition takes nothing new until a restart or a move.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return truth(p.State == "halted"), true }),
	byPartition("partition_stalled", "1 when the partition stands still, and nothing else that is told explains it.",
		func(p sluice.PartitionSnapshot) (float64, bool) { return truth(p.Stalled != ""), true }),
	{ofPartitions, "partitions_assigned", "Partitions that are assigned.", gauge, []string{"topic"}, func(s *scrape, out *series) {
		for _, t := range assigned(s.snapshot) {
			out.add(float64(t.partitions), t.topic)
		}
	}},
	{
		ofPartitions, "partitions_paused",
		"Assigned partitions that are not fetched; reason: share (it holds its share of the buffer), buffer (that is full), fetch_error, " +
			"halted, or user (App.Pause).",
		gauge, []string{"topic", "reason"}, func(s *scrape, out *series) {
			for _, t := range assigned(s.snapshot) {
				for _, reason := range pauseReasons {
					out.add(float64(t.paused[reason]), t.topic, strings.ReplaceAll(reason, " ", "_"))
				}
			}
		},
	},
}

var routeFamilies = []family{
	byRoute("route_workers", "How many handlers of a route may run at once.",
		func(r sluice.RouteSnapshot) float64 { return float64(r.Workers) }),
	byRoute("route_workers_running", "How many do.", func(r sluice.RouteSnapshot) float64 { return float64(r.Running) }),
	byRoute("route_saturated", "1 while every worker of a route runs, and partitions wait for one.",
		func(r sluice.RouteSnapshot) float64 { return truth(r.State == "saturated") }),
	byRoute("route_outage", "1 while a route stands still in an outage, and tries one record now and then.",
		func(r sluice.RouteSnapshot) float64 { return truth(r.Outage != "") }),
	plain(ofRoutes, "outages_total", "Times that a route stood still, as nothing could succeed.", counter,
		func(s *scrape) float64 { return float64(s.stats.Outages) }),
	plain(ofRoutes, "buffered_records", "Records that were polled and are not finished.", gauge,
		func(s *scrape) float64 { return float64(s.stats.Buffered) }),
	plain(ofRoutes, "buffered_bytes", "Bytes of the records that were polled and are not finished, with 200 for each record.", gauge,
		func(s *scrape) float64 { return float64(s.stats.BufferedBytes) }),
	plain(ofRoutes, "buffer_full", "1 while nothing is polled until something is finished.", gauge,
		func(s *scrape) float64 { return truth(s.snapshot.BufferFull) }),
	plain(ofRoutes, "overruns", "Handlers that run too long now.", gauge,
		func(s *scrape) float64 { return float64(len(s.snapshot.Overruns)) }),
}

var commitFamilies = []family{
	plain(ofCommits, "commits_total", "Commits that the broker acknowledged.", counter,
		func(s *scrape) float64 { return float64(s.stats.Commits) }),
	plain(ofCommits, "commits_failed_total", "Commits that failed; they are tried again.", counter,
		func(s *scrape) float64 { return float64(s.stats.CommitsFailed) }),
	{ofCommits, "commit_duration_seconds", "What acknowledged commits took.", distributions, nil, func(s *scrape, out *series) {
		out.distribution(s.totals.Commits)
	}},
	{
		ofCommits, "last_commit_timestamp_seconds", "When a commit was acknowledged last, in Unix time; absent before the first.",
		gauge, nil, func(s *scrape, out *series) {
			if at := s.totals.LastCommit; !at.IsZero() {
				out.add(float64(at.UnixMilli()) / 1000)
			}
		},
	},
	plain(ofCommits, "reclaims_total", "Times that a sink with offsets of its own took a partition again.", counter,
		func(s *scrape) float64 { return float64(s.stats.Reclaims) }),
}

var groupFamilies = []family{
	{
		ofGroup, "group_protocol_info",
		"1 for the protocol that the group is managed by, as seen on the wire: classic or consumer (KIP-848).",
		gauge, []string{"protocol"}, func(s *scrape, out *series) {
			if p := s.snapshot.Protocol; p != "" {
				out.add(1, string(p))
			}
		},
	},
	{
		ofGroup, "rebalances_total",
		"Times that partitions came or went; reason: assigned, revoked, lost (given to another member without asking), or expelled (the " +
			"group had taken this member for dead).",
		counter, []string{"reason"}, func(s *scrape, out *series) {
			for reason, n := range s.totals.Rebalances {
				out.add(float64(n), reason)
			}
		},
	},
	{
		ofGroup, "rebalance_duration_seconds",
		"How long this member's part took; reason: assigned, until it was known where the partitions begin, or revoked, the drain and " +
			"its commit.",
		distributions, []string{"reason"}, func(s *scrape, out *series) {
			out.distribution(s.totals.Assigning, "assigned")
			out.distribution(s.totals.Revoking, "revoked")
		},
	},
}

// byTopic is a counter of records.
func byTopic(name, help string, value func(sluice.TopicTotals) int64) family {
	return family{ofRecords, name, help, counter, []string{"topic"}, func(s *scrape, out *series) {
		for _, t := range s.totals.Topics {
			out.add(float64(value(t)), t.Topic)
		}
	}}
}

func byPartition(name, help string, value func(sluice.PartitionSnapshot) (v float64, known bool)) family {
	return family{ofPartitions, name, help, gauge, []string{"topic", "partition"}, func(s *scrape, out *series) {
		for _, p := range s.snapshot.Partitions {
			if v, known := value(p); known {
				out.add(v, p.Topic, strconv.Itoa(int(p.Partition)))
			}
		}
	}}
}

// byRoute has the label route: its topics, or its pattern.
func byRoute(name, help string, value func(sluice.RouteSnapshot) float64) family {
	return family{ofRoutes, name, help, gauge, []string{"route"}, func(s *scrape, out *series) {
		for _, r := range s.snapshot.Routes {
			route := strings.Join(r.Topics, ",")
			if r.Pattern != "" {
				route = r.Pattern
			}
			out.add(value(r), route)
		}
	}}
}

// plain has no label.
func plain(part, name, help string, k kind, value func(*scrape) float64) family {
	return family{part, name, help, k, nil, func(s *scrape, out *series) { out.add(value(s)) }}
}

// pauseReasons are those of sluice.PartitionSnapshot.Paused.
var pauseReasons = []string{"share", "buffer", "fetch error", "halted", "user"}

// topicParts are the partitions of a topic that are assigned.
type topicParts struct {
	topic      string
	partitions int
	paused     map[string]int
}

// assigned counts partitions by topic.
func assigned(s sluice.Snapshot) (topics []topicParts) {
	for _, p := range s.Partitions { // sorted
		if n := len(topics); n == 0 || topics[n-1].topic != p.Topic {
			topics = append(topics, topicParts{topic: p.Topic, paused: make(map[string]int)})
		}
		t := &topics[len(topics)-1]
		t.partitions++
		if p.Paused != "" {
			t.paused[p.Paused]++
		}
	}
	return topics
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
