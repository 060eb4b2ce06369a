package monitoring

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

// The rules for the JMX exporter have a real broker tell what the usual dashboards and alerts for Kafka ask for, by these names.
func TestBrokersTellTheirMetrics(t *testing.T) {
	t.Parallel()
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	k, metrics := servers.KafkaWithMetrics(t, filepath.Join(root, "deploy", "jmx", "kafka.yml"))
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.DefaultProduceTopic("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 2, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	for i := range records {
		cl.Produce(t.Context(), &kgo.Record{Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := servers.StartPrometheus(t, metrics)
	until(t, p, `kafka_server_brokertopicmetrics_messagesin_total{topic="orders"}`, is(records))
	until(t, p, `sum(kafka_log_log_logendoffset{topic="orders"})`, is(records))
	until(t, p, `kafka_network_requestmetrics_totaltimems{request="Produce",quantile="0.99"}`, between(0, 60_000))
	until(t, p, `kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent`, between(0, 2)) // a meter: it may pass 1 by a little
	until(t, p, `kafka_network_socketserver_networkprocessoravgidle_percent`, between(0, 2))
	until(t, p, `count(kafka_cluster_partition_underreplicated{topic="orders"} == 0)`, is(2))
	until(t, p, `count(kafka_cluster_partition_underminisr{topic="orders"} == 0)`, is(2))
	for name, want := range map[string]float64{
		"kafka_controller_controllerstats_uncleanleaderelections_total":   0,
		"kafka_controller_kafkacontroller_activecontrollercount":          1,
		"kafka_controller_kafkacontroller_offlinepartitionscount":         0,
		"kafka_controller_kafkacontroller_preferredreplicaimbalancecount": 0,
		"kafka_log_logmanager_offlinelogdirectorycount":                   0,
		"kafka_server_raft_metrics_current_leader":                        1,
		"kafka_server_replicamanager_isrexpands_total":                    0,
		"kafka_server_replicamanager_isrshrinks_total":                    0,
		"kafka_server_replicamanager_underminisrpartitioncount":           0,
		"kafka_server_replicamanager_underreplicatedpartitions":           0,
	} {
		until(t, p, name, is(want))
	}
}
