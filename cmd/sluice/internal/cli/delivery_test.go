package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// A record that is too large is left out, also where the input pauses behind it: what comes later is delivered.
func TestProduceGoesOnBehindATooLargeLine(t *testing.T) {
	t.Parallel()
	c, address := cluster(t, kafka.NewTopic{Name: "lines", Partitions: 1})
	in, out := io.Pipe()
	defer func() { _ = in.Close() }()
	r := start(t, in, "produce", "-b", address, "-t", "lines")
	lines := make(chan string)
	go func() {
		for line := range lines {
			_, _ = io.WriteString(out, line)
		}
		_ = out.Close()
	}()
	lines <- strings.Repeat("x", 2<<20) + "\n"
	for i := range int64(5) {
		lines <- "small\n"
		waitUntil(t, func() bool { return c.PartitionInfo("lines", 0).HighWatermark == i+1 })
	}
	close(lines)
	r.ends(t, ExitFailed)
	got := r.stderr.String()
	if !strings.Contains(got, "5 delivered to lines, 1 not delivered\n") || !strings.Contains(got, "the first is line 1: ") || strings.Contains(got, "gave up") {
		t.Errorf("it says %q", got)
	}
}

// The end of the input is no interruption, whenever Ctrl-C comes.
func TestReportKnowsTheEnd(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		read   error
		gaveUp bool
		want   string
	}{
		{nil, false, ""}, {nil, true, ""}, {errStopped, false, "stopped before the end of the input, after line 7"},
	} {
		d := &delivery{lastLine: 7, sent: 7, delivered: 7, gaveUp: test.gaveUp}
		p := &Process{Stderr: newOutput()}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := d.report(ctx, p, false, test.read, nil)
		if got := strings.TrimPrefix(fmt.Sprint(err), "<nil>"); got != test.want {
			t.Errorf("%+v: it says %q", test, got)
		}
	}
}
