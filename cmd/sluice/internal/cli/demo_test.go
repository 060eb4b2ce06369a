package cli

import (
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	r := execute(t, ExitDone, "demo", "--duration", "500ms", "--rate", "1000")
	if got, want := r.stdout.String(), "500 produced, 495 rows, 5 dead-lettered, 0 lost, 0 duplicated\n"; got != want {
		t.Errorf("it prints %q, want %q; stderr:\n%s", got, want, r.stderr)
	}
}

// Ctrl-C ends the producing; what was produced is worked off and counted all the same.
func TestDemoIsStopped(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "demo", "--duration", "1h", "--rate", "500")
	r.stderr.waitFor(t, "partitions 2+2+2")
	r.stop()
	r.ends(t, ExitDone)
	if got := r.stdout.String(); !strings.HasSuffix(got, " 0 lost, 0 duplicated\n") || strings.HasPrefix(got, "0 produced") {
		t.Errorf("it prints %q", got)
	}
}

// The second signal waits for nothing and counts nothing.
func TestDemoIsAborted(t *testing.T) {
	t.Parallel()
	r := start(t, nil, "demo", "--duration", "1h", "--rate", "500")
	r.stderr.waitFor(t, "partitions 2+2+2")
	r.stop()
	close(r.abort)
	r.ends(t, ExitFailed)
	if r.stdout.String() != "" {
		t.Errorf("it prints %q", r.stdout)
	}
}
