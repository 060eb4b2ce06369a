package producer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/test/servers"
)

// Java's producer, of the same release as the broker, and ours put each key in the same partition.
func TestKeysGoWhereJavasProducerPutsThem(t *testing.T) {
	const keys, partitions = 2000, 13
	k := servers.Kafka(t)
	topic := newTopic(t, k, partitions, nil)
	out, err := k.Tool(t.Context(), "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", k.Brokers, "--topic", topic,
		"--max-messages", strconv.Itoa(keys), "--repeating-keys", strconv.Itoa(keys))
	if err != nil {
		t.Fatal(err)
	}
	java := map[string]int32{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var sent struct {
			Name      string `json:"name"`
			Key       string `json:"key"`
			Partition int32  `json:"partition"`
		}
		if json.Unmarshal(lines.Bytes(), &sent) == nil && sent.Name == "producer_send_success" {
			java[sent.Key] = sent.Partition
		}
	}
	if len(java) != keys {
		t.Fatalf("Java's producer told of %d keys, want %d", len(java), keys)
	}
	p := newProducer(t, sluice.ProducerConfig{Brokers: k.Seeds()})
	var records []*kgo.Record
	for key := range java {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(key)})
	}
	if err := p.Send(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Partition != java[string(r.Key)] {
			t.Errorf("%s goes to %d, with Java to %d", r.Key, r.Partition, java[string(r.Key)])
		}
	}
}
