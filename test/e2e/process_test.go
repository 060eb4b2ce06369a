package e2e

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// process is one `sluice run`.
type process struct {
	name   string
	cmd    *exec.Cmd
	url    string
	stdout bytes.Buffer
	log    string
	ended  chan error
}

// start runs a pipeline in a process of its own.
func start(t *testing.T, name, file string) *process {
	t.Helper()
	port := freePort(t)
	p := &process{
		name: name, url: "http://127.0.0.1:" + strconv.Itoa(port), ended: make(chan error, 1),
		log: filepath.Join(t.TempDir(), name+".log"),
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(program, "run", file, "--listen", strconv.Itoa(port))
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		_ = p.cmd.Process.Kill()
		for range p.ended { // ended, or ends now
		}
		_ = log.Close()
		if t.Failed() {
			if b, err := os.ReadFile(p.log); err == nil {
				t.Logf("%s said last:\n%s", p.name, b[max(0, len(b)-4000):])
			}
		}
	})
	return p
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("signal %v to %s: %v", s, p.name, err)
	}
}

// snapshot asks the process what it holds; an error means that it does not answer.
func (p *process) snapshot() (sluice.Snapshot, error) {
	var h sluice.Snapshot
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(p.url + "/snapshot.json")
	if err != nil {
		return h, err
	}
	defer func() { _ = resp.Body.Close() }()
	err = json.NewDecoder(resp.Body).Decode(&h)
	return h, err
}

// interrupt stops the process as Ctrl-C does, and demands that it ends cleanly within its drain timeout.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	began := time.Now()
	p.signal(t, os.Interrupt)
	select {
	case err := <-p.ended:
		if err != nil {
			t.Fatalf("%s, stopped by SIGINT: %v", p.name, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not end within its drain timeout, 20 s", p.name)
	}
	var summary struct {
		Records int64 `json:"records"`
		Rows    int64 `json:"rows"`
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &summary); err != nil {
		t.Fatalf("%s printed %q, want one line of JSON: %v", p.name, p.stdout.String(), err)
	}
	t.Logf("%s ended after %v: %s", p.name, time.Since(began).Round(time.Millisecond), bytes.TrimSpace(p.stdout.Bytes()))
}

// until waits for a condition, and fails with what it waited for.
func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", limit, what)
		}
		<-tick.C
	}
}
