package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

const topicFile = `
name: orders-to-paid
kafka: {brokers: ["%s"]}
source: {topics: [orders], ordering: %s}
decode: json
transform: {filter: value.status == "paid"}
sink:
  topic:
    name: paid
    key: value.customer
    value: '{"id": value.id, "total": value.quantity * value.price}'
delivery: %s
dead_letter: {topic: orders.dlq}
`

func topics(t *testing.T) (*kfake.Cluster, string) {
	t.Helper()
	return cluster(t, kafka.NewTopic{Name: "orders", Partitions: 3}, kafka.NewTopic{Name: "paid", Partitions: 4},
		kafka.NewTopic{Name: "orders.dlq", Partitions: 1})
}

// committedIn reads all that is in a topic, as read_committed sees it.
func committedIn(t *testing.T, address, topic string) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bounds, err := kafka.ReadBounds(ctx, kadm.NewClient(client), false, topic)
	if err != nil {
		t.Fatal(err)
	}
	var left, records = int64(0), []*kgo.Record(nil)
	for _, b := range bounds[topic] {
		left += b.End - b.Start
	}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			t.Fatalf("%d offsets of %s are left: %v", left, topic, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

type topicSummary struct {
	Records      int64   `json:"records"`
	Written      int64   `json:"written"`
	Skipped      int64   `json:"skipped"`
	DeadLettered int64   `json:"dead_lettered"`
	Seconds      float64 `json:"seconds"`
	PerSecond    float64 `json:"records_per_second"`
}

// Each record arrives once, under its new key, in the order of its old one; what the filter rejects does not, what cannot be computed is
// a dead letter, and a tombstone stays one. A second run does nothing.
func TestRunToTopic(t *testing.T) {
	t.Parallel()
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		for _, ordering := range []string{"partition", "key"} {
			t.Run(delivery+"/"+ordering, func(t *testing.T) {
				t.Parallel()
				_, address := topics(t)
				file := write(t, "paid.yaml", fmt.Sprintf(topicFile, address, ordering, delivery))
				const all, customers = 900, 20
				var records []*kgo.Record
				want := map[string][]string{} // by customer
				var rejected, poison int64
				for i := range all {
					customer := fmt.Sprint("c", i%customers)
					r := order(customer, fmt.Sprintf(`{"id":%d,"status":"paid","customer":%q,"quantity":%d,"price":1.50}`, i, customer+"!", i))
					r.Timestamp = time.UnixMilli(1769846400000 + int64(i))
					r.Headers = []kgo.RecordHeader{{Key: "n", Value: fmt.Append(nil, i)}}
					switch {
					case i%7 == 0:
						r.Value = fmt.Appendf(nil, `{"id":%d,"status":"open"}`, i)
						rejected++
					case i%50 == 1:
						r.Value = fmt.Appendf(nil, `{"id":%d,"status":"paid","customer":%q,"quantity":"x"}`, i, customer)
						poison++
					default:
						want[customer+"!"] = append(want[customer+"!"], fmt.Sprintf(`{"id":%d,"total":%v}`, i, float64(i)*1.5))
					}
					records = append(records, r)
				}
				send(t, address, records...)

				s := lineOf[topicSummary](t, execute(t, ExitDone, "run", file, "--until-caught-up"))
				if s.Records != all || s.Skipped != rejected || s.DeadLettered != poison || s.Written != all-rejected-poison {
					t.Errorf("the summary is %+v, want %d, %d skipped and %d dead letters", s, all, rejected, poison)
				}
				got := map[string][]string{}
				partition := map[string]int32{}
				for _, r := range committedIn(t, address, "paid") {
					key := string(r.Key)
					got[key] = append(got[key], string(r.Value))
					if p, seen := partition[key]; seen && p != r.Partition {
						t.Errorf("the records of %s are of partitions %d and %d", key, p, r.Partition)
					}
					partition[key] = r.Partition
					var id int64
					_, _ = fmt.Sscanf(string(r.Value), `{"id":%d`, &id)
					if len(r.Headers) != 1 || string(r.Headers[0].Value) != fmt.Sprint(id) || r.Timestamp.UnixMilli() != 1769846400000+id {
						t.Errorf("record %d has the headers %v and the time %v", id, r.Headers, r.Timestamp)
					}
				}
				for customer, values := range want {
					if !slices.Equal(got[customer], values) {
						t.Errorf("of %s there are\n%q, want\n%q", customer, got[customer], values)
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d keys, want %d", len(got), len(want))
				}
				if dead := committedIn(t, address, "orders.dlq"); int64(len(dead)) != poison {
					t.Errorf("%d dead letters, want %d", len(dead), poison)
				}

				s = lineOf[topicSummary](t, execute(t, ExitDone, "run", file, "--until-caught-up"))
				if s.Records != 0 || s.Written != 0 {
					t.Errorf("the second run did something: %+v", s)
				}
			})
		}
	}
}

// Without expressions, and with least in the file, records arrive as they were.
func TestRunToTopicAsItIs(t *testing.T) {
	t.Parallel()
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			_, address := topics(t)
			file := write(t, "copy.yaml", fmt.Sprintf("name: copy\nkafka: {brokers: [%q]}\nsource: {topics: [orders]}\ndecode: raw\n"+
				"sink: {topic: {name: paid}}\ndelivery: %s\n", address, delivery))
			send(t, address, &kgo.Record{Topic: "orders", Key: []byte{0xff}, Value: []byte{0xfe, 0}}, order("gone", ""),
				&kgo.Record{Topic: "orders", Value: []byte{}}, &kgo.Record{Topic: "orders", Key: []byte{}, Value: []byte("v")})
			s := lineOf[topicSummary](t, execute(t, ExitDone, "run", file, "--until-caught-up"))
			var got []string
			for _, r := range committedIn(t, address, "paid") {
				got = append(got, fmt.Sprintf("%#v %#v", r.Key, r.Value))
			}
			slices.Sort(got)
			want := []string{
				`[]byte(nil) []byte{}`, `[]byte{0x67, 0x6f, 0x6e, 0x65} []byte(nil)`, `[]byte{0xff} []byte{0xfe, 0x0}`, `[]byte{} []byte{0x76}`,
			}
			if s.Written != 4 || !slices.Equal(got, want) {
				t.Errorf("of %+v there are\n%q, want\n%q", s, got, want)
			}
		})
	}
}

// A record that is too large for the topic is poison; its neighbours land.
func TestRunToTopicTooLarge(t *testing.T) {
	t.Parallel()
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			_, address := topics(t)
			file := write(t, "large.yaml", fmt.Sprintf("name: large\nkafka: {brokers: [%q]}\nsource: {topics: [orders]}\ndecode: raw\n"+
				"sink: {topic: {name: paid, value: '[value + value, value + value]'}}\ndelivery: %s\ndead_letter: {topic: orders.dlq}\n",
				address, delivery))
			for i := range 20 {
				value := "small"
				if i%5 == 1 {
					value = strings.Repeat("x", 300_000)
				}
				send(t, address, order(fmt.Sprint(i), value))
			}
			s := lineOf[topicSummary](t, execute(t, ExitDone, "run", file, "--until-caught-up"))
			if n := len(committedIn(t, address, "paid")); s.Written != 16 || s.DeadLettered != 4 || n != 16 {
				t.Errorf("the summary is %+v, and %d records are there", s, n)
			}
			for _, r := range committedIn(t, address, "orders.dlq") {
				if len(r.Value) != 300_000 {
					t.Errorf("a dead letter of %d bytes", len(r.Value))
				}
			}
		})
	}
}

// What no acknowledgement came for is not committed: nothing is stepped over while the topic cannot be written.
func TestRunToTopicWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		t.Run(delivery, func(t *testing.T) {
			t.Parallel()
			c, address := topics(t)
			file := write(t, "copy.yaml", fmt.Sprintf("name: copy\nkafka: {brokers: [%q]}\nsource: {topics: [orders]}\ndecode: raw\n"+
				"sink: {topic: {name: paid}}\ndelivery: %s\ncommit: {interval: 20ms}\nretry: {attempts: 2, backoff: 10ms}\n"+
				"dead_letter: {topic: orders.dlq}\n", address, delivery))
			for i := range 30 {
				send(t, address, order(fmt.Sprint(i), "v"))
			}
			refused := newOutput()
			c.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				r := request.(*kmsg.ProduceRequest)
				if strings.Count(refused.String(), "\n") > 5 {
					return nil, nil, false //nolint:nilnil // not controlled
				}
				response := r.ResponseKind().(*kmsg.ProduceResponse)
				for _, topic := range r.Topics {
					answer := kmsg.NewProduceResponseTopic()
					answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
					for _, p := range topic.Partitions {
						one := kmsg.NewProduceResponseTopicPartition()
						one.Partition, one.ErrorCode = p.Partition, kerr.KafkaStorageError.Code
						if delivery == "at_least_once" {
							one.ErrorCode = kerr.InvalidRequiredAcks.Code
						}
						answer.Partitions = append(answer.Partitions, one)
					}
					response.Topics = append(response.Topics, answer)
				}
				_, _ = refused.Write([]byte("refused\n"))
				return response, nil, true
			})
			s := lineOf[topicSummary](t, execute(t, ExitDone, "run", file, "--until-caught-up"))
			there := committedIn(t, address, "paid")
			keys := map[string]bool{}
			for _, r := range there {
				keys[string(r.Key)] = true
			}
			// At least once, what was acknowledged beside a refused record is written again.
			if len(keys) != 30 || s.DeadLettered != 0 || delivery == "exactly_once" && len(there) != 30 {
				t.Errorf("%d records of %d keys are there, want 30; %+v", len(there), len(keys), s)
			}
			if strings.Count(refused.String(), "\n") <= 5 {
				t.Error("nothing was refused")
			}
		})
	}
}

// --check says what is there and changes nothing; what cannot work is refused by it and by a run, with a way out.
func TestRunToTopicChecks(t *testing.T) {
	t.Parallel()
	_, address := topics(t)
	file := write(t, "paid.yaml", fmt.Sprintf(topicFile, address, "partition", "exactly_once"))
	send(t, address, order("1", `{"id":1,"status":"paid","customer":"a","quantity":1,"price":1}`))
	r := execute(t, ExitDone, "run", file, "--check")
	if got := r.stdout.String(); strings.Count(got, "ok: ") != 3 || !strings.Contains(got, "ok: topic paid: 4 partitions, exactly_once\n") {
		t.Errorf("it says:\n%s", got)
	}
	if n := len(committedIn(t, address, "paid")); n != 0 {
		t.Errorf("%d records were written", n)
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if groups, err := admin.ListGroups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups were made: %v, %v", groups.Groups(), err)
	}
	set := func(topic, bytes string) {
		t.Helper()
		_, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &bytes}}, topic)
		if err != nil {
			t.Fatal(err)
		}
	}
	refuses := func(want string) {
		t.Helper()
		for _, args := range [][]string{{"run", file, "--check"}, {"run", file, "--until-caught-up"}} {
			r := execute(t, ExitFailed, args...)
			if got := r.stderr.String(); !strings.Contains(got, want) || strings.Count(got, "sluice: ") != 1 {
				t.Errorf("it says:\n%s, want %s", got, want)
			}
		}
	}
	set("paid", "600000")
	refuses("sluice: sink.topic.name: topic paid takes batches of up to 600000 bytes (max.message.bytes), and 1000000 are written; raise that, " +
		"or put batch.size=600000 into the properties (kafka.properties)")
	set("paid", "1500000")
	set("orders", "2000000")
	r = execute(t, ExitDone, "run", file, "--check")
	if got := r.stderr.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "max.message.bytes") ||
		!strings.Contains(got, "sink=paid takes=1500000 source=orders may_hold=2000000") {
		t.Errorf("it says:\n%s", got)
	}
	if _, err := admin.DeleteTopics(t.Context(), "paid"); err != nil {
		t.Fatal(err)
	}
	refuses("sluice: sink.topic.name: topic paid does not exist; create it, e.g. kafka-topics --create --topic paid --partitions 6")
	closed := closedPort(t)
	file = write(t, "closed.yaml", fmt.Sprintf(topicFile, closed, "partition", "exactly_once"))
	refuses("sluice: kafka: no broker can be reached: " + closed)
}

// What the properties and the file say together may not work; it is told with 2.
func TestRunToTopicBesideProperties(t *testing.T) {
	t.Parallel()
	properties := write(t, "client.properties", "bootstrap.servers=127.0.0.1:1\nisolation.level=read_uncommitted\n")
	file := write(t, "p.yaml", "name: p\nkafka: {properties: "+properties+"}\nsource: {topics: [orders]}\ndecode: raw\nsink: {topic: {name: paid}}\n"+
		"delivery: exactly_once\n")
	got := execute(t, ExitUsage, "run", file, "--check").stderr.String()
	if !strings.Contains(got, "p.yaml:6:11: delivery: exactly_once, where the properties of Kafka say isolation.level=read_uncommitted") {
		t.Errorf("it says:\n%s", got)
	}
}

// A dry run shows the record that would be written, or why none would be.
func TestPrintToTopic(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "orders", Partitions: 1})
	for i, r := range [][2]string{
		{"1", `{"id":1,"status":"paid","customer":"<Ann>","quantity":3,"price":1.50}`}, {"2", `{"status":"open"}`}, {"3", `{"id":`}, {"4", ""},
	} {
		send(t, address, printed(i, r[0], r[1]))
	}
	file := write(t, "paid.yaml", strings.Replace(fmt.Sprintf(topicFile, address, "partition", "exactly_once"), "value.customer", "key", 1))
	printGolden(t, "topic.golden", execute(t, ExitDone, "run", file, "--print").stdout.String())
}
