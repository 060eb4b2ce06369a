// Package process runs the programs that tests kill, freeze and start again: servers, and members of groups.
package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	StartTimeout = 60 * time.Second // a cold Java on a busy machine needs 20 s
	StopTimeout  = 10 * time.Second
)

// ErrEnded is wrapped when a process ended that should have come up.
var ErrEnded = errors.New("the process ended")

// Process is a program that can be killed and started again. It dies with the process that started it, however that ends.
type Process struct {
	Name       string
	Argv       []string
	Env        []string            // nil: ours
	Credential *syscall.Credential // nil: ours
	Log        string              // the file that its output is appended to
	Quit       syscall.Signal      // asks it to end; zero: SIGTERM

	mu   sync.Mutex
	run  *exec.Cmd     // nil: never started
	done chan struct{} // closed when run has ended and was waited for
}

// Probe asks a server whether it works.
type Probe func(context.Context) error

// Start starts the process. The goroutine that it is started from holds its thread until the process has ended: the
// kernel kills the process when that thread ends, and with it the test binary.
func (p *Process) Start() error {
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Env = p.Env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.Credential} // a Ctrl-C at the terminal is ours alone
	dieWithParent(cmd.SysProcAttr)
	started, done := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in the log
		}
	}()
	if err := <-started; err != nil {
		<-done
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.done = cmd, done
	return nil
}

// StartAndAwait starts the process until it answers. One that ends at once is started again: PostgreSQL refuses to start
// while children of a killed server still hold its shared memory.
func (p *Process) StartAndAwait(ready Probe) error {
	ctx, cancel := context.WithTimeout(context.Background(), StartTimeout)
	defer cancel()
	const attempts = 5
	var err error
	for range attempts {
		if startErr := p.Start(); startErr != nil {
			return startErr
		}
		if err = p.await(ctx, ready); !errors.Is(err, ErrEnded) {
			break
		}
		if !Pause(ctx) {
			break
		}
	}
	if err != nil {
		p.Kill()
		return fmt.Errorf("%s does not come up: %w\n%s", p.Name, err, p.Tail())
	}
	return nil
}

func (p *Process) await(ctx context.Context, ready Probe) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !p.Running() {
			return ErrEnded
		}
		if !Pause(ctx) {
			return fmt.Errorf("no answer within %v, last: %w", StartTimeout, err)
		}
	}
}

// Pause waits for the next look, and is false when there is no time for one.
func Pause(ctx context.Context) bool {
	next := time.NewTimer(50 * time.Millisecond)
	defer next.Stop()
	select {
	case <-next.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *Process) current() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run, p.done
}

// Running tells whether the process was started and has not ended.
func (p *Process) Running() bool {
	cmd, done := p.current()
	if cmd == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	if cmd, done := p.current(); cmd != nil {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-done
	}
}

// Freeze stops the process and its children where they are, until Thaw or Kill.
func (p *Process) Freeze() { p.signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) {
	cmd, _ := p.current()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(s) // it may have ended by itself
	for _, child := range children(cmd.Process.Pid) {
		_ = syscall.Kill(child, s) // likewise
	}
}

// Stop asks the process to end, and kills it if that takes longer than StopTimeout.
func (p *Process) Stop() { p.StopWithin(StopTimeout) }

// StopWithin asks the process to end, and kills it if that takes longer. It tells whether the process ended by itself.
func (p *Process) StopWithin(limit time.Duration) bool {
	cmd, done := p.current()
	if cmd == nil {
		return true
	}
	_ = cmd.Process.Signal(cmp.Or(p.Quit, syscall.SIGTERM)) // it may have ended by itself
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-done:
		return true
	case <-late.C:
		p.Kill()
		return false
	}
}

// Tail returns the end of the log, for the message of a failure.
func (p *Process) Tail() string {
	const lines = 30
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return p.Log + ":\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Output runs a program to its end and returns what it printed; the error has it, too.
func Output(ctx context.Context, credential *syscall.Credential, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	printed, err := cmd.CombinedOutput()
	if err != nil {
		return printed, fmt.Errorf("%s: %w\n%s", argv[0], err, printed)
	}
	return printed, nil
}
