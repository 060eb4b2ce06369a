package engine

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
)

const (
	workerLabel   = "sluice_worker"
	mostProfiled  = 50_000  // goroutines: with more of them, looking for one costs too much
	mostStack     = 8 << 10 // bytes of one stack
	notProfiled   = "not looked for: the process has more than 50,000 goroutines"
	notFoundStack = "not found: the handler changed its goroutine's labels (pprof.SetGoroutineLabels), or has just ended"
)

// badge is a context whose labels name a worker's goroutine in profiles: that is how the watchdog finds its stack. A worker takes a
// badge that nobody wears.
type badge struct {
	context.Context //nolint:containedctx // only its labels are used

	id string
}

// takeBadge gives a worker of a route its badge.
func (e *Engine) takeBadge(r *Route) badge {
	if n := len(r.badges); n > 0 {
		b := r.badges[n-1]
		r.badges = r.badges[:n-1]
		return b
	}
	e.lastBadge++
	id := fmt.Sprintf("%p/%d", e, e.lastBadge)
	return badge{pprof.WithLabels(e.labels, pprof.Labels(workerLabel, id)), id}
}

// stacks are those of workers, as a profile of the goroutines tells them.
type stacks struct {
	blocks []string
	none   string
}

// workerStacks reads the stacks of all workers of the process. It does not stop the world for the time of it.
func workerStacks() stacks {
	if runtime.NumGoroutine() > mostProfiled {
		return stacks{none: notProfiled}
	}
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		return stacks{none: err.Error()}
	}
	s := stacks{none: notFoundStack}
	// Goroutines that a handler started have its labels as well, but not the worker's loop, or the call of a stream's handler (package
	// sluice makes each on a goroutine of its own), below them.
	for block := range strings.SplitSeq(text.String(), "\n\n") {
		if strings.Contains(block, workerLabel) &&
			(strings.Contains(block, ".(*Engine).workLoop") || strings.Contains(block, "/sluice.(*streaming[...]).guarded")) {
			s.blocks = append(s.blocks, block)
		}
	}
	return s
}

// of is the stack of a worker, the innermost call first, a line each.
func (s stacks) of(worker string) string {
	label := fmt.Sprintf("%q:%q", workerLabel, worker)
	for _, block := range s.blocks {
		if !strings.Contains(block, label) {
			continue
		}
		var out strings.Builder
		for line := range strings.Lines(block) {
			// #	0x4a5f31	main.handle+0x51	/src/main.go:12
			fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
			if len(fields) < 4 || fields[0] != "#" {
				continue
			}
			name, _, _ := strings.Cut(fields[2], "+0x")
			frame := name + " " + fields[len(fields)-1] + "\n"
			if out.Len()+len(frame) > mostStack {
				break
			}
			out.WriteString(frame)
		}
		return strings.TrimRight(out.String(), "\n")
	}
	return s.none
}
