package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// command is one run of the program that a test talks to, or whose end it waits for.
type command struct {
	name           string
	cmd            *exec.Cmd
	stdin          io.WriteCloser
	stdout, stderr text
	began          time.Time
	ended          chan error
}

// text is what a process has written so far.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *text) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *text) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// launch starts the program, with variables added to its environment.
func launch(t *testing.T, env []string, args ...string) *command {
	t.Helper()
	c := &command{name: "sluice " + args[0], cmd: exec.Command(program, args...), ended: make(chan error, 1), began: time.Now()}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.cmd.Wait(); close(c.ended) }()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		for range c.ended { // ended, or ends now
		}
		if t.Failed() {
			t.Logf("%s printed\n%s\nand said\n%s", strings.Join(c.cmd.Args[1:], " "), tail(c.stdout.String()), tail(c.stderr.String()))
		}
	})
	return c
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// end waits for the command's end, demands its exit status, and says how long it ran.
func (c *command) end(t *testing.T, code int) time.Duration {
	t.Helper()
	const limit = 2 * time.Minute
	select {
	case err := <-c.ended:
		if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
			t.Fatalf("%s: %v", c.name, err)
		} else if got := c.cmd.ProcessState.ExitCode(); got != code {
			t.Fatalf("%s ended with %d (%v), want %d", c.name, got, exit, code)
		}
	case <-time.After(limit):
		t.Fatalf("%s did not end within %v", c.name, limit)
	}
	return time.Since(c.began)
}

// interrupt does what Ctrl-C does.
func (c *command) interrupt(t *testing.T, code int) {
	t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("interrupt %s: %v", c.name, err)
	}
	c.end(t, code)
}

// execute runs the program to its end and demands its exit status.
func execute(t *testing.T, code int, args ...string) *command {
	t.Helper()
	c := launch(t, nil, args...)
	_ = c.stdin.Close()
	c.end(t, code)
	return c
}

// summary is the line of JSON at the end of `sluice run`.
type summary struct {
	Records      int64   `json:"records"`
	Rows         int64   `json:"rows"`
	Skipped      int64   `json:"skipped"`
	DeadLettered int64   `json:"dead_lettered"`
	Seconds      float64 `json:"seconds"`
	PerSecond    float64 `json:"records_per_second"`
}

func (c *command) summary(t *testing.T) summary {
	t.Helper()
	var s summary
	out := c.stdout.String()
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil || strings.Count(out, "\n") != 1 {
		t.Fatalf("%s printed %q, want one line of JSON: %v", c.name, out, err)
	}
	return s
}

// readyz asks a process whether it is ready: the status code and what it says.
func (p *process) readyz() (int, sluice.Health, error) {
	var h sluice.Health
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(p.url + "/readyz")
	if err != nil {
		return 0, h, err
	}
	defer func() { _ = resp.Body.Close() }()
	err = json.NewDecoder(resp.Body).Decode(&h)
	return resp.StatusCode, h, err
}

// waitReadyz waits until /readyz of every process answers with a status code.
func waitReadyz(t *testing.T, code int, ps ...*process) {
	t.Helper()
	for _, p := range ps {
		var last string
		began := time.Now()
		until(t, time.Minute, p.name+": /readyz says "+http.StatusText(code), func() bool {
			p.alive(t)
			got, h, err := p.readyz()
			last = strings.Join(h.Problems, "; ")
			return err == nil && got == code
		})
		t.Logf("%s: /readyz says %d after %v: %s", p.name, code, time.Since(began).Round(time.Millisecond), last)
	}
}

// stays demands that something holds at every look, for a while.
func stays(t *testing.T, while time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(while)
	until(t, 2*while, what, func() bool {
		if !ok() {
			t.Fatalf("it did not last: %s", what)
		}
		return time.Now().After(end)
	})
}

// alive ends the test if the process has ended.
func (p *process) alive(t *testing.T) {
	t.Helper()
	select {
	case err := <-p.ended:
		t.Fatalf("%s ended by itself: %v", p.name, err)
	default:
	}
}

// metric reads a metric: the sum of its series.
func (p *process) metric(t *testing.T, name string) float64 {
	t.Helper()
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(p.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(body)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(series, name+"{") {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Fatalf("%s has no metric %s", p.name, name)
	}
	return sum
}
