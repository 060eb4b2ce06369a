package servers

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

// process is a program that can be killed and started again. Its output goes to a file.
type process struct {
	name       string
	argv       []string
	credential *syscall.Credential // nil: ours
	log        string
	quit       syscall.Signal // asks it to end; zero: SIGTERM

	mu   sync.Mutex
	run  *exec.Cmd     // nil: never started
	done chan struct{} // closed when run has ended and was waited for
}

// probe asks a server whether it works.
type probe func(context.Context) error

// start starts the process. The goroutine that it is started from holds its thread until the process has ended: the
// kernel kills the process when that thread ends, and with it the test binary.
func (p *process) start() error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.credential} // a Ctrl-C at the terminal is ours alone
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
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run, p.done = cmd, done
	return nil
}

// startAndAwait starts the process until it answers. One that ends at once is started again: PostgreSQL refuses to start
// while children of a killed server still hold its shared memory.
func (p *process) startAndAwait(ready probe) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	const attempts = 5
	var err error
	for range attempts {
		if startErr := p.start(); startErr != nil {
			return startErr
		}
		if err = p.await(ctx, ready); !errors.Is(err, errEnded) {
			break
		}
		if !pause(ctx) {
			break
		}
	}
	if err != nil {
		p.kill()
		return fmt.Errorf("%s does not come up: %w\n%s", p.name, err, p.tail())
	}
	return nil
}

var errEnded = errors.New("the process ended")

func (p *process) await(ctx context.Context, ready probe) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !p.running() {
			return errEnded
		}
		if !pause(ctx) {
			return fmt.Errorf("no answer within %v, last: %w", startTimeout, err)
		}
	}
}

// pause waits for the next look, and is false when there is no time for one.
func pause(ctx context.Context) bool {
	next := time.NewTimer(50 * time.Millisecond)
	defer next.Stop()
	select {
	case <-next.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *process) current() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run, p.done
}

func (p *process) running() bool {
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

// kill ends the process with SIGKILL and waits for its end.
func (p *process) kill() {
	if cmd, done := p.current(); cmd != nil {
		_ = cmd.Process.Kill() // it may have ended by itself
		<-done
	}
}

// stop asks the process to end, and kills it if that takes too long.
func (p *process) stop() {
	cmd, done := p.current()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(cmp.Or(p.quit, syscall.SIGTERM)) // it may have ended by itself
	late := time.NewTimer(stopTimeout)
	defer late.Stop()
	select {
	case <-done:
	case <-late.C:
		p.kill()
	}
}

// tail returns the end of the log, for the message of a failure.
func (p *process) tail() string {
	const lines = 30
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return p.log + ":\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}

// output runs a program to its end and returns what it printed; the error has it, too.
func output(ctx context.Context, credential *syscall.Credential, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	printed, err := cmd.CombinedOutput()
	if err != nil {
		return printed, fmt.Errorf("%s: %w\n%s", argv[0], err, printed)
	}
	return printed, nil
}
