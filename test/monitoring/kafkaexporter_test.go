package monitoring

import (
	"testing"

	"github.com/sluice-go/sluice/monitor/exporter"
	"github.com/sluice-go/sluice/test/servers"
)

// asked is what dashboards and alert rules that are made for kafka_exporter ask. Of conditions that nothing in the demo meets it is what they compare.
var asked = []struct {
	who         string
	expressions []string
}{
	{"Grafana's dashboard 7589", []string{
		`sum(rate(kafka_topic_partition_current_offset{instance=~".+", topic=~".+"}[1m])) by (topic)`,
		`sum(kafka_consumergroup_lag{instance=~".+", topic=~".+"}) by (consumergroup, topic)`,
		`sum(delta(kafka_topic_partition_current_offset{instance=~".+", topic=~".+"}[5m])/5) by (topic)`,
		`sum(delta(kafka_consumergroup_current_offset{instance=~".+", topic=~".+"}[5m])/5) by (consumergroup, topic)`,
		`sum by (topic) (kafka_topic_partitions{instance=~".+", topic=~".+"})`,
		`kafka_consumergroup_current_offset{job=~".+"}`,
		`kafka_topic_partition_current_offset{instance=~".+", topic!="__consumer_offsets", topic!="--kafka"}`,
	}},
	{"Strimzi's dashboard", []string{
		`count(count by (topic) (kafka_topic_partitions))`,
		`sum(kafka_topic_partitions)`,
		`sum(kafka_topic_partition_replicas)`,
		`sum(kafka_topic_partition_in_sync_replica)`,
		`sum(kafka_topic_partition_under_replicated_partition)`,
		`min(kafka_topic_partition_in_sync_replica) by (topic)`,
		`count(kafka_topic_partition_leader_is_preferred < 1) or vector(0)`,
		`kafka_topic_partition_leader{topic=~".+", partition=~".+"}`,
		`sum by (consumergroup) (kafka_consumergroup_lag{topic=~".+", consumergroup=~".+"})`,
		`sum(rate(kafka_consumergroup_current_offset[5m])) by (consumergroup, topic)`,
		`sum by (topic, partition) (kafka_topic_partition_current_offset) - sum by (topic, partition) (kafka_topic_partition_oldest_offset)`,
		`sum(kafka_topic_partition_current_offset) by (partition, topic)
			- on (partition, topic) group_right sum(kafka_consumergroup_current_offset) by (consumergroup, partition, topic)`,
	}},
	{"Strimzi's alerts", []string{
		`kafka_topic_partition_under_replicated_partition`,
		`kafka_consumergroup_lag > 1000`,
		`changes(kafka_topic_partition_current_offset[10m]) == 0`,
	}},
	{"awesome-prometheus-alerts", []string{
		`sum(kafka_topic_partition_in_sync_replica) by (topic) < 3`,
		`sum(kafka_consumergroup_lag) by (consumergroup) > 50`,
	}},
	{"other alerts", []string{
		`kafka_brokers < 3`,
		`count(kafka_broker_info{address=~".+:[0-9]+"})`,
		`kafka_consumergroup_members == 1`,
		`kafka_consumergroup_lag_sum > 1000`,
		`rate(kafka_consumergroup_current_offset_sum[5m]) > 0`,
		`deriv(kafka_consumergroup_lag_sum[5m])`,
	}},
}

// Dashboards and alert rules that are made for kafka_exporter have answers from a monitor that tells its names, and the right ones.
func TestWhatIsAskedOfKafkaExporterIsAnswered(t *testing.T) {
	t.Parallel()
	target, stop := demo(t, exporter.Config{KafkaExporter: true})
	defer stop()
	p := servers.StartPrometheus(t, target)
	for _, a := range asked {
		for _, e := range a.expressions {
			answered(t, p, a.who, e)
		}
	}
	for expression, want := range map[string]float64{
		`kafka_topic_partitions{topic="orders"}`:                                                2,
		`count(kafka_topic_partition_current_offset{topic="orders"})`:                           2,
		`count(kafka_consumergroup_lag{consumergroup="audit", topic="orders"})`:                 2,
		`kafka_consumergroup_members{consumergroup="billing"}`:                                  1,
		`sum(kafka_consumergroup_lag) - sum(kafka_consumergroup_lag_sum)`:                       0,
		`sum(kafka_consumergroup_current_offset) - sum(kafka_consumergroup_current_offset_sum)`: 0,
		`sum(kafka_topic_partition_current_offset{topic="orders"}) - sum(kafka_consumergroup_current_offset{consumergroup="audit"})
			- sum(kafka_consumergroup_lag{consumergroup="audit"})`: 0,
	} {
		until(t, p, expression, is(want))
	}
}
