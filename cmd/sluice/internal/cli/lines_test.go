package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// It says whether it has seen the end of the input, and stops where it is told to.
func TestEachLine(t *testing.T) {
	t.Parallel()
	var lines []string
	take := func(_ int64, line []byte) error {
		lines = append(lines, string(line))
		return nil
	}
	if err := eachLine(t.Context(), strings.NewReader("a\n\nb"), take); err != nil || strings.Join(lines, ",") != "a,,b" {
		t.Errorf("%q: %v", lines, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	defer func() { _ = out.Close() }()
	go func() { _, _ = io.WriteString(out, "a\nb\n") }()
	calls := 0
	err := eachLine(ctx, in, func(int64, []byte) error {
		calls++
		cancel()
		return nil
	})
	if !errors.Is(err, errStopped) || calls != 1 {
		t.Errorf("stopped in the middle, after %d lines, it says %v", calls, err)
	}
}

func BenchmarkEachLine(b *testing.B) {
	text := strings.Repeat(strings.Repeat("x", 99)+"\n", 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := eachLine(b.Context(), strings.NewReader(text), func(int64, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
