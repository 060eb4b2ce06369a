package listen

import (
	"context"
	"log/slog"
	"regexp"
	"strings"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// serverLog logs what net/http has to say: of callers that do not speak TLS, of handlers that panic. Equal lines are folded, and what of a
// line is the caller's own must not make it another one: a caller who shows nothing could fill the log.
type serverLog struct{ slog.Handler }

var (
	withCaller = regexp.MustCompile(`(?s)^(.* (?:from|serving)) (\S+): (.*)$`)
	words      = regexp.MustCompile(`^(?:x509: |http2: )?[A-Za-z' :-]*`)
)

// whyBytes of what a caller brings about are logged.
const whyBytes = 300

// Handle implements slog.Handler. err is what Go's libraries have words for, so that there are few; why is all of it.
func (h serverLog) Handle(ctx context.Context, r slog.Record) error {
	text := yamlfile.Unquote(r.Message)
	line := slog.NewRecord(r.Time, slog.LevelWarn, "a request could not be answered", r.PC)
	what, caller, why := "", "", text
	if parts := withCaller.FindStringSubmatch(text); parts != nil {
		what, caller, why = parts[1]+" a caller", parts[2], parts[3]
	}
	if strings.Contains(text, "panic") {
		line.Level = slog.LevelError
	} else {
		if what != "" {
			what += ": "
		}
		what = strings.TrimRight(what+words.FindString(why), " :")
		why = strings.ToValidUTF8(why[:min(len(why), whyBytes)], "")
	}
	line.AddAttrs(slog.String("err", what), slog.String("why", why))
	if caller != "" {
		line.AddAttrs(slog.String("caller", caller))
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
