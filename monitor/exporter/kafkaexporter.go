package exporter

import (
	"net"
	"strconv"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/monitor"
)

// kafkaExporterFamilies are kafka_exporter's, with its names and labels. As there, a group's topic without any commit is left out, and its
// partitions without a commit are -1 where another one has some. Unlike there, a sum does not add these up, members of groups of the new
// protocol are counted, and what cannot be seen is left out.
var kafkaExporterFamilies = []family{
	{ofKafkaExporter, "kafka_brokers", "Number of Brokers in the Kafka Cluster.", gauge, nil, func(s *scrape, out *series) {
		if s.Round > 0 {
			out.add(float64(len(s.Cluster.Brokers)), nil)
		}
	}},
	{ofKafkaExporter, "kafka_broker_info", "Information about the Kafka Broker.", gauge, []string{"address", "id"}, brokerInfo},
	{
		ofKafkaExporter, "kafka_topic_partitions", "Number of partitions for this Topic", gauge, []string{"topic"},
		func(s *scrape, out *series) {
			for i := range s.topics {
				out.add(float64(len(s.topics[i].Partitions)), s.topics[i].labels)
			}
		},
	},
	byLog("current_offset", "Current Offset of a Broker at Topic/Partition",
		func(l *monitor.Log) (float64, bool) { return float64(l.End), l.End >= 0 }),
	byLog("oldest_offset", "Oldest Offset of a Broker at Topic/Partition",
		func(l *monitor.Log) (float64, bool) { return float64(l.Start), l.Start >= 0 }),
	byLog("leader", "Leader Broker ID of this Topic/Partition",
		func(l *monitor.Log) (float64, bool) { return float64(l.Leader), l.Leader >= 0 }),
	byLog("leader_is_preferred", "1 if Topic/Partition is using the Preferred Broker", func(l *monitor.Log) (float64, bool) {
		return truth(len(l.Replicas) > 0 && l.Replicas[0] == l.Leader), len(l.Replicas) > 0
	}),
	byLog("replicas", "Number of Replicas for this Topic/Partition",
		func(l *monitor.Log) (float64, bool) { return float64(len(l.Replicas)), true }),
	byLog("in_sync_replica", "Number of In-Sync Replicas for this Topic/Partition",
		func(l *monitor.Log) (float64, bool) { return float64(len(l.InSync)), true }),
	byLog("under_replicated_partition", "1 if Topic/Partition is under Replicated",
		func(l *monitor.Log) (float64, bool) { return truth(len(l.InSync) < len(l.Replicas)), true }),
	byCommit("current_offset", "Current Offset of a ConsumerGroup at Topic/Partition",
		func(p *monitor.Partition) (float64, bool) { return float64(p.Commit), p.Err == nil || p.Commit >= 0 }),
	byCommit("lag", "Current Approximate Lag of a ConsumerGroup at Topic/Partition",
		func(p *monitor.Partition) (float64, bool) { return float64(p.Lag), p.Err == nil || p.Lag >= 0 }),
	byCommits("current_offset_sum", "Current Offset of a ConsumerGroup at Topic for all partitions", func(t *groupTopic) (v float64) {
		for _, p := range t.partitions {
			v += float64(max(p.Commit, 0))
		}
		return v
	}),
	byCommits("lag_sum", "Current Approximate Lag of a ConsumerGroup at Topic for all partitions",
		func(t *groupTopic) float64 { return float64(t.lag) }),
	{
		ofKafkaExporter, "kafka_consumergroup_members", "Amount of members in a consumer group", gauge, []string{"consumergroup"},
		func(s *scrape, out *series) {
			for i := range s.groups {
				if g := &s.groups[i]; g.Described {
					out.add(float64(len(g.Members)), []*dto.LabelPair{s.labels.pair("consumergroup", g.ID)})
				}
			}
		},
	},
}

func brokerInfo(s *scrape, out *series) {
	told := map[int32]bool{}
	for _, b := range s.Cluster.Brokers {
		if told[b.ID] {
			continue
		}
		told[b.ID] = true
		out.add(1, []*dto.LabelPair{
			s.labels.pair("address", net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))), s.labels.pair("id", strconv.Itoa(int(b.ID))),
		})
	}
}

func byLog(name, help string, value func(*monitor.Log) (v float64, known bool)) family {
	labels := []string{"partition", "topic"}
	return family{ofKafkaExporter, "kafka_topic_partition_" + name, help, gauge, labels, func(s *scrape, out *series) {
		for i := range s.topics {
			t := &s.topics[i]
			for k := range t.Partitions {
				if v, known := value(&t.Partitions[k]); known {
					out.add(v, t.logs[k])
				}
			}
		}
	}}
}

// committed tells whether a group has a commit of some partition of a topic.
func (t *groupTopic) committed() bool {
	for i := range t.partitions {
		if t.partitions[i].Commit >= 0 {
			return true
		}
	}
	return false
}

// byCommit has all partitions of the topics that a group has a commit of.
func byCommit(name, help string, value func(*monitor.Partition) (v float64, known bool)) family {
	return family{
		ofKafkaExporter, "kafka_consumergroup_" + name, help, gauge, []string{"consumergroup", "partition", "topic"},
		func(s *scrape, out *series) {
			for i := range s.groups {
				group := s.labels.pair("consumergroup", s.groups[i].ID)
				for k := range s.groups[i].topics {
					t := &s.groups[i].topics[k]
					if !t.committed() {
						continue
					}
					told := map[int32]bool{}
					for _, p := range t.partitions {
						told[p.Partition.Partition] = true
						if v, known := value(p.Partition); known {
							out.add(v, []*dto.LabelPair{group, s.partition(p.Partition.Partition), t.labels[1]})
						}
					}
					topic, ok := s.Topic(t.name)
					if !ok {
						continue
					}
					for n := range topic.Partitions {
						if number := topic.Partitions[n].Partition; !told[number] {
							out.add(-1, []*dto.LabelPair{group, s.partition(number), t.labels[1]})
						}
					}
				}
			}
		},
	}
}

func byCommits(name, help string, value func(*groupTopic) float64) family {
	return family{
		ofKafkaExporter, "kafka_consumergroup_" + name, help, gauge, []string{"consumergroup", "topic"}, func(s *scrape, out *series) {
			for i := range s.groups {
				group := s.labels.pair("consumergroup", s.groups[i].ID)
				for k := range s.groups[i].topics {
					if t := &s.groups[i].topics[k]; t.committed() {
						out.add(value(t), []*dto.LabelPair{group, t.labels[1]})
					}
				}
			}
		},
	}
}
