// Package cli is the program's commands, one file each. What they have in common is here: where they read and write, how
// they are stopped, and what they return.
//
// Standard output carries results alone; everything else goes to standard error. The exit status is 0 for done, 1 for
// failed, also partly, and 2 for what the command line or a file says wrong.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

// The exit status.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// reachLimit is how long a broker or a database may take to answer at start. The program promises 10 s.
const reachLimit = 9 * time.Second

// Process is what a command works with.
type Process struct {
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    pipeline.Environment

	// Abort is closed to say that a command that is stopping must not wait any longer.
	Abort <-chan struct{}

	// ReachLimit bounds how long a broker or a database may take to answer at start. Zero: 9 s.
	ReachLimit time.Duration

	logs logFormat // of the commands that log
}

// Main runs a command and returns its exit status. The end of ctx asks it to stop in good order.
func Main(ctx context.Context, p Process) int {
	if p.ReachLimit == 0 {
		p.ReachLimit = reachLimit
	}
	root := newRoot(&p)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitDone
	}
	usage := usageError{}
	for _, one := range pipeline.Flatten(err) {
		if text := one.Error(); text != "" {
			p.errorf("%s%s", prefix(one), text)
		}
	}
	if errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitFailed
}

// prefix is left out before a file's own mistakes, which begin with the file, the line and the column.
func prefix(err error) string {
	if _, ok := errors.AsType[pipeline.Problems](err); ok {
		return ""
	}
	return "sluice: "
}

func newRoot(p *Process) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Kafka to SQL and to Kafka, exactly once; and who lags",
		Long: `Sluice runs Kafka consumers: records of a topic reach a SQL table, or another topic, exactly once.

  sluice demo                 see it work, with nothing installed
  sluice run orders.yaml      run a pipeline: topic to table or topic, no code
  sluice monitor --once       who lags, by how much time`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              noSuchCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(newDemo(p), newRun(p), newProduce(p), newConsume(p), newMonitor(p), newBroker(p), newVersion(p))
	return root
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const near = 2
	cmd.SuggestionsMinimumDistance = near
	hint := ""
	if words := cmd.SuggestionsFor(args[0]); len(words) > 0 {
		hint = "; did you mean " + strings.Join(words, " or ") + "?"
	}
	return usagef("there is no command %q%s", args[0], hint)
}

// exactly demands some arguments by name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			want := "no argument"
			if len(names) > 0 {
				want = strings.Join(names, " ")
			}
			return usagef("%s takes %s; got %d arguments", cmd.CommandPath(), want, len(args))
		}
		return nil
	}
}

// usageError is an error that the caller made on the command line or in a file.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func (p *Process) errorf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Stderr, format+"\n", args...)
}

func (p *Process) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(p.Stdout, format+"\n", args...)
	return err
}

func (p *Process) logger() *slog.Logger {
	out := p.Stderr
	if _, live := p.terminal(); live {
		out = aboveLine{p.Stderr}
	}
	return slog.New(p.logs.handler(out))
}

// aboveLine writes over the line that changes, which is then drawn again below.
type aboveLine struct{ out io.Writer }

func (a aboveLine) Write(b []byte) (int, error) {
	_, err := a.out.Write(append([]byte("\r\x1b[K"), b...))
	return len(b), err
}

// terminal tells whether a live display makes sense on standard error, and how wide it may be.
func (p *Process) terminal() (width int, ok bool) {
	file, isFile := p.Stderr.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	if dumb, _ := p.Env("TERM"); dumb == "dumb" {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	return width, err == nil
}
