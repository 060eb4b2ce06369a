package exporter

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/monitor"
)

// family is all series of one name. docs/monitor_metrics.md is made of these.
type family struct {
	part   string // of the reference page
	name   string
	help   string
	kind   dto.MetricType
	labels []string
	read   func(*scrape, *series)
}

const (
	gauge   = dto.MetricType_GAUGE
	counter = dto.MetricType_COUNTER
	prefix  = "sluice_monitor_"
)

// The parts of the reference page, in its order.
const (
	ofMonitor       = "The monitor itself"
	ofGroups        = "Groups"
	ofGroupTopics   = "Groups, by topic"
	ofPartitions    = "Groups, by partition"
	ofTopics        = "Topics"
	ofKafkaExporter = "kafka_exporter's names"
)

var ownFamilies = [][]family{monitorFamilies, groupFamilies, groupTopicFamilies, topicFamilies}

func concat(all ...[]family) (out []family) {
	for _, fs := range all {
		out = append(out, fs...)
	}
	return out
}

// kinds are those of monitor.Problem.What.
var kinds = []string{
	"metadata", "partitions", "groups", "commits", "members", "log starts", "log ends", "log tails", "soundings",
}

var monitorFamilies = []family{
	plain("rounds_total", "Rounds that have ended, each a look at everything.", counter,
		func(s *scrape) (float64, bool) { return float64(s.Round), true }),
	plain("round_duration_seconds", "What the last round took.", gauge,
		func(s *scrape) (float64, bool) { return s.Took.Seconds(), s.Round > 0 }),
	plain("last_round_timestamp_seconds", "When the last round looked at the logs' ends, in Unix time.", gauge,
		func(s *scrape) (float64, bool) { return unix(s.At) }),
	plain("last_complete_timestamp_seconds", "When a round last saw everything, in Unix time; absent before the first.", gauge,
		func(s *scrape) (float64, bool) { return unix(s.Complete) }),
	plain("brokers", "Brokers that the cluster knows to be up.", gauge,
		func(s *scrape) (float64, bool) { return float64(len(s.Cluster.Brokers)), s.Round > 0 }),
	plain("groups", "Groups that are watched.", gauge, func(s *scrape) (float64, bool) { return float64(len(s.groups)), s.Round > 0 }),
	plain("topics", "Topics that are seen.", gauge, func(s *scrape) (float64, bool) { return float64(len(s.topics)), s.Round > 0 }),
	{
		ofMonitor, prefix + "problem", "1 when the last round could not see something of a kind; /readyz and the log say what and why. " +
			"kind: metadata, partitions, groups, commits, members, log starts, log ends, log tails or soundings.",
		gauge, []string{"kind"}, func(s *scrape, out *series) {
			has := map[string]bool{}
			for _, p := range s.Problems {
				has[p.What] = true
			}
			for _, kind := range kinds {
				out.add(truth(has[kind]), []*dto.LabelPair{s.labels.pair("kind", kind)})
			}
		},
	},
	plain("unseen_groups", "Groups that the last round could not see: their series are as they were.", gauge,
		func(s *scrape) (v float64, ok bool) {
			for i := range s.groups {
				v += truth(s.groups[i].Err != nil)
			}
			return v, s.Round > 0
		}),
	plain("unseen_topics", "Topics that the last round could not see.", gauge, func(s *scrape) (v float64, ok bool) {
		for i := range s.topics {
			v += truth(s.topics[i].Err != nil)
		}
		return v, s.Round > 0
	}),
}

var groupFamilies = []family{
	{
		ofGroups, prefix + "group_info", "1. type: classic, consumer (KIP-848), share or streams; state: as in kafka-consumer-groups; " +
			"protocol: the assignor.",
		gauge, []string{"group", "protocol", "state", "type"}, func(s *scrape, out *series) {
			for i := range s.groups {
				g := &s.groups[i]
				out.add(1, []*dto.LabelPair{
					g.labels[0], s.labels.pair("protocol", g.Protocol), s.labels.pair("state", g.State), s.labels.pair("type", g.Type),
				})
			}
		},
	},
	byGroup("group_members", "Members; absent where they are not known.",
		func(g *groupRow) (float64, bool) { return float64(len(g.Members)), g.Described }),
	byGroup("group_unseen", "1 while the group's commits or members cannot be seen: its series are as they were. Absent else.",
		func(g *groupRow) (float64, bool) { return 1, g.Err != nil }),
	byGroup("group_last_seen_timestamp_seconds", "When the group's commits were last seen, in Unix time.",
		func(g *groupRow) (float64, bool) { return unix(g.AsOf) }),
}

var groupTopicFamilies = []family{
	byGroupTopic("group_status",
		"The worst status of the group's partitions: 0 not known, 1 OK, 2 WARN (it falls behind all along), 4 STOP "+
			"(nobody reads, and there is something to read), 5 STALL (the same, with a reader), 6 REWIND (the commit went back).", gauge,
		func(t *groupTopic) (float64, bool) { return float64(t.status), true }),
	byGroupTopic("group_lag_records", "Lag: how many offsets the logs' ends are ahead of the commits, summed up.", gauge,
		func(t *groupTopic) (float64, bool) { return float64(t.lag), t.seen }),
	byGroupTopic("group_lag_seconds",
		"Time lag: the age of the oldest record that the group has not handled; 0 when it has caught up.", gauge,
		func(t *groupTopic) (float64, bool) { return t.timeLag.Behind.Seconds(), t.timeLag.Known }),
	byGroupTopic("group_drain_seconds",
		"How long it takes to catch up if all goes on as in the last minutes; absent when it is not known, "+
			"or never.", gauge, func(t *groupTopic) (float64, bool) { return t.drain.Seconds(), t.drain >= 0 && t.seen }),
	byGroupTopic("group_stands_seconds",
		"For how long there has been something to read on a partition whose commit has not moved; the longest.",
		gauge, func(t *groupTopic) (float64, bool) { return t.stands.Seconds(), t.seen }),
	byGroupTopic("group_retention_used_ratio",
		"Which share of a log the lag is, the largest: at 1, retention deletes what was not handled.",
		gauge, func(t *groupTopic) (float64, bool) { return t.share, t.share >= 0 }),
	byGroupTopic("group_gone_records", "Records that were deleted before they were committed; absent without any.", gauge,
		func(t *groupTopic) (float64, bool) { return float64(t.gone), t.gone > 0 }),
	byGroupTopic("group_lost_records_total",
		"Records that were deleted before they were handled, since the monitor began: those that were still "+
			"not committed a round later.", counter, func(t *groupTopic) (float64, bool) { return float64(t.lost), t.seen }),
	byGroupTopic("group_uncommitted_partitions", "Partitions that a member has, and the group has no commit of; absent without any.", gauge,
		func(t *groupTopic) (float64, bool) { return float64(t.uncommitted), t.uncommitted > 0 }),
	byGroupTopic("group_beyond_end_partitions",
		"Partitions with a commit beyond the end of the log, which went back or was made again; absent without any.",
		gauge, func(t *groupTopic) (float64, bool) { return float64(t.beyond), t.beyond > 0 }),
	byGroupTopic("group_unseen_partitions", "Partitions that cannot be seen: what is told of them is as it was; absent without any.", gauge,
		func(t *groupTopic) (float64, bool) { return float64(t.unseen), t.unseen > 0 }),
}

var partitionFamilies = []family{
	byPartition("partition_lag_records", "Lag of a partition.",
		func(p *monitor.Partition) (float64, bool) { return float64(p.Lag), p.Lag >= 0 }),
	byPartition("partition_lag_seconds", "Time lag of a partition.",
		func(p *monitor.Partition) (float64, bool) { return p.TimeLag.Behind.Seconds(), p.TimeLag.Known }),
	byPartition("partition_committed_offset", "The group's commit.",
		func(p *monitor.Partition) (float64, bool) { return float64(p.Commit), p.Commit >= 0 }),
}

var topicFamilies = []family{
	byTopic("topic_partitions", "Partitions.", func(t *topicRow) (float64, bool) { return float64(len(t.Partitions)), true }),
	byTopic("topic_end_offset", "Sum of the logs' ends; its rate is what is written.", func(t *topicRow) (float64, bool) {
		return sum(t, func(l *monitor.Log) int64 { return l.End })
	}),
	byTopic("topic_records", "Offsets that the logs hold: a compacted log has fewer records.", func(t *topicRow) (float64, bool) {
		return sum(t, func(l *monitor.Log) int64 { return l.End - l.Start })
	}),
	byTopic("topic_offline_partitions", "Partitions without a leader.", func(t *topicRow) (v float64, ok bool) {
		for i := range t.Partitions {
			v += truth(t.Partitions[i].Leader < 0)
		}
		return v, true
	}),
	byTopic("topic_under_replicated_partitions", "Partitions with a replica that is not in sync.", func(t *topicRow) (v float64, ok bool) {
		for i := range t.Partitions {
			v += truth(len(t.Partitions[i].InSync) < len(t.Partitions[i].Replicas))
		}
		return v, true
	}),
	{
		ofTopics, prefix + "topic_open_transaction_seconds",
		"For how long the oldest open transaction has been seen; 0 without one. While " +
			"it is open, read_committed consumers read nothing behind it.",
		gauge, []string{"topic"}, func(s *scrape, out *series) {
			for i := range s.topics {
				t, longest := &s.topics[i], time.Duration(0)
				for k := range t.Partitions {
					if since := t.Partitions[k].OpenSince; !since.IsZero() {
						longest = max(longest, s.At.Sub(since))
					}
				}
				out.add(longest.Seconds(), t.labels)
			}
		},
	},
}

// sum adds up what is known of a topic's logs; ok is false when something is not, as a sum without it would jump.
func sum(t *topicRow, of func(*monitor.Log) int64) (v float64, ok bool) {
	for i := range t.Partitions {
		l := &t.Partitions[i]
		if l.End < 0 || l.Start < 0 {
			return 0, false
		}
		v += float64(of(l))
	}
	return v, len(t.Partitions) > 0
}

// plain has no label.
func plain(name, help string, kind dto.MetricType, value func(*scrape) (v float64, known bool)) family {
	return family{ofMonitor, prefix + name, help, kind, nil, func(s *scrape, out *series) {
		if v, known := value(s); known {
			out.add(v, nil)
		}
	}}
}

func byGroup(name, help string, value func(*groupRow) (v float64, known bool)) family {
	return family{ofGroups, prefix + name, help, gauge, []string{"group"}, func(s *scrape, out *series) {
		for i := range s.groups {
			if v, known := value(&s.groups[i]); known {
				out.add(v, s.groups[i].labels)
			}
		}
	}}
}

func byGroupTopic(name, help string, kind dto.MetricType, value func(*groupTopic) (v float64, known bool)) family {
	return family{ofGroupTopics, prefix + name, help, kind, []string{"group", "topic"}, func(s *scrape, out *series) {
		for i := range s.groups {
			for k := range s.groups[i].topics {
				t := &s.groups[i].topics[k]
				if v, known := value(t); known {
					out.add(v, t.labels)
				}
			}
		}
	}}
}

func byPartition(name, help string, value func(*monitor.Partition) (v float64, known bool)) family {
	return family{ofPartitions, prefix + name, help, gauge, []string{"group", "partition", "topic"}, func(s *scrape, out *series) {
		for i := range s.groups {
			for k := range s.groups[i].topics {
				t := &s.groups[i].topics[k]
				for n := range t.partitions {
					if v, known := value(t.partitions[n].Partition); known {
						out.add(v, t.partitions[n].labels)
					}
				}
			}
		}
	}}
}

func byTopic(name, help string, value func(*topicRow) (v float64, known bool)) family {
	return family{ofTopics, prefix + name, help, gauge, []string{"topic"}, func(s *scrape, out *series) {
		for i := range s.topics {
			if v, known := value(&s.topics[i]); known {
				out.add(v, s.topics[i].labels)
			}
		}
	}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) (v float64, known bool) { return float64(t.UnixMilli()) / 1000, !t.IsZero() }
