package lint

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated page anew")

// noApp are the folders of what logs beside an app.
var noApp = []string{"cmd", "examples", "internal/sim", "monitor"}

// line is a place where an app logs.
type line struct {
	at, level, event, message string
	keys                      []string
}

// logged are the places where an app logs something: calls of a method of a *slog.Logger that is called log or Logger.
func logged(t *testing.T) (all []line) {
	t.Helper()
	for _, s := range tree(t) {
		if s.test || s.module != "." || slices.ContainsFunc(noApp, func(dir string) bool { return within(s.dir, dir) }) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if l, ok := lineOf(c); ok {
					l.at = s.fset.Position(c.Pos()).String()
					all = append(all, l)
				}
			}
			return true
		})
	}
	return all
}

func lineOf(c *ast.CallExpr) (l line, ok bool) {
	method, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, method.Sel.Name) || len(c.Args) == 0 {
		return l, false
	}
	var name string
	switch x := method.X.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	if !slices.Contains([]string{"log", "logger", "Logger"}, name) {
		return l, false
	}
	l = line{level: method.Sel.Name, message: text(c.Args[0])}
	for i := 1; i < len(c.Args); i += 2 {
		key := text(c.Args[i])
		if key == "event" && i == 1 && len(c.Args) > 2 {
			l.event = text(c.Args[2])
			continue
		}
		l.keys = append(l.keys, key)
	}
	return l, true
}

// text is a constant text as far as it stands there; what is not known yet is an ellipsis.
func text(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(x.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		if x.Op == token.ADD {
			return text(x.X) + text(x.Y)
		}
	}
	return "…"
}

var (
	eventForm = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	keyForm   = regexp.MustCompile(`^([a-z]+(_[a-z]+)*|…)$`)
	// payloads are never logged, nor are secrets.
	payloads = regexp.MustCompile(`value|payload|header|body|password|passwd|secret|token|dsn`)
)

// Whoever reads logs by machine relies on the events' names: each line has one, and no two lines the same.
func TestEachLogLineHasAnEventOfItsOwn(t *testing.T) {
	seen := make(map[string]string)
	for _, l := range logged(t) {
		if !eventForm.MatchString(l.event) {
			t.Errorf("%s: the event %q: say \"event\" and its name, in snake_case, right behind the message", l.at, l.event)
		}
		if other := seen[l.event]; other != "" {
			t.Errorf("%s: the event %q is that of %s", l.at, l.event, other)
		}
		seen[l.event] = l.at
		for _, key := range l.keys {
			if !keyForm.MatchString(key) || payloads.MatchString(key) {
				t.Errorf("%s: the attribute %q: snake_case, and neither a payload nor a secret", l.at, key)
			}
		}
	}
}

// TestGeneratedLogsPage holds docs/logs.md to what an app logs; -update writes it (make generate).
func TestGeneratedLogsPage(t *testing.T) {
	const file = "../../docs/logs.md"
	got := logsPage(logged(t))
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is stale: make generate", file)
	}
}

func logsPage(lines []line) string {
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.event, b.event) })
	var b strings.Builder
	b.WriteString(logsHead)
	for _, l := range lines {
		keys := "–"
		if len(l.keys) > 0 {
			keys = "`" + strings.Join(l.keys, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.event, l.level, l.message, keys)
	}
	return b.String()
}

const logsHead = `# Logs

<!-- Written by "make generate" from the calls in the code. Do not edit. -->

An app logs to ` + "`Config.Logger`" + ` (` + "`slog.Default()`" + ` where that is nil), and decides nothing about form or place:

` + "```go" + `
cfg.Logger = slog.New(slog.NewJSONHandler(os.Stderr, nil)) // or slog.NewTextHandler
` + "```" + `

` + "`sluice run`" + ` and ` + "`sluice monitor`" + ` log to standard error: text for people, or, with ` + "`--log-format json`" + `, an object a line.

- **` + "`event`" + ` is stable.** It is an attribute of every line; messages may change their words.
- **Floods are folded.** Of warnings and errors of an app that have the same level and message, and the same ` + "`topic`" + ` or ` + "`topics`" + `, ` + "`partition`" + `, ` + "`err`" + ` and
  ` + "`what`" + `, ten a minute are logged at once. Of those beyond, the last one is logged when the minute is over, or when Run returns, with the attribute
  ` + "`repeated`" + `: how many they were; it keeps its time, so later lines may stand before it. A line with neither ` + "`err`" + ` nor ` + "`class`" + ` is about its ` + "`offset`" + ` itself,
  and equal at the same one only. ` + "`Events`" + ` are told of each.
- **No payloads, no secrets.** No line has a record's value or headers, or a credential. Errors of handlers are logged as they say; what they
  quote of a record is theirs to leave out. A record's key is in ` + "`handler_overran`" + ` alone.

| event | level | message | attributes |
|---|---|---|---|
`
