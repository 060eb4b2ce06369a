package cli

import (
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// logFormat is the form of log lines. The zero value is text, for people.
type logFormat struct{ json bool }

func (f *logFormat) add(flags *pflag.FlagSet) {
	flags.Var(f, "log-format", "text, or json: an object a line (docs/logs.md)")
}

// Set implements pflag.Value.
func (f *logFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return errors.New("give text or json")
	}
	f.json = s == "json"
	return nil
}

// String implements pflag.Value.
func (f *logFormat) String() string {
	if f.json {
		return "json"
	}
	return "text"
}

// Type implements pflag.Value.
func (f *logFormat) Type() string { return "string" }

func (f *logFormat) handler(out io.Writer) slog.Handler {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if f.json {
		return slog.NewJSONHandler(out, options)
	}
	return slog.NewTextHandler(out, options)
}
