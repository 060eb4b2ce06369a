package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// What is produced is consumed, with keys, empty values and all, whoever looks.
func TestProduceAndConsume(t *testing.T) {
	t.Parallel()
	broker := start(t, nil, "broker", "--listen", "0", "--topic", "lines:1", "--topic", "many:3")
	address, _, _ := strings.Cut(broker.stderr.waitFor(t, "embedded broker on "), ",")

	produced := start(t, strings.NewReader("a:1\nb:\n:2\nplain\n\nlast:x:y"), "produce", "-b", address, "-t", "lines", "-k", ":")
	produced.ends(t, ExitDone)
	if got := produced.stderr.String(); got != "6 delivered to lines\n" {
		t.Errorf("it says %q", got)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-e"}, "1\n\n2\nplain\n\nx:y\n"},
		{[]string{"-e", "-k", "="}, "a=1\nb=\n=2\n=plain\n=\nlast=x:y\n"},
		{[]string{"-e", "-k", `\t`, "--null", "-"}, "a\t1\nb\t\n\t2\n-\tplain\n-\t\nlast\tx:y\n"},
		{[]string{"-e", "--from", "4", "--format", `%p/%o %k=%v\n`}, "0/4 =\n0/5 last=x:y\n"},
		{[]string{"-n", "2"}, "1\n\n"},
		{[]string{"-e", "--from", "3"}, "plain\n\nx:y\n"},
		{[]string{"-e", "--from", "99"}, ""},
		{[]string{"-e", "--from", "latest"}, ""},
		{[]string{"-e", "--from", "2000-01-01T00:00:00Z", "-n", "1"}, "1\n"},
		{[]string{"-e", "--from", "2999-01-01T00:00:00Z"}, ""},
	} {
		r := execute(t, ExitDone, append([]string{"consume", "-b", address, "-t", "lines"}, test.args...)...)
		if got := r.stdout.String(); got != test.want {
			t.Errorf("%v prints %q, want %q", test.args, got, test.want)
		}
	}

	var all []string
	for i := range 5000 {
		all = append(all, fmt.Sprintf("line-%04d", i))
	}
	start(t, strings.NewReader(strings.Join(all, "\n")), "produce", "-b", address, "-t", "many").ends(t, ExitDone)
	follow := start(t, nil, "consume", "-b", address, "-t", "many")
	waitUntil(t, func() bool { return strings.Count(follow.stdout.String(), "\n") == len(all) })
	follow.stop()
	follow.ends(t, ExitDone)
	got := strings.Split(strings.TrimSpace(follow.stdout.String()), "\n")
	if slices.Sort(got); !slices.Equal(got, all) {
		t.Errorf("%d different lines came back", len(slices.Compact(got)))
	}

	broker.stop()
	broker.ends(t, ExitDone)
}

// consume -o json | produce -f json copies a topic: keys, values, headers, timestamps, nulls, bytes that are no text, and
// with as many partitions the partitions.
func TestCopyAsJSON(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "from", Partitions: 3}, kafka.NewTopic{Name: "same", Partitions: 3},
		kafka.NewTopic{Name: "narrow", Partitions: 1})
	at := time.UnixMilli(1769846400123)
	sendManual(t, address,
		&kgo.Record{Topic: "from", Partition: 2, Key: []byte("k"), Value: []byte("v"), Timestamp: at, Headers: []kgo.RecordHeader{
			{Key: "a", Value: []byte("1")}, {Key: "a", Value: nil}, {Key: "bin", Value: []byte{0xff}},
		}},
		&kgo.Record{Topic: "from", Partition: 0, Key: []byte("gone"), Timestamp: at.Add(time.Millisecond)},
		&kgo.Record{Topic: "from", Partition: 1, Value: []byte{0, 0xff, '"'}, Timestamp: at.Add(-time.Hour)},
		&kgo.Record{Topic: "from", Partition: 1, Key: []byte{}, Value: []byte{}, Timestamp: at},
	)
	lines := consumeJSON(t, address, "from")
	if len(lines) != 4 {
		t.Fatalf("it prints\n%s", strings.Join(lines, "\n"))
	}
	text := strings.Join(lines, "\n") + "\n\n" // blank lines are no records
	start(t, strings.NewReader(text), "produce", "-b", address, "-t", "same", "-f", "json").ends(t, ExitDone)
	want := strings.ReplaceAll(strings.Join(lines, "\n"), `"topic":"from"`, `"topic":"same"`)
	if got := strings.Join(consumeJSON(t, address, "same"), "\n"); got != want {
		t.Errorf("the copy is\n%s\nwant\n%s", got, want)
	}

	narrow := start(t, strings.NewReader(text), "produce", "-b", address, "-t", "narrow", "-f", "json")
	narrow.ends(t, ExitFailed)
	if got := narrow.stderr.String(); !strings.Contains(got, "has no partition") || !strings.Contains(got, "--repartition leaves it to the key") {
		t.Errorf("it says %q", got)
	}
	start(t, strings.NewReader(text), "produce", "-b", address, "-t", "narrow", "-f", "json", "--repartition").ends(t, ExitDone)
	if got := consumeJSON(t, address, "narrow"); len(got) < 4 {
		t.Errorf("the narrow copy is\n%s", strings.Join(got, "\n"))
	}
}

// The flags say what lines of text cannot, and the result is told to programs as JSON.
func TestProduceFlags(t *testing.T) {
	t.Parallel()
	c, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 4}, kafka.NewTopic{Name: "other", Partitions: 1})
	codecs := make(chan int16, 16)
	c.ControlKey(kmsg.Produce.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		var batch kmsg.RecordBatch
		if err := batch.ReadFrom(request.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records); err == nil {
			codecs <- batch.Attributes & 7
		}
		return nil, nil, false //nolint:nilnil // what kfake takes for "go on"
	})
	r := start(t, strings.NewReader(strings.Repeat("x", 1000)+"\nk\tNULL\n"+"NULL\tv"), "produce", "-b", address, "-t", "lines", "-k", `\t`, "--null", "NULL",
		"--partition", "3", "--header", "a=1=2", "--header", "b=", "--compression", "zstd:3", "-o", "json")
	r.ends(t, ExitDone)
	var result deliveryResult
	if err := json.Unmarshal([]byte(r.stdout.String()), &result); err != nil || result.Delivered != 3 || result.LastLine != 3 ||
		!slices.Equal(result.Topics, []string{"lines"}) {
		t.Errorf("it prints %q: %v", r.stdout, err)
	}
	const zstd = 4
	if codec := <-codecs; codec != zstd {
		t.Errorf("the codec is %d", codec)
	}
	read := execute(t, ExitDone, "consume", "-b", address, "-t", "lines", "-e", "-p", "3", "--from", "1", "--null", "-")
	if got := read.stdout.String(); got != "-\nv\n" {
		t.Errorf("partition 3 has %q", got)
	}
	lines := consumeJSON(t, address, "lines")
	if len(lines) != 3 || !strings.HasSuffix(lines[1], `"key":"k","value":null,"headers":[{"key":"a","value":"1=2"},{"key":"b","value":""}]}`) {
		t.Errorf("it has\n%s", strings.Join(lines, "\n"))
	}

	mixed := start(t, strings.NewReader(`{"topic":"other","value":{"id": 1}}`+"\n"+`{"topic":"lines","key":7,"value":"v"}`), "produce", "-b", address, "-f", "json")
	mixed.ends(t, ExitDone)
	if got := mixed.stderr.String(); got != "2 delivered to 2 topics\n" {
		t.Errorf("it says %q", got)
	}
	if got := consumeJSON(t, address, "other"); len(got) != 1 || !strings.Contains(got[0], `"key":null,"value":"{\"id\": 1}"`) {
		t.Errorf("other has %v", got)
	}
}

func TestProduceFails(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 1})
	for want, args := range map[string][]string{
		"topic nope: there is no such topic": {"-b", address, "-t", "nope"},
		"no answer within":                   {"-b", silentListener(t), "-t", "lines"},
		"connection refused":                 {"-b", closedPort(t), "-t", "lines"},
	} {
		for _, command := range []string{"produce", "consume"} {
			r := startWithin(t, time.Second, nil, append([]string{command}, args...)...)
			r.ends(t, ExitFailed)
			if got := r.stderr.String(); !strings.Contains(got, want) {
				t.Errorf("%s %v says %q, want %q", command, args, got, want)
			}
		}
	}
	tooLarge := start(t, strings.NewReader("small\n"+strings.Repeat("x", 2<<20)+"\nsmall\n"), "produce", "-b", address, "-t", "lines")
	tooLarge.ends(t, ExitFailed)
	if got := tooLarge.stderr.String(); !strings.Contains(got, "2 delivered to lines, 1 not delivered\n") || !strings.Contains(got, "the first is line 2: ") {
		t.Errorf("it says %q", got)
	}
}

// A line that is wrong ends it, with its place; what stands before it is delivered, and nothing after it.
func TestProduceBadLine(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 2})
	const good = `{"topic":"lines","value":"before"}` + "\n"
	for _, test := range []struct{ line, want string }{
		{`{"value":"v"`, "bad.jsonl:2:13: the line ends within the JSON; nothing from here on was sent"},
		{`{"val":"v"}`, `bad.jsonl:2:8: the field "val" is none of `},
		{`{"value":"v"}`, "bad.jsonl:2: no topic; give each line one, or -t for all"},
		{`{"topic":"none","value":"v"}`, "bad.jsonl:2: topic none: there is no such topic"},
		{`{"topic":"lines","partition":1}`, "bad.jsonl:2: a partition, where line 1 has none; --repartition leaves them to the keys"},
	} {
		file := write(t, "bad.jsonl", good+test.line+"\n"+good)
		r := execute(t, ExitFailed, "produce", "-b", address, "-f", "json", file)
		if got := r.stderr.String(); !strings.HasPrefix(got, "1 delivered to lines\n") || !strings.Contains(got, test.want) {
			t.Errorf("%s: it says %q, want %q", test.line, got, test.want)
		}
	}
	for _, line := range consumeJSON(t, address, "lines") {
		if !strings.Contains(line, `"value":"before"`) {
			t.Errorf("it has %s", line)
		}
	}
	if got := consumeJSON(t, address, "lines"); len(got) != 5 {
		t.Errorf("it has %d records", len(got))
	}
}

// Ctrl-C in the middle of an input that does not end: what it says was delivered is what the broker's log has.
func TestProduceIsStopped(t *testing.T) {
	t.Parallel()
	c, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 3})
	in, out := io.Pipe()
	r := start(t, in, "produce", "-b", address, "-t", "lines", "-o", "json")
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(out, "line-%d\n", i); err != nil {
				return
			}
		}
	}()
	logged := func() (n int64) {
		for _, p := range c.PartitionInfos("lines") {
			n += p.HighWatermark
		}
		return n
	}
	waitUntil(t, func() bool { return logged() > 1000 })
	r.stop()
	r.ends(t, ExitFailed)
	_ = in.Close()
	<-wrote
	var result deliveryResult
	if err := json.Unmarshal([]byte(r.stdout.String()), &result); err != nil {
		t.Fatal(err)
	}
	if n := logged(); result.Delivered != n || result.NotDelivered != 0 || result.LastLine != n {
		t.Errorf("it says %+v; the log has %d", result, n)
	}
	want := fmt.Sprintf("%d delivered to lines\nsluice: stopped before the end of the input, after line %[1]d\n", result.Delivered)
	if got := r.stderr.String(); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}

// The second signal waits for no broker, and says what got no answer.
func TestProduceIsAborted(t *testing.T) {
	t.Parallel()
	c, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 1})
	asked := make(chan struct{}, 1)
	c.ControlKey(kmsg.Produce.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, nil, true //nolint:nilnil // no answer
	})
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	r := start(t, in, "produce", "-b", address, "-t", "lines")
	if _, err := io.WriteString(out, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	began := time.Now()
	r.stop()
	close(r.abort)
	r.ends(t, ExitFailed)
	if took := time.Since(began); took > flushLimit/2 {
		t.Errorf("it waits %v", took)
	}
	got := r.stderr.String()
	for _, want := range []string{"0 delivered to lines, 2 not delivered\n", "the first is line 1: ", "stopped before the end of the input, after line 2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

// --rate spreads the records over time.
func TestProduceRate(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 1})
	began := time.Now()
	start(t, strings.NewReader(strings.Repeat("x\n", 11)), "produce", "-b", address, "-t", "lines", "--rate", "50").ends(t, ExitDone)
	if took := time.Since(began); took < 190*time.Millisecond {
		t.Errorf("11 records at 50 a second took %v", took)
	}
}

// consumeJSON returns the lines, by partition and offset.
func consumeJSON(t *testing.T, address, topic string) []string {
	t.Helper()
	r := execute(t, ExitDone, "consume", "-b", address, "-t", topic, "-e", "-o", "json")
	lines := map[[2]int64]string{}
	for line := range strings.Lines(r.stdout.String()) {
		var at struct {
			Partition int64 `json:"partition"`
			Offset    int64 `json:"offset"`
		}
		if err := json.Unmarshal([]byte(line), &at); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines[[2]int64{at.Partition, at.Offset}] = strings.TrimSuffix(line, "\n")
	}
	keys := slices.SortedFunc(maps.Keys(lines), func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = lines[k]
	}
	return out
}

// sendManual writes records to the partitions that they name.
func sendManual(t *testing.T, address string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
