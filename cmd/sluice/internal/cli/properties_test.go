package cli

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// The file's delivery.timeout.ms counts, also where it is the library's own default; without one it is Kafka's.
func TestProduceDeliveryTimeout(t *testing.T) {
	t.Parallel()
	p := &Process{Env: func(string) (string, bool) { return "", false }}
	for text, want := range map[string]time.Duration{
		"": 2 * time.Minute, "client.id=x": 2 * time.Minute, "delivery.timeout.ms=30000": 30 * time.Second, "delivery.timeout.ms=5000": 5 * time.Second,
	} {
		flags := kafkaFlags{defaults: produceDefaults}
		if text != "" {
			flags.properties = write(t, "client.properties", text)
		}
		cfg, err := flags.config(p, noConfig)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := new(produceOptions).producer(cfg); err != nil || got.DeliveryTimeout != want {
			t.Errorf("%q: %v, %v; want %v", text, got.DeliveryTimeout, err, want)
		}
	}
	flags := kafkaFlags{defaults: produceDefaults, properties: write(t, "client.properties", "client.id=x\ndelivery.timeout.ms=soon")}
	if _, err := flags.config(p, noConfig); err == nil || !strings.Contains(err.Error(), "line 2: delivery.timeout.ms") {
		t.Errorf("it says %v", err)
	}
}

// aborted writes a record that a transaction takes back, and before it one that stays.
func aborted(t *testing.T, address string, r func() *kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), r()).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
}

// isolation.level and auto.offset.reset of a properties file hold where no flag says otherwise.
func TestConsumeProperties(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "t", Partitions: 1})
	aborted(t, address, func() *kgo.Record { return &kgo.Record{Topic: "t", Value: []byte("v")} })
	for _, test := range []struct {
		properties string
		args       []string
		want       int
	}{
		{"client.id=x", nil, 1},
		{"isolation.level=read_uncommitted", nil, 2},
		{"isolation.level=read_uncommitted", []string{"--isolation", "read_committed"}, 1},
		{"auto.offset.reset=latest", nil, 0},
		{"auto.offset.reset=latest", []string{"--from", "earliest"}, 1},
		{"auto.offset.reset=by_duration:P1D", nil, 1},
	} {
		args := append([]string{"consume", "-b", address, "-t", "t", "-e", "--properties", write(t, "p", test.properties)}, test.args...)
		if got := execute(t, ExitDone, args...).stdout.String(); strings.Count(got, "v\n") != test.want {
			t.Errorf("%s %v prints %q", test.properties, test.args, got)
		}
	}
}

// With auto.offset.reset=by_duration consume and a dry run begin at the first record that is no older.
func TestByDuration(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i, age := range []time.Duration{72 * time.Hour, time.Hour, 0} {
		r := order(strconv.Itoa(i), fmt.Sprintf(`{"id":%d,"status":"paid","qty":1,"price":1}`, i))
		r.Timestamp = time.Now().Add(-age)
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	properties := write(t, "p", "auto.offset.reset=by_duration:P1D")
	got := execute(t, ExitDone, "consume", "-b", address, "-t", "orders", "-e", "--properties", properties).stdout.String()
	if strings.Contains(got, `"id":0`) || strings.Count(got, "\n") != 2 {
		t.Errorf("consume prints %q", got)
	}
	file := printFile(t, address, "{topics: [orders]}", insertColumns, "")
	got = execute(t, ExitDone, "run", file, "--print", "--properties", properties).stdout.String()
	if strings.Count(got, "\n") != 2 {
		t.Errorf("the dry run prints %q", got)
	}
}

// A dry run sees what the run would see.
func TestPrintProperties(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	aborted(t, address, func() *kgo.Record { return order("1", `{"id":1,"status":"paid","qty":1,"price":1}`) })
	open, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("open"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := open.ProduceSync(t.Context(), order("2", `{"id":2,"status":"paid","qty":1,"price":1}`)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	file := printFile(t, address, "{topics: [orders]}", insertColumns, "")
	for properties, want := range map[string]int{
		"client.id=x": 1, "isolation.level=read_uncommitted": 3, "auto.offset.reset=latest\nisolation.level=read_uncommitted": 1,
	} {
		args := []string{"run", file, "--print", "--properties", write(t, "p", properties)}
		if strings.Contains(properties, "latest") {
			args = append(args, "-n", "2") // behind the end there is nothing: the last two are shown, a marker and a record
		}
		if got := execute(t, ExitDone, args...).stdout.String(); strings.Count(got, "\n") != want {
			t.Errorf("%s prints %q", properties, got)
		}
	}
}

// group.id and auto.offset.reset of a properties file hold where the pipeline has none; two groups are a mistake.
func TestRunProperties(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	send(t, address, order("1", `{"id":1}`))
	sink := "\ndecode: json\nsink: {sql: {dsn: 'sqlite:%s/t.db', table: t, mode: insert, create: true, columns: {id: id}}}\ncommit: {interval: 20ms}\n"
	groups := func() string {
		client, err := kgo.NewClient(kgo.SeedBrokers(address))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		listed, err := kadm.NewClient(client).ListGroups(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(listed.Groups(), " ")
	}
	pipelineFile := func(source string) string {
		return write(t, "p.yaml", "name: unused\nsource: "+source+fmt.Sprintf(sink, t.TempDir()))
	}
	properties := write(t, "p", "bootstrap.servers="+address+"\ngroup.id=theirs\nauto.offset.reset=latest\n")

	r := execute(t, ExitUsage, "run", pipelineFile("{topics: [orders], group: ours}"), "--properties", properties)
	if got := r.stderr.String(); !strings.HasSuffix(got, "p.yaml:2:35: source.group: \"ours\", where the properties of Kafka say group.id=theirs; leave one of them out\n") {
		t.Errorf("it says %q", got)
	}
	r = execute(t, ExitDone, "run", pipelineFile("{topics: [orders]}"), "--properties", properties, "--until-caught-up")
	if got := r.stdout.String(); !strings.Contains(got, `"rows":0,`) {
		t.Errorf("from the properties' latest on it says %s", got)
	}
	if got := groups(); got != "theirs" {
		t.Errorf("the groups are %q", got)
	}
	other := write(t, "p", "bootstrap.servers="+address+"\nauto.offset.reset=latest\n")
	r = execute(t, ExitDone, "run", pipelineFile("{topics: [orders], start: earliest, group: ours}"), "--properties", other, "--until-caught-up")
	if got := r.stdout.String(); !strings.Contains(got, `"rows":1,`) {
		t.Errorf("from the pipeline's earliest on it says %s", got)
	}
}
