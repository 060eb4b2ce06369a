package monitoring

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	for i := range 1000 {
		cl.Produce(t.Context(), &kgo.Record{Value: fmt.Append(nil, i)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce: %v", err)
			}
		})
	}
	if err := cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Each at most once for a set of labels, and with this value, or any.
	for _, want := range []string{
		`kafka_server_brokertopicmetrics_messagesin_total{topic="orders"} 1000.0`,
		`kafka_log_log_logendoffset{partition="1",topic="orders"} `,
		`kafka_network_requestmetrics_totaltimems{quantile="0.99",request="Produce"} `,
		`kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent `,
		`kafka_network_socketserver_networkprocessoravgidle_percent `,
		`kafka_cluster_partition_underreplicated{partition="1",topic="orders"} 0.0`,
		`kafka_cluster_partition_underminisr{partition="1",topic="orders"} 0.0`,
		`kafka_controller_controllerstats_uncleanleaderelections_total 0.0`,
		`kafka_controller_kafkacontroller_activecontrollercount 1.0`,
		`kafka_controller_kafkacontroller_offlinepartitionscount 0.0`,
		`kafka_controller_kafkacontroller_preferredreplicaimbalancecount 0.0`,
		`kafka_log_logmanager_offlinelogdirectorycount 0.0`,
		`kafka_server_raft_metrics_current_leader 1.0`,
		`kafka_server_replicamanager_isrexpands_total 0.0`,
		`kafka_server_replicamanager_isrshrinks_total 0.0`,
		`kafka_server_replicamanager_underminisrpartitioncount 0.0`,
		`kafka_server_replicamanager_underreplicatedpartitions 0.0`,
	} {
		told := ""
		for deadline := time.Now().Add(time.Minute); !strings.Contains(told, "\n"+want); told = read(t, metrics) {
			if told != "" && time.Now().After(deadline) {
				t.Fatalf("it does not tell %s", want)
			}
		}
	}
}

// read returns what a broker tells.
func read(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return string(text)
}
