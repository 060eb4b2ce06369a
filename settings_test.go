package sluice_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// inField is what each settable property puts into its field, but for security: see properties_test.go and security_test.go.
var inField = map[string]struct{ value, field, want string }{
	"bootstrap.servers":                  {"a:1,b:2", "Brokers", "[a:1 b:2]"},
	"client.id":                          {"me", "ClientID", "me"},
	"connections.max.idle.ms":            {"1000", "Network.IdleTimeout", "1s"},
	"metadata.max.age.ms":                {"300000", "Network.MetadataMaxAge", "5m0s"},
	"receive.buffer.bytes":               {"65536", "Network.ReceiveBufferBytes", "65536"},
	"request.timeout.ms":                 {"900000", "Network.RequestTimeout", "15m0s"},
	"retry.backoff.max.ms":               {"1000", "Network.RetryBackoffMax", "1s"},
	"retry.backoff.ms":                   {"100", "Network.RetryBackoff", "100ms"},
	"send.buffer.bytes":                  {"131072", "Network.SendBufferBytes", "131072"},
	"socket.connection.setup.timeout.ms": {"1", "Network.DialTimeout", "1ms"},

	"auto.offset.reset":             {"latest", "Start", fmt.Sprint(sluice.Latest())},
	"client.rack":                   {"r1", "Rack", "r1"},
	"fetch.max.bytes":               {"1073741824", "Fetch.MaxBytes", "1073741824"},
	"fetch.max.wait.ms":             {"10", "Fetch.MaxWait", "10ms"},
	"fetch.min.bytes":               {"1", "Fetch.MinBytes", "1"},
	"group.id":                      {"g", "Group", "g"},
	"group.instance.id":             {"pod-1", "InstanceID", "pod-1"},
	"heartbeat.interval.ms":         {"3000", "HeartbeatInterval", "3s"},
	"isolation.level":               {"read_uncommitted", "ReadUncommitted", "true"},
	"max.partition.fetch.bytes":     {"1048576", "Fetch.MaxPartitionBytes", "1048576"},
	"max.poll.interval.ms":          {"2147483647", "RebalanceTimeout", "596h31m23.647s"},
	"partition.assignment.strategy": {"org.apache.kafka.clients.consumer.RangeAssignor, sticky", "Assignors", "[range sticky]"},
	"session.timeout.ms":            {"45000", "SessionTimeout", "45s"},

	"batch.size":              {"16384", "ProducerConfig.BatchBytes", "16384"},
	"buffer.memory":           {"33554432", "ProducerConfig.MaxBufferedBytes", "33554432"},
	"compression.gzip.level":  {"9\ncompression.type=gzip", "ProducerConfig.CompressionLevel", "9"},
	"compression.lz4.level":   {"1\ncompression.type=lz4", "ProducerConfig.CompressionLevel", "1"},
	"compression.type":        {"zstd", "ProducerConfig.Compression", "zstd"},
	"compression.zstd.level":  {"22\ncompression.type=zstd", "ProducerConfig.CompressionLevel", "22"},
	"delivery.timeout.ms":     {"120000", "ProducerConfig.DeliveryTimeout", "2m0s"},
	"linger.ms":               {"5", "ProducerConfig.Linger", "5ms"},
	"max.request.size":        {"1048576", "ProducerConfig.MaxRequestBytes", "1048576"},
	"group.protocol":          {"CONSUMER", "GroupProtocol", "consumer"},
	"group.remote.assignor":   {"range", "RemoteAssignor", "range"},
	"partitioner.class":       {"org.apache.kafka.clients.producer.RoundRobinPartitioner", "ProducerConfig.Partitioner", "round-robin"},
	"partitioner.ignore.keys": {"true", "ProducerConfig.Partitioner", "sticky"},
}

// fieldOf is a field's value as text.
func fieldOf(cfg sluice.Config, path string) string {
	v := reflect.ValueOf(cfg)
	if rest, ok := strings.CutPrefix(path, "ProducerConfig."); ok {
		v, path = reflect.ValueOf(cfg.Producer()), rest
	}
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByName(name)
	}
	return fmt.Sprint(v.Interface())
}

func TestEveryPropertyHasItsEffectOrAReason(t *testing.T) {
	for _, row := range sluice.Settings() {
		refused := strings.Contains(row.Here, "refused because")
		c, tested := inField[row.Name]
		switch {
		case row.Part == "security" && !refused, row.Part == "field", row.Name == "enable.metrics.push":
			continue
		case refused == tested:
			t.Errorf("%s: tested %v, refused %v", row.Name, tested, refused)
		case refused:
			_, err := sluice.FromProperties(strings.NewReader(row.Name + "=hunter2"))
			all := configErrors(err)
			if len(all) != 1 || all[0].Property != row.Name || all[0].Line != 1 || !strings.HasPrefix(all[0].Problem, "refused because ") {
				t.Errorf("%s: %v", row.Name, err)
			} else if told := strings.Contains(err.Error(), "hunter2"); told == (row.Type == "secret") {
				t.Errorf("%s, a %s: %v", row.Name, row.Type, err)
			}
		default:
			cfg, err := sluice.FromProperties(strings.NewReader(row.Name + "=" + c.value))
			if err != nil || fieldOf(cfg, c.field) != c.want {
				t.Errorf("%s=%s: %s is %q, want %q (%v)", row.Name, c.value, c.field, fieldOf(cfg, c.field), c.want, err)
			}
			if !strings.Contains(row.Here, "`"+c.field+"`") {
				t.Errorf("%s: the page does not name %s: %s", row.Name, c.field, row.Here)
			}
		}
	}
}

func TestAValueThatSaysWhatIsDoneAnywayIsAccepted(t *testing.T) {
	for _, text := range []string{
		"enable.auto.commit=false", "enable.idempotence=true", "acks=all", "acks=-1", "group.protocol=classic", "group.protocol=CLASSIC",
		"allow.auto.create.topics=false", "check.crcs=true", "exclude.internal.topics=true", "client.dns.lookup=use_all_dns_ips",
		"max.in.flight.requests.per.connection=5", "retries=2147483647", "enable.metrics.push=true", "isolation.level=read_committed",
		"interceptor.classes=", "config.providers=", "partitioner.availability.timeout.ms=0", "partitioner.ignore.keys=false",
		"receive.buffer.bytes=-1", "send.buffer.bytes=-1", "linger.ms=0", "transaction.two.phase.commit.enable=false",
		"metadata.recovery.strategy=rebootstrap", "ssl.protocol=TLSv1.3", "security.protocol=PLAINTEXT",
	} {
		cfg, err := sluice.FromProperties(strings.NewReader(text))
		if err != nil || !reflect.DeepEqual(cfg, sluice.Config{}) {
			t.Errorf("%s: %+v, %v", text, cfg, err)
		}
	}
	cfg, err := sluice.FromProperties(strings.NewReader("compression.type=gzip\ncompression.gzip.level=-1\nauto.offset.reset=earliest"))
	if p := cfg.Producer(); err != nil || p.Compression != sluice.Gzip || p.CompressionLevel != 0 || cfg.Start != sluice.Earliest() {
		t.Errorf("%+v, %v", p, err)
	}
	cfg, err = sluice.FromProperties(strings.NewReader("enable.metrics.push=false"))
	if err != nil || len(cfg.ClientOptions) != 1 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestAValueThatCannotBeHadSaysWhatCan(t *testing.T) {
	for text, says := range map[string]string{
		"enable.auto.commit=true":                                                `enable.auto.commit: "true": refused because it commits records whose handler may still fail; here only what a handler has finished is committed`,
		"acks=1":                                                                 `acks: "1": refused because every write is idempotent and acknowledged by all in-sync replicas`,
		"enable.idempotence=false":                                               "refused because every write is idempotent",
		"transactional.id=t":                                                     "refused because transactions are not supported",
		"group.protocol=streams":                                                 `"streams" is none of classic, consumer`,
		"group.remote.assignor=sticky":                                           `"sticky" is none of uniform, range`,
		"group.protocol=consumer\nsession.timeout.ms=6000":                       "the broker decides, by its group.consumer.session.timeout.ms",
		"group.protocol=consumer\nheartbeat.interval.ms=1000":                    "the broker decides, by its group.consumer.heartbeat.interval.ms",
		"group.protocol=consumer\npartition.assignment.strategy=range":           "give RemoteAssignor (group.remote.assignor)",
		"key.deserializer=x.Y":                                                   "Route.Decode",
		"interceptor.classes=x.Y":                                                "Middleware sees each record",
		"max.poll.interval.ms=99":                                                "accepted are whole numbers from 100 to 2147483647, in milliseconds",
		"fetch.max.wait.ms=0":                                                    `fetch.max.wait.ms (Fetch.MaxWait): "0": accepted are whole numbers from 10 to 900000, in milliseconds`,
		"fetch.min.bytes=0":                                                      "accepted are whole numbers from 1 to 1073741824, in bytes",
		"fetch.min.bytes=9223372036854775808":                                    "accepted are whole numbers from 1",
		"connections.max.idle.ms=-1":                                             "so none are kept for ever (-1)",
		"request.timeout.ms=9223372036854775":                                    "accepted are whole numbers from 100 to 900000",
		"receive.buffer.bytes=0":                                                 "accepted are whole numbers from 1 to 1073741824, in bytes, or -1 to leave it to the default",
		"receive.buffer.bytes=-2":                                                "or -1",
		"linger.ms=-1":                                                           "accepted are whole numbers from 0 to 60000",
		"auto.offset.reset=none":                                                 "refused because a group has to begin somewhere; give earliest or latest",
		"auto.offset.reset=smallest":                                             `"smallest" is none of earliest, latest, by_duration:P…`,
		"auto.offset.reset=by_duration:1h":                                       "is not a duration such as by_duration:P1DT6H30M",
		"isolation.level=serializable":                                           "is none of read_committed, read_uncommitted",
		"compression.type=brotli":                                                "is none of none, gzip, snappy, lz4, zstd",
		"compression.gzip.level=5":                                               "has no effect without compression.type=gzip",
		"compression.zstd.level=23\ncompression.type=zstd":                       "from 1 to 22",
		"partitioner.class=com.acme.Mine":                                        "a class of Java's cannot run here; give murmur2, sticky",
		"partitioner.class=murmur2\npartitioner.ignore.keys=true":                "partitioner.class is given as well",
		"partition.assignment.strategy=com.acme.Mine":                            `"com.acme.Mine" is none of cooperative-sticky, sticky, range, roundrobin`,
		"partition.assignment.strategy=range,range":                              `"range" is named twice`,
		"group.instance.id=":                                                     "accepted are 1 to 249 of the characters",
		"bootstrap.servers=a:1,,b:1":                                             "an empty address",
		"enable.metrics.push=maybe":                                              "is none of true, false",
		"session.timeout.ms=9000\nheartbeat.interval.ms=3001":                    `line 2: heartbeat.interval.ms (HeartbeatInterval): "3001": is more than a third of SessionTimeout (session.timeout.ms), 9s`,
		"fetch.max.bytes=1000\n\nmax.partition.fetch.bytes=1001":                 `line 1: fetch.max.bytes (Fetch.MaxBytes): "1000": is below Fetch.MaxPartitionBytes (max.partition.fetch.bytes), 1001`,
		"request.timeout.ms=2000\nfetch.max.wait.ms=2000":                        `line 2: fetch.max.wait.ms (Fetch.MaxWait): "2000": is not below Network.RequestTimeout`,
		"retry.backoff.ms=2000\nretry.backoff.max.ms=1000":                       `line 2: retry.backoff.max.ms (Network.RetryBackoffMax): "1000": is below`,
		"sasl.oauthbearer.client.credentials.client.secret=hunter2":              "",
		"ssl.keystore.key=hunter2\nssl.keystore.certificate.chain=hunter2":       "",
		"sasl.jaas.config=hunter2\nssl.key.password=hunter2\nsasl.password=x":    "",
		"sasl.oauthbearer.assertion.private.key.passphrase=hunter2\nsasl.jaas=x": "",
	} {
		_, err := sluice.FromProperties(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v,\nwant %s", text, err, says)
		}
	}
}

// What contradicts a field that code may still set is no mistake of the file.
func TestAFileIsNotBlamedForWhatItLeavesOut(t *testing.T) {
	for text, field := range map[string]string{
		"max.poll.interval.ms=25000":          "RebalanceTimeout",
		"heartbeat.interval.ms=16000":         "HeartbeatInterval",
		"fetch.min.bytes=60000000":            "Fetch.MinBytes",
		"max.partition.fetch.bytes=600000000": "MaxBufferedBytes",
		"group.remote.assignor=uniform":       "RemoteAssignor",
	} {
		cfg, err := sluice.FromProperties(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		cfg.Brokers, cfg.Group = []string{"a:1"}, "g"
		if e := onlyMistake(t, cfg); e.Field != field {
			t.Errorf("%s: %v", text, e)
		}
	}
}

func TestAStartThatIsADuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": 24 * time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, "pt0.001s": time.Millisecond,
	} {
		before := time.Now()
		cfg, err := sluice.FromProperties(strings.NewReader("auto.offset.reset=by_duration:" + text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if at := cfg.Start.Time(); at.Before(before.Add(-want)) || at.After(time.Now().Add(-want)) {
			t.Errorf("%s: %v", text, at)
		}
	}
	for _, text := range []string{"", "P", "PT", "P1DT", "1h", "P1H", "PT1D", "P-1D", "P99999999999D"} {
		if _, err := sluice.FromProperties(strings.NewReader("auto.offset.reset=by_duration:" + text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestNamesOfOtherClientsAreNoneOfOurs(t *testing.T) {
	var ours, seen []string
	for _, row := range sluice.Settings() {
		ours = append(ours, row.Name)
	}
	for _, n := range sluice.ForeignNames() {
		if slices.Contains(ours, n.Name) && !strings.Contains(n.Client, "kafka-go") || slices.Contains(seen, n.Name) {
			t.Errorf("%s of %s is known already", n.Name, n.Client)
		}
		seen = append(seen, n.Name)
		_, err := sluice.FromProperties(strings.NewReader(n.Name + "=hunter2"))
		if err == nil || !strings.Contains(err.Error(), n.Answer) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", n.Name, err)
		}
		for word := range strings.FieldsFuncSeq(n.Answer, func(r rune) bool { return strings.ContainsRune(" ,;:()", r) }) {
			word = strings.TrimSuffix(word, ".")
			if word == strings.ToLower(word) && strings.Contains(word, ".") && !slices.Contains(ours, word) {
				t.Errorf("%s is answered with %s, which is no property", n.Name, word)
			}
		}
	}
}
