package listen

import (
	"context"
	"log/slog"
	"regexp"
	"strings"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// serverLog logs what net/http has to say: of callers that do not speak TLS, of handlers that panic.
type serverLog struct{ slog.Handler }

var withCaller = regexp.MustCompile(`(?s)^(.* (?:from|serving)) (\S+): (.*)$`)

// Handle implements slog.Handler. The caller's address is an attribute of its own, so that equal lines are equal.
func (h serverLog) Handle(ctx context.Context, r slog.Record) error {
	text, level := yamlfile.Unquote(r.Message), slog.LevelWarn
	if strings.Contains(text, "panic") {
		level = slog.LevelError
	}
	line := slog.NewRecord(r.Time, level, "a request could not be answered", r.PC)
	if parts := withCaller.FindStringSubmatch(text); parts != nil {
		line.AddAttrs(slog.String("err", parts[1]+" a caller: "+parts[3]), slog.String("caller", parts[2]))
	} else {
		line.AddAttrs(slog.String("err", text))
	}
	return h.Handler.Handle(ctx, line)
}

// toolkitLog lets through what of exporter-toolkit's lines is no mere information, without what they quote of its file.
type toolkitLog struct{ slog.Handler }

// Enabled implements slog.Handler.
func (h toolkitLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h toolkitLog) Handle(ctx context.Context, r slog.Record) error {
	safe := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		safe.AddAttrs(slog.String(a.Key, yamlfile.Unquote(a.Value.String())))
		return true
	})
	return h.Handler.Handle(ctx, safe)
}
