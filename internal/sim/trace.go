package sim

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// trace is what happened in a world, by virtual time.
type trace struct {
	mu    sync.Mutex
	began time.Time
	lines []string
	live  io.Writer // nil: it is only kept

	broken func(failure, last string) // told of the first rule that was broken; may be nil
}

// tail is how many lines a failure shows.
const tail = 60

func (t *trace) notef(who, format string, args ...any) {
	line := fmt.Sprintf("%9.3f  %-8s %s", time.Since(t.began).Seconds(), who, fmt.Sprintf(format, args...))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	if t.live != nil {
		fmt.Fprintln(t.live, line)
	}
}

// last is the end of the trace.
func (t *trace) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines[max(0, len(t.lines)-tail):], "\n")
}

// Write takes in a line of a logger.
func (t *trace) Write(line []byte) (int, error) {
	t.notef("log", "%s", strings.TrimSpace(string(line)))
	return len(line), nil
}
