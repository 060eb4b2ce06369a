package security

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// outcome is what became of one run of the program.
type outcome struct {
	args           string
	code           int
	stdout, stderr string
	took           time.Duration
}

// execute runs the program to its end.
func execute(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("sluice %s: %v", args[0], err)
	}
	return outcome{strings.Join(args, " "), cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(began)}
}

// succeeds demands the exit status 0.
func (o outcome) succeeds(t *testing.T) outcome {
	t.Helper()
	if o.code != 0 {
		t.Fatalf("sluice %s ended with %d:\n%s", o.args, o.code, o.stderr)
	}
	return o
}
