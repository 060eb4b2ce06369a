package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){"sluice": func() {
		os.Exit(Main(context.Background(), Process{
			Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.LookupEnv, ReachLimit: 2 * time.Second,
		}))
	}})
}

// What users see of usage, versions and files that are wrong; -update writes it anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: *update})
}

// patience bounds every wait of a test.
const patience = 30 * time.Second

// output is a buffer that can be written and watched at once.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitFor waits until the text holds want, and returns what follows it up to the end of the line.
func (o *output) waitFor(t *testing.T, want string) string {
	t.Helper()
	limit := time.After(patience)
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		if _, after, found := strings.Cut(text, want); found {
			line, _, _ := strings.Cut(after, "\n")
			return line
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("no %q in:\n%s", want, text)
		}
	}
}

// run is a command that runs in the background of a test.
type run struct {
	stdout, stderr *output
	stop           context.CancelFunc
	abort          chan struct{}
	code           chan int
}

func start(t *testing.T, in io.Reader, args ...string) *run {
	t.Helper()
	return startWithin(t, 0, in, args...)
}

// startWithin is start with a limit for what cannot be reached.
func startWithin(t *testing.T, limit time.Duration, in io.Reader, args ...string) *run {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{stdout: newOutput(), stderr: newOutput(), stop: cancel, abort: make(chan struct{}), code: make(chan int, 1)}
	if in == nil {
		in = strings.NewReader("")
	}
	go func() {
		r.code <- Main(ctx, Process{
			Args: args, Stdin: in, Stdout: r.stdout, Stderr: r.stderr, Abort: r.abort, ReachLimit: limit,
			Env: func(string) (string, bool) { return "", false },
		})
	}()
	t.Cleanup(cancel)
	return r
}

// ends waits for the end and demands an exit status.
func (r *run) ends(t *testing.T, want int) {
	t.Helper()
	select {
	case got := <-r.code:
		if got != want {
			t.Fatalf("exit status %d, want %d; stdout:\n%s\nstderr:\n%s", got, want, r.stdout, r.stderr)
		}
	case <-time.After(patience):
		t.Fatalf("it goes on; stderr:\n%s", r.stderr)
	}
}

// execute runs a command to its end.
func execute(t *testing.T, want int, args ...string) *run {
	t.Helper()
	r := start(t, nil, args...)
	r.ends(t, want)
	return r
}

func cluster(t *testing.T, topics ...kafka.NewTopic) (c *kfake.Cluster, address string) {
	t.Helper()
	c, err := kafka.Embedded("127.0.0.1:0", topics...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()[0]
}

// send writes records; a nil value stays null.
func send(t *testing.T, address string, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// write makes a file in a folder of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
