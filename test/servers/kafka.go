package servers

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/process"
)

// KafkaServer is one Apache Kafka node, broker and controller in one.
type KafkaServer struct {
	server

	// Brokers is host:port; a list with commas when KAFKA_BROKERS gave one.
	Brokers string
}

// Seeds returns Brokers as a list.
func (k *KafkaServer) Seeds() []string { return strings.Split(k.Brokers, ",") }

// Kill ends the broker with SIGKILL.
func (k *KafkaServer) Kill(tb testing.TB) { tb.Helper(); k.kill(tb) }

// Stop ends the broker as an operator does.
func (k *KafkaServer) Stop(tb testing.TB) { tb.Helper(); k.stop(tb) }

// Restart starts the broker again, on its data and its port, killing it first if it runs. It returns when the broker
// answers.
func (k *KafkaServer) Restart(tb testing.TB) { tb.Helper(); k.restartFor(tb) }

// Tool runs one of Kafka's own programs by its main class, such as
// org.apache.kafka.tools.consumer.group.ConsumerGroupCommand, and returns what it printed. Give it --bootstrap-server.
func (k *KafkaServer) Tool(ctx context.Context, mainClass string, args ...string) ([]byte, error) {
	java, err := java()
	if err != nil {
		return nil, err
	}
	// A program that lives for a second starts sooner without the optimising compiler.
	argv := slices.Concat(java, []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", mainClass}, args)
	return process.Output(ctx, nil, argv...)
}

// java returns the start of a command line: the program with Kafka's jars.
func java() ([]string, error) {
	program, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("kafka: Java is %w", errMissing)
	}
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	libs := filepath.Join(root, ".cache", "kafka", "libs")
	if jars, _ := filepath.Glob(filepath.Join(libs, "kafka_*.jar")); len(jars) == 0 {
		return nil, fmt.Errorf("kafka: the jars are %w", errMissing)
	}
	return []string{program, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(libs, "*")}, nil
}

func startKafka() (*KafkaServer, error) {
	if brokers := os.Getenv("KAFKA_BROKERS"); brokers != "" {
		return &KafkaServer{server: server{name: "Kafka"}, Brokers: brokers}, nil
	}
	return startKafkaWith("")
}

// KafkaWith returns a broker of the test's own, with lines of server.properties that differ from the defaults. It ends with the test.
func KafkaWith(tb testing.TB, lines string) *KafkaServer {
	tb.Helper()
	k, err := startKafkaWith(lines)
	endsWith(tb, err, func() { k.remove() })
	return k
}

// KafkaWithMetrics returns a broker of the test's own, and the address where Prometheus' JMX exporter tells its metrics, by the rules in a
// file.
func KafkaWithMetrics(tb testing.TB, rules string) (k *KafkaServer, metrics string) {
	tb.Helper()
	ports, err := freePorts(tb.Context(), 1)
	if err != nil {
		tb.Fatal(err)
	}
	root, err := Repository()
	if err != nil {
		tb.Fatal(err)
	}
	metrics = address(ports[0])
	agents, _ := filepath.Glob(filepath.Join(root, ".cache", "kafka", "libs", "jmx_prometheus_javaagent-*.jar"))
	if len(agents) == 0 {
		unavailable(tb, fmt.Errorf("the JMX exporter is %w", errMissing))
	}
	k, err = startKafkaWith("", "-javaagent:"+agents[0]+"="+metrics+":"+rules)
	endsWith(tb, err, func() { k.remove() })
	return k, metrics
}

func startKafkaWith(lines string, flags ...string) (*KafkaServer, error) {
	k := &KafkaServer{}
	var err error
	k.server, err = startNode("Kafka", func(ctx context.Context, dir *dataDir) (plan, error) {
		ports, err := freePorts(ctx, 2)
		if err != nil {
			return plan{}, err
		}
		k.Brokers = address(ports[0])
		admin := listener{"PLAINTEXT", "PLAINTEXT", k.Brokers}
		return plan{properties: kafkaProperties(address(ports[1]), dir.file("data"), admin) + lines, probed: k.Brokers, java: flags}, nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// plan is what a node is started with: the text of its server.properties, and the address that its probe asks.
type plan struct {
	properties, probed string
	cluster            string   // its id; empty: one of its own
	java               []string // flags
}

// startNode makes a node in a new folder, which prepare may put files into, and starts it.
func startNode(name string, prepare func(context.Context, *dataDir) (plan, error)) (server, error) {
	java, err := java()
	if err != nil {
		return server{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), process.StartTimeout)
	defer cancel()
	dir, err := newDataDir()
	if err != nil {
		return server{}, err
	}
	settings := dir.file("server.properties")
	p, err := prepare(ctx, dir)
	if err == nil {
		err = formatNode(ctx, java, settings, p)
	}
	node := server{
		name:  name,
		dir:   dir,
		ready: func(ctx context.Context) error { return askKafka(ctx, p.probed) },
		process: &process.Process{
			Name: name,
			Argv: slices.Concat(java, []string{"-Xmx512m"}, p.java, []string{"kafka.Kafka", settings}),
			Log:  dir.file("kafka.log"),
		},
	}
	if err == nil {
		err = node.restart()
	}
	if err != nil {
		dir.remove()
		return server{}, err
	}
	return node, nil
}

// formatNode writes the settings and prepares the log folder.
func formatNode(ctx context.Context, java []string, settings string, p plan) error {
	if err := os.WriteFile(settings, []byte(p.properties), 0o600); err != nil {
		return err
	}
	id := cmp.Or(p.cluster, clusterID())
	format := slices.Concat(java, []string{"kafka.tools.StorageTool", "format", "-t", id, "-c", settings})
	_, err := process.Output(ctx, nil, format...)
	return err
}

// listener is one way into a broker. Settings of its own begin with listener.name. and the name in small letters.
type listener struct{ name, protocol, address string }

// kafkaProperties are Kafka's defaults but for: copies (there is one broker), the partitions of its own topics (50 take
// time to make), the lower bounds of what tests set low (session times, heartbeats), and the broker's own session: a broker
// that was killed is not let in again before its old one has ended, 9 s by default.
func kafkaProperties(controller, data string, listeners ...listener) string {
	var addresses, protocols []string
	for _, l := range listeners {
		addresses = append(addresses, l.name+"://"+l.address)
		protocols = append(protocols, l.name+":"+l.protocol)
	}
	return fmt.Sprintf(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@%[2]s
listeners=%[1]s,CONTROLLER://%[2]s
advertised.listeners=%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,%[4]s
log.dirs=%[3]s
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=5
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
`, strings.Join(addresses, ","), controller, data, strings.Join(protocols, ","))
}

func clusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])   // never fails
	id[0] = id[0]&0x3f | 0x40 // a leading '-' would read as a flag
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func askKafka(ctx context.Context, broker string, more ...kgo.Opt) error {
	client, err := kgo.NewClient(append(more, kgo.SeedBrokers(broker), kgo.RequestRetries(0))...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	known, err := kadm.NewClient(client).ListBrokers(ctx)
	if err == nil && len(known) == 0 {
		err = errors.New("it has not registered itself yet")
	}
	return err
}
