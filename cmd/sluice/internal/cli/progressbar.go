package cli

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/sluice-go/sluice/cmd/sluice/internal/render"
)

// gauge is how far a long command has come.
type gauge struct {
	name  string // of what it goes through
	unit  string // what it counts
	count atomic.Int64
	done  atomic.Int64 // of whole
	whole int64        // 0: not known
}

const (
	widestBar  = 100
	barRefresh = 100 * time.Millisecond
)

// show tells a gauge on standard error until stop is called: a bar on a terminal, which is gone then, a line about every 10 s
// elsewhere.
func (p *Process) show(g *gauge) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	every, say := progressEvery, func(line string) { p.errorf("%s%s", line, g.share()) }
	finish := func() {}
	if width, live := p.terminal(); live {
		b := newBar(g, p.Stderr, min(width, widestBar)-1)
		every, say, finish = progressEveryLive, b.say, b.finish
	}
	go func() {
		defer close(gone)
		defer finish()
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		before, last := int64(0), time.Now()
		for {
			select {
			case <-done:
				return
			case now := <-ticker.C:
				count := g.count.Load()
				rate := float64(count-before) / now.Sub(last).Seconds()
				before, last = count, now
				say(fmt.Sprintf("%s %s  %s/s", render.Count(count), g.unit, render.Count(int64(rate))))
			}
		}
	}()
	return func() { close(done); <-gone }
}

// share is how much of the whole is done.
func (g *gauge) share() string {
	if g.whole == 0 {
		return ""
	}
	const percent = 100
	return fmt.Sprintf("  %d%% of %s", percent*min(g.done.Load(), g.whole)/g.whole, g.name)
}

// bar is a gauge on a terminal.
type bar struct {
	gauge    *gauge
	progress *mpb.Progress
	one      *mpb.Bar
	text     atomic.Pointer[string]
}

func newBar(g *gauge, out io.Writer, width int) *bar {
	b := &bar{
		gauge:    g,
		progress: mpb.New(mpb.WithOutput(out), mpb.WithWidth(width), mpb.WithRefreshRate(barRefresh), mpb.WithAutoRefresh()),
	}
	b.say("0 " + g.unit)
	const nameShare, tailWidth = 4, 34 // the name has a quarter of the line
	name := decor.Name(render.Fit(g.name, width/nameShare))
	tail := decor.Any(func(decor.Statistics) string { return "  " + *b.text.Load() }, decor.WC{W: tailWidth, C: decor.DindentRight})
	if g.whole > 0 {
		style := mpb.BarStyle().Lbound(" ").Filler("█").Tip("█").Padding("░").Rbound("")
		b.one = b.progress.New(g.whole, style, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.NewPercentage("%d", decor.WC{W: 6}), tail))
	} else {
		b.one = b.progress.New(1, mpb.NopStyle(), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name, tail))
	}
	return b
}

func (b *bar) say(line string) {
	b.text.Store(&line)
	if b.one != nil && b.gauge.whole > 0 {
		b.one.SetCurrent(min(b.gauge.done.Load(), b.gauge.whole-1)) // the last one ends the bar
	}
}

func (b *bar) finish() {
	b.one.Abort(true)
	b.progress.Wait()
}
