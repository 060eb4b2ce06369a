package sluicetest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice/sluicetest"
)

// Tests that have to fail run in a process of their own, where inChild says so.
const childVariable = "SLUICETEST_CHILD"

func inChild(t *testing.T) {
	t.Helper()
	if os.Getenv(childVariable) == "" {
		t.Skip("fails by design, in a process of its own: see TestTheKitTellsWhatWentWrong")
	}
}

func TestChildLeaks(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, orders, func(*testing.T, *sluicetest.Cluster) { go neverEnds(make(chan struct{})) })
}

func neverEnds(c chan struct{}) { <-c }

func TestChildWaitsForACommit(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		consumer(t, c, c.Link, func(int64) error { return nil })
		produce(c, 3)
		c.WaitCommitted("g", "orders", 0, 3)
		c.WaitCommitted("g", "orders", 0, 5)
	})
}

func TestChildWaitsForAGroup(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		consumer(t, c, c.Link, func(int64) error { return nil })
		c.WaitStable("g", 1)
		c.WaitStable("g", 2)
	})
}

func TestChildWaitsForRecords(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, orders, func(_ *testing.T, c *sluicetest.Cluster) {
		produce(c, 2)
		c.WaitRecords("orders", 3)
	})
}

func TestChildAppThatEnds(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, nil, func(t *testing.T, c *sluicetest.Cluster) { // without its topic
		consumer(t, c, c.Link, func(int64) error { return nil })
		c.WaitFor("the end of the app", func() (string, bool) { return "", t.Failed() })
	})
}

func TestChildKicksNobody(t *testing.T) {
	inChild(t)
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		consumer(t, c, c.Link, func(int64) error { return nil })
		c.WaitStable("g", 1)
		c.KickMember("g", "nobody")
	})
}

func TestTheKitTellsWhatWentWrong(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild", "-test.v", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("every test of the child should fail")
	}
	told := sections(string(out))
	for test, wants := range map[string][]string{
		"TestChildLeaks":           {"left behind by this test, goroutines that never end:", "sluicetest_test.neverEnds("},
		"TestChildWaitsForACommit": {"waited 10m0s of virtual time for a commit of orders[0] at 5 by the group g; seen last: a commit at 3"},
		"TestChildWaitsForAGroup":  {"for the group g to be stable with 2 members; seen last: state Stable, 1 members: [sluice]"},
		"TestChildWaitsForRecords": {"for 3 records in the topic orders; seen last: 2 records"},
		"TestChildAppThatEnds":     {"the app ended by itself:", "orders"},
		"TestChildKicksNobody":     {`none has the client id "nobody"; there are [sluice]`},
	} {
		for _, want := range wants {
			if !strings.Contains(told[test], want) {
				t.Errorf("%s does not say %q, but:\n%s", test, want, told[test])
			}
		}
		if !strings.Contains(told[test], "--- FAIL: "+test) {
			t.Errorf("%s did not fail", test)
		}
	}
	if strings.Contains(string(out), "panic:") {
		t.Errorf("the child panicked:\n%s", out)
	}
	if n := strings.Count(string(out), "left behind by this test"); n != 1 {
		t.Errorf("%d tests left goroutines behind, want 1", n)
	}
}

// sections is what each test printed.
func sections(out string) map[string]string {
	told := make(map[string]string)
	for _, part := range strings.Split(out, "=== RUN   ")[1:] {
		name, _, _ := strings.Cut(part, "\n")
		told[name] = part
	}
	return told
}

// ended is a test whose time is over.
type ended struct{ failed }

func (*ended) Context() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// hurried is a test that has little time left.
type hurried struct{ failed }

func (*hurried) Deadline() (time.Time, bool) { return time.Now().Add(200 * time.Millisecond), true }

func TestAWaitEndsWithItsTest(t *testing.T) {
	for want, of := range map[string]func(failed) (testing.TB, *string){
		"the test ended while it waited for 1 records": func(f failed) (testing.TB, *string) { e := &ended{f}; return e, &e.message },
		"ms for 1 records in the topic orders; seen last: 0 records": func(f failed) (testing.TB, *string) {
			h := &hurried{f}
			return h, &h.message
		},
	} {
		tb, message := of(failed{TB: t})
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			sluicetest.NewCluster(tb, orders).WaitRecords("orders", 1)
		}()
		<-done
		if !strings.Contains(*message, want) {
			t.Errorf("%q does not say %q", *message, want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("it waited %v", took)
		}
	}
}

// Without the build tag a bubble could hang, so Bubble does not start one.
func TestBubbleNeedsItsTag(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-tags=", "-vet=off", "-run=^TestChildLeaks$", ".")
	cmd.Env = append(os.Environ(), childVariable+"=1")
	out, err := cmd.CombinedOutput()
	if want := "needs the build tag synctests"; err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: %s\nwant %q", err, out, want)
	}
}
