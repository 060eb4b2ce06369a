package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// errLeftOut says that an arm cannot run on this machine.
var errLeftOut = errors.New("left out")

// debeziumWorker is Connect's own configuration. REST listens on a port that the system picks.
const debeziumWorker = `bootstrap.servers=%s
listeners=http://127.0.0.1:0
plugin.path=%s
plugin.discovery=service_load
offset.storage.file.filename=%s
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=true
value.converter.schema.content=%s
`

// debeziumSink has a task a partition. The field user goes to the column customer, as in every arm.
const debeziumSink = `name=%s
connector.class=io.debezium.connector.jdbc.JdbcSinkConnector
tasks.max=%d
topics=%s
transforms=rename
transforms.rename.type=org.apache.kafka.connect.transforms.ReplaceField$Value
transforms.rename.renames=user:customer
connection.url=jdbc:mariadb://%s/%s%s
connection.username=%s
connection.password=%s
collection.name.format=%s
insert.mode=insert
primary.key.mode=none
schema.evolution=none
`

// tuned is what makes Debezium fast: batches of six times its default (more made it no faster), in one packet of the driver's.
var tuned = debeziumTuning{worker: "consumer.max.poll.records=3000\n", sink: "batch.size=3000\n", url: "?useBulkStmts=true"}

// debeziumTuning is what is set beside what must be. Zero: nothing, batches of 500.
type debeziumTuning struct{ worker, sink, url string }

// orderSchema tells JsonConverter what plain JSON holds (KIP-1054), so that this arm reads the topic of the others.
const orderSchema = `{"type":"struct","fields":[{"field":"id","type":"int64"},{"field":"user","type":"string"},` +
	`{"field":"amount","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}},` +
	`{"field":"ts","type":"string"}]}`

// debezium is Kafka Connect with Debezium's JDBC sink. It never ends by itself.
func debezium(tuning debeziumTuning) func(context.Context, *stage, *home, job) (*exec.Cmd, error) {
	return func(ctx context.Context, s *stage, _ *home, j job) (*exec.Cmd, error) {
		return tuning.command(ctx, s, j)
	}
}

func (t debeziumTuning) command(ctx context.Context, s *stage, j job) (*exec.Cmd, error) {
	plugins, err := s.fetchDebezium(ctx)
	if err != nil {
		return nil, err
	}
	libs, err := filepath.Abs(filepath.Join("..", ".cache", "kafka", "libs"))
	if err != nil {
		return nil, err
	}
	if found, _ := filepath.Glob(filepath.Join(libs, "connect-runtime-*.jar")); len(found) == 0 {
		return nil, fmt.Errorf("%w: Kafka Connect is not in %s (make servers)", errLeftOut, libs)
	}
	config, err := mysql.ParseDSN(j.DSN)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(s.folder, j.Table)
	worker, sink := base+"-worker.properties", base+"-sink.properties"
	for file, text := range map[string]string{
		worker: fmt.Sprintf(debeziumWorker, s.brokers, plugins, base+".offsets", orderSchema) + t.worker,
		sink: fmt.Sprintf(debeziumSink, j.Group, s.partitions, j.Topic, config.Addr, config.DBName, t.url, config.User, config.Passwd,
			j.Table) + t.sink,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return exec.CommandContext(ctx, "java", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(libs, "*"),
		"org.apache.kafka.connect.cli.ConnectStandalone", worker, sink), nil
}

// fetchDebezium returns the folder that has the plugin's folder; errLeftOut where Java or Maven is missing.
func (s *stage) fetchDebezium(ctx context.Context) (string, error) {
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: %s is not installed (openjdk-17-jre-headless, maven)", errLeftOut, tool)
		}
	}
	pom := filepath.Join("java", "pom.xml")
	if _, err := os.Stat(pom); err != nil {
		return "", fmt.Errorf("run this in the folder bench: %w", err)
	}
	plugins, err := filepath.Abs(filepath.Join("..", ".cache", "debezium"))
	if err != nil {
		return "", err
	}
	const prefix = "debezium-connector-jdbc-"
	jars := filepath.Join(plugins, "jdbc")
	pattern := filepath.Join(jars, prefix+"*.jar")
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		progressf("fetching Debezium's jars")
		text, err := exec.CommandContext(ctx, "mvn", "-B", "-q", "-f", pom, "dependency:copy-dependencies",
			"-DoutputDirectory="+jars).CombinedOutput()
		if err != nil {
			return "", errors.Join(fmt.Errorf("mvn: %w", err), errors.New(string(text)))
		}
		if found, _ = filepath.Glob(pattern); len(found) == 0 {
			return "", fmt.Errorf("mvn copied no %s", pattern)
		}
	}
	version := strings.TrimPrefix(filepath.Base(found[0]), prefix)
	s.machine.Clients["io.debezium:debezium-connector-jdbc"] = strings.TrimSuffix(version, ".jar")
	return plugins, nil
}
