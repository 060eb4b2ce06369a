package cli

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

func TestParseFromAndTo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]position{
		"earliest": {}, "latest": {kind: atEnd}, "0": {kind: byOffset}, "7": {kind: byOffset, number: 7}, "-7": {kind: beforeEnd, number: 7},
		"-1h30m":               {kind: byTime, at: now.Add(-90 * time.Minute)},
		"2026-01-31T08:00:00Z": {kind: byTime, at: time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)},
	} {
		if got, err := parseFrom(in, now); err != nil || got != want {
			t.Errorf("--from %s is %+v, %v; want %+v", in, got, err, want)
		}
	}
	if got, err := parseTo("now", now); err != nil || got.kind != atEnd {
		t.Errorf("--to now is %+v, %v", got, err)
	}
	for _, in := range []string{"", "soon", "1h", "2026-01-31", "1.5", "--1"} {
		if got, err := parseFrom(in, now); err == nil {
			t.Errorf("--from %q is %+v", in, got)
		}
		if got, err := parseTo(in, now); err == nil {
			t.Errorf("--to %q is %+v", in, got)
		}
	}
	for _, in := range []string{"earliest", "latest", "-7"} {
		if got, err := parseTo(in, now); err == nil {
			t.Errorf("--to %q is %+v", in, got)
		}
	}
}

// A window is what lies from --from up to, but without, --to, in each partition that was asked for.
func TestConsumeWindow(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "t", Partitions: 2})
	at := time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC)
	for i, value := range []string{"a0", "a1", "a2", "a3"} {
		sendManual(t, address, &kgo.Record{Topic: "t", Partition: 0, Value: []byte(value), Timestamp: at.Add(time.Duration(i) * time.Minute)})
	}
	sendManual(t, address, &kgo.Record{Topic: "t", Partition: 1, Value: []byte("b0"), Timestamp: at.Add(90 * time.Second)})
	for _, test := range []struct {
		args string
		want string
	}{
		{"--to now", "a0 a1 a2 a3 b0"},
		{"-e -p 1", "b0"},
		{"-e -p 0,1 --from -1", "a3 b0"},
		{"-e --from -2 -p 0", "a2 a3"},
		{"--from 1 --to 3", "a1 a2"},
		{"--to 99 -p 0", "a0 a1 a2 a3"},
		{"--from 2 --to 1", ""},
		{"--from 2026-01-31T08:01:00Z --to 2026-01-31T08:02:00Z", "a1 b0"},
		{"--from 2026-01-31T09:01:00+01:00 --to 2999-01-01T00:00:00Z", "a1 a2 a3 b0"},
		{"-e --from -1h", ""},
		{"--to -1h -n 3 -p 0", "a0 a1 a2"},
	} {
		r := execute(t, ExitDone, append([]string{"consume", "-b", address, "-t", "t"}, strings.Fields(test.args)...)...)
		if got := words(r.stdout.String()); got != test.want {
			t.Errorf("%s prints %q, want %q", test.args, got, test.want)
		}
	}
	if got := execute(t, ExitFailed, "consume", "-b", address, "-t", "t", "-p", "2").stderr.String(); got != "sluice: topic t has no partition 2: its last one is 1\n" {
		t.Errorf("it says %q", got)
	}
}

// words are the lines, sorted.
func words(text string) string {
	return strings.Join(slices.Sorted(slices.Values(strings.Fields(text))), " ")
}

// Aborted records are printed only where that was asked for, and the markers of transactions never; -e ends behind both.
func TestConsumeIsolation(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "t", Partitions: 1})
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.TransactionalID("t"), kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for value, commit := range map[string]kgo.TransactionEndTry{"committed": kgo.TryCommit, "aborted": kgo.TryAbort} {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
	}
	for isolation, want := range map[string]string{"read_committed": "committed", "read_uncommitted": "aborted committed"} {
		r := execute(t, ExitDone, "consume", "-b", address, "-t", "t", "-e", "--isolation", isolation)
		if got := words(r.stdout.String()); got != want {
			t.Errorf("%s prints %q, want %q", isolation, got, want)
		}
	}
}

// A reader that has seen enough, as behind | head, is no error.
func TestConsumeIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "t", Partitions: 1})
	send(t, address, &kgo.Record{Topic: "t", Value: []byte("v")})
	for _, test := range []struct {
		err  error
		code int
	}{{syscall.EPIPE, ExitDone}, {syscall.ENOSPC, ExitFailed}} {
		stderr := newOutput()
		code := Main(t.Context(), Process{
			Args: []string{"consume", "-b", address, "-t", "t"}, Stdin: strings.NewReader(""), Stdout: failing{test.err}, Stderr: stderr,
			Env: func(string) (string, bool) { return "", false },
		})
		if code != test.code || (code == ExitDone) != (stderr.String() == "") {
			t.Errorf("%v: exit status %d, stderr %q", test.err, code, stderr)
		}
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
