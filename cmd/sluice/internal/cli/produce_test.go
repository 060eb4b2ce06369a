package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

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
	if got := tooLarge.stderr.String(); !strings.Contains(got, "2 delivered to lines") || !strings.Contains(got, "the first is line 2: ") {
		t.Errorf("it says %q", got)
	}
}

// Ctrl-C in the middle of the input delivers what was read, says so, and is no success.
func TestProduceIsStopped(t *testing.T) {
	t.Parallel()
	_, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 1})
	in, out := io.Pipe()
	r := start(t, in, "produce", "-b", address, "-t", "lines")
	if _, err := io.WriteString(out, "one\ntwo\n"); err != nil {
		t.Fatal(err)
	}
	follow := execute(t, ExitDone, "consume", "-b", address, "-t", "lines", "-n", "2")
	if got := follow.stdout.String(); got != "one\ntwo\n" {
		t.Errorf("delivered: %q", got)
	}
	r.stop()
	r.ends(t, ExitFailed)
	_ = out.Close()
	got := r.stderr.String()
	if !strings.Contains(got, "2 delivered to lines") || !strings.Contains(got, "stopped before the end of the input") {
		t.Errorf("it says %q", got)
	}
}
