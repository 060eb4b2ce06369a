package demo

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var shown = snapshot{produced: 1234567, rows: 1222222, dead: 12345, members: []memberSnapshot{
	{name: "member 1", rows: 400000, partitions: []int32{0, 1}}, {name: "member 2", rows: 422222, partitions: []int32{2, 3}},
	{name: "member 3", rows: 400000, partitions: []int32{4, 5}},
}}

// No line is wider than the terminal, which would break the redrawing.
func TestBarsFit(t *testing.T) {
	t.Parallel()
	escapes := regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	var out bytes.Buffer
	d := newDisplay(Options{Output: &out, Width: 80, Duration: 10 * time.Second, Rate: 200_000})
	d.update(shown)
	d.close()
	text := escapes.ReplaceAllString(out.String(), "")
	for line := range strings.SplitSeq(text, "\n") {
		if n := utf8.RuneCountInString(strings.TrimRight(line, " \r")); n > 79 {
			t.Errorf("%d characters: %q", n, line)
		}
	}
	for _, want := range []string{"1,234,567 orders", "1,222,222 rows, 12,345 dead letters", "member 3", "partitions 4 5"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// Elsewhere it is a line a second at most.
func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := newDisplay(Options{Output: &out})
	d.update(shown)
	d.update(shown)
	d.close()
	if got, want := out.String(), "  0s  1,234,567 produced  1,222,222 rows  12,345 dead-lettered  partitions 2+2+2\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
