package servers

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKafkaSurvivesAKill(t *testing.T) {
	k := Kafka(t)
	k.own(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...), kgo.ConsumeTopics("survives"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "survives"); err != nil {
		t.Fatal(err)
	}
	const records = 10
	for range records {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "survives", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	k.Kill(t)
	if err := askKafka(t.Context(), k.Brokers); err == nil {
		t.Fatal("it answers after it was killed")
	}
	k.Restart(t)
	for seen := 0; seen < records; {
		fetches := client.PollFetches(t.Context())
		if err := t.Context().Err(); err != nil {
			t.Fatalf("%d of %d records: %v", seen, records, err)
		}
		seen += fetches.NumRecords()
	}
	k.Stop(t)
	if Kafka(t) != k || askKafka(t.Context(), k.Brokers) != nil {
		t.Error("a broker that a test stopped is not started again for the next")
	}
}

func TestKafkaToolsRun(t *testing.T) {
	k := Kafka(t)
	admin, err := kgo.NewClient(kgo.SeedBrokers(k.Seeds()...))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	offsets := make(kadm.Offsets)
	offsets.AddOffset("tools", 0, 0, -1)
	if _, err := kadm.NewClient(admin).CreateTopic(t.Context(), 1, 1, nil, "tools"); err != nil {
		t.Fatal(err)
	}
	if err := kadm.NewClient(admin).CommitAllOffsets(t.Context(), "tools-group", offsets); err != nil {
		t.Fatal(err)
	}
	const groups = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	out, err := k.Tool(t.Context(), groups, "--bootstrap-server", k.Brokers, "--list")
	if err != nil || !strings.Contains(string(out), "tools-group") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := k.Tool(t.Context(), groups, "--no-such-flag"); err == nil {
		t.Errorf("a tool that fails gives no error: %s", out)
	}
}
