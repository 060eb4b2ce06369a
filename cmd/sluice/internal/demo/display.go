package demo

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/sluice-go/sluice/cmd/sluice/internal/render"
)

// snapshot is what is shown while it runs. It is the engine's own view.
type snapshot struct {
	produced, rows, dead int64
	members              []memberSnapshot
}

type memberSnapshot struct {
	name       string
	rows       int64
	partitions []int32
}

func snapshotOf(l *ledger, ms *members) snapshot {
	s := snapshot{produced: l.produced()}
	for _, m := range ms.list {
		one := memberSnapshot{name: m.name, rows: m.sink.Counts(m.app.Stats()).Written}
		for _, p := range m.app.Snapshot().Partitions {
			one.partitions = append(one.partitions, p.Partition)
		}
		s.rows += one.rows
		s.dead += m.app.Stats().DeadLettered
		s.members = append(s.members, one)
	}
	return s
}

// display shows progress: bars on a terminal, a line a second elsewhere. Writing to it prints a line above the bars.
type display interface {
	io.Writer
	update(snapshot)
	close()
}

func newDisplay(o Options) display {
	target := int64(o.Duration.Seconds() * float64(o.Rate))
	if o.Width > 0 {
		return newBars(o.Output, o.Width, target)
	}
	return &lines{Writer: o.Output, began: time.Now()}
}

type lines struct {
	io.Writer
	began, last time.Time
}

func (l *lines) update(s snapshot) {
	now := time.Now()
	if now.Sub(l.last) < time.Second {
		return
	}
	l.last = now
	_, _ = fmt.Fprintf(l, "%3.0fs  %s produced  %s rows  %s dead-lettered  %s\n",
		now.Sub(l.began).Seconds(), render.Count(s.produced), render.Count(s.rows), render.Count(s.dead), s.shares())
}

func (*lines) close() {}

func (s snapshot) shares() string {
	shares := make([]string, len(s.members))
	for i, m := range s.members {
		shares[i] = fmt.Sprint(len(m.partitions))
	}
	return "partitions " + strings.Join(shares, "+")
}

// bars are two bars, of orders produced and of orders done, and a line a member.
type bars struct {
	*mpb.Progress
	made, done *mpb.Bar
	people     []*mpb.Bar
	target     int64
	texts      chan []string
}

const (
	widest    = 80
	refresh   = 100 * time.Millisecond
	nameWidth = 12
)

func newBars(w io.Writer, width int, target int64) *bars {
	b := &bars{
		Progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(min(width, widest)-1), mpb.WithRefreshRate(refresh), mpb.WithAutoRefresh()),
		target:   target, texts: make(chan []string, 1),
	}
	b.texts <- make([]string, 2+memberCount)
	b.made, b.done = b.bar("produced", 0), b.bar("finished", 1)
	for i := range memberCount {
		b.people = append(b.people, b.line(fmt.Sprintf("member %d", i+1), 2+i))
	}
	return b
}

func (b *bars) bar(name string, text int) *mpb.Bar {
	style := mpb.BarStyle().Lbound(" ").Filler("█").Tip("█").Padding("░").Rbound(" ")
	return b.New(b.target, style,
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: nameWidth, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.text(text) }, decor.WC{W: 30, C: decor.DindentRight})))
}

func (b *bars) line(name string, text int) *mpb.Bar {
	return b.New(1, mpb.NopStyle(),
		mpb.PrependDecorators(
			decor.Name(name, decor.WC{W: nameWidth + 1, C: decor.DindentRight}),
			decor.Any(func(decor.Statistics) string { return b.text(text) })))
}

func (b *bars) text(i int) string {
	all := <-b.texts
	b.texts <- all
	return all[i]
}

func (b *bars) update(s snapshot) {
	texts := []string{
		render.Count(s.produced) + " orders",
		fmt.Sprintf("%s rows, %s dead letters", render.Count(s.rows), render.Count(s.dead)),
	}
	for _, m := range s.members {
		has := cmp.Or(strings.Trim(fmt.Sprint(m.partitions), "[]"), "-")
		texts = append(texts, fmt.Sprintf("%9s rows   partitions %s", render.Count(m.rows), has))
	}
	<-b.texts
	b.texts <- texts
	b.made.SetCurrent(min(s.produced, b.target))
	b.done.SetCurrent(min(s.rows+s.dead, b.target))
}

func (b *bars) close() {
	for _, bar := range append(b.people, b.made, b.done) {
		bar.Abort(false) // leaves it as it is
	}
	b.Wait()
}
