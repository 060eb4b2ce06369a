package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

// From topic to topic, with poison among the records, by a process that is killed in the middle of its work, twice: exactly once, each
// record and each dead letter is there once for who reads what is committed; at least once, none is missing.
func TestTopicToTopic(t *testing.T) {
	for _, delivery := range []string{"exactly_once", "at_least_once"} {
		t.Run(delivery, func(t *testing.T) { newCopying(t, delivery).run(t) })
	}
}

const (
	copied      = 150_000
	copiedKeys  = 600
	copyPoison  = 1000 // one record of so many
	copyKillers = 2
)

// copying is one run of a pipeline from topic to topic.
type copying struct {
	kafka             *servers.KafkaServer
	admin             *kadm.Client
	delivery          string
	source, sink, dlq string
	group, file       string
}

func newCopying(t *testing.T, delivery string) *copying {
	t.Helper()
	suffix := strings.ToLower(rand.Text()[:8])
	c := &copying{
		kafka: servers.Kafka(t), delivery: delivery,
		source: "orders-" + suffix, sink: "paid-" + suffix, dlq: "orders-" + suffix + ".dlq", group: "copy-" + suffix,
	}
	createTopics(t, c.kafka.Seeds(), c.source, c.dlq)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.kafka.Seeds()...), kgo.ProducerLinger(2*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	c.admin = kadm.NewClient(cl)
	dir := t.TempDir()
	properties := filepath.Join(dir, "client.properties")
	write(t, properties, "bootstrap.servers="+c.kafka.Brokers+"\ngroup.instance.id=one\n") // who comes back ends what it left behind
	c.file = filepath.Join(dir, "copy.yaml")
	write(t, c.file, fmt.Sprintf(`name: copy
kafka: {properties: %s}
source: {topics: [%s], group: %s}
decode: json
transform: {filter: value.n >= 0}
sink:
  topic:
    name: %s
    key: '"new-" + key'
    value: '{"n": value.n, "next": value.n + 1}'
delivery: %s
dead_letter: {topic: %s}
commit: {interval: 100ms}
`, properties, c.source, c.group, c.sink, delivery, c.dlq))

	// Told before anything starts, with the way out.
	refused := execute(t, 1, "run", c.file, "--check")
	if got := refused.stderr.String(); !strings.Contains(got, "topic "+c.sink+" does not exist; create it") {
		t.Fatalf("without the topic, --check says %s", got)
	}
	if _, err := c.admin.CreateTopic(t.Context(), partitions, 1, nil, c.sink); err != nil {
		t.Fatal(err)
	}
	var rs []*kgo.Record
	for i := range copied {
		key := strconv.Itoa(i % copiedKeys)
		r := &kgo.Record{Topic: c.source, Key: []byte(key), Value: fmt.Appendf(nil, `{"n":%d}`, i)}
		if c.poison(i) {
			r.Value = fmt.Appendf(nil, `{"m":%d}`, i)
		}
		rs = append(rs, r)
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (*copying) poison(i int) bool { return i%copyPoison == copyPoison-1 }

func (c *copying) run(t *testing.T) {
	execute(t, 0, "run", c.file, "--check")
	for i := range copyKillers {
		p := start(t, "p", c.file)
		share := int64(copied * (i + 1) / (copyKillers + 2))
		until(t, time.Minute, "a share is written, and more is under way", func() bool {
			written, stable := c.ends(t)
			return written >= share && (written > stable || c.delivery == "at_least_once")
		})
		p.signal(t, syscall.SIGKILL)
		t.Logf("killed: %v", <-p.ended)
		written, _ := c.ends(t)
		at := c.committed(t)
		t.Logf("killed with %d written, %d of %d committed", written, at, copied)
		if at == 0 || at >= copied {
			t.Fatalf("it was killed with %d of %d committed: that proves nothing", at, copied)
		}
	}
	got := execute(t, 0, "run", c.file, "--until-caught-up")
	t.Logf("the last process: %s", strings.TrimSpace(got.stdout.String()))
	c.check(t)
}

// ends are how long the log of the sink's topic is, and how much of that no open transaction can change.
func (c *copying) ends(t *testing.T) (written, stable int64) {
	t.Helper()
	for _, list := range []struct {
		of  func(context.Context, ...string) (kadm.ListedOffsets, error)
		sum *int64
	}{{c.admin.ListCommittedOffsets, &stable}, {c.admin.ListEndOffsets, &written}} { // the later one second: written is no less
		offsets, err := list.of(t.Context(), c.sink)
		if err != nil {
			t.Fatal(err)
		}
		offsets.Each(func(o kadm.ListedOffset) { *list.sum += o.Offset })
	}
	return written, stable
}

func (c *copying) committed(t *testing.T) (sum int64) {
	t.Helper()
	offsets, err := c.admin.FetchOffsetsForTopics(t.Context(), c.group, c.source)
	if err != nil {
		t.Fatal(err)
	}
	offsets.Each(func(o kadm.OffsetResponse) { sum += max(0, o.At) })
	return sum
}

// check compares what can be read with what must be there.
func (c *copying) check(t *testing.T) {
	t.Helper()
	times := make(map[int]int)
	last := make(map[string]int)
	for _, r := range c.read(t, c.sink) {
		var n, next int
		if _, err := fmt.Sscanf(string(r.Value), `{"n":%d,"next":%d}`, &n, &next); err != nil || next != n+1 || n < 0 || n >= copied || c.poison(n) ||
			string(r.Key) != "new-"+strconv.Itoa(n%copiedKeys) {
			t.Fatalf("a record that should not be: %s: %s", r.Key, r.Value)
		}
		if times[n]++; times[n] > 1 {
			continue
		}
		if before, ok := last[string(r.Key)]; ok && n < before {
			t.Errorf("%d is behind %d", n, before)
		}
		last[string(r.Key)] = n
	}
	dead := make(map[int]int)
	for _, r := range c.read(t, c.dlq) {
		var m int
		if _, err := fmt.Sscanf(string(r.Value), `{"m":%d}`, &m); err != nil || !c.poison(m) {
			t.Fatalf("a dead letter that should not be: %s", r.Value)
		}
		dead[m]++
	}
	missing, doubled := 0, 0
	for i := range copied {
		n := times[i]
		if c.poison(i) {
			n = dead[i]
		}
		if n == 0 {
			missing++
		}
		doubled += max(0, n-1)
	}
	t.Logf("%s: %d records, %d of them dead letters: %d missing, %d doubled", c.delivery, copied, len(dead), missing, doubled)
	if missing > 0 || c.delivery == "exactly_once" && doubled > 0 {
		t.Errorf("%d missing, %d doubled", missing, doubled)
	}
}

// read reads all that is committed of a topic.
func (c *copying) read(t *testing.T, topic string) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	starts, err1 := c.admin.ListStartOffsets(ctx, topic)
	ends, err2 := c.admin.ListEndOffsets(ctx, topic)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.kafka.Seeds()...), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var rs []*kgo.Record
	at := make(map[int32]int64)
	for behind := true; behind; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			t.Fatalf("read %s: %v", topic, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				rs = append(rs, r)
			}
		})
		behind = false
		ends.Each(func(o kadm.ListedOffset) {
			start, _ := starts.Lookup(topic, o.Partition)
			behind = behind || o.Offset > start.Offset && at[o.Partition] < o.Offset
		})
	}
	return rs
}
