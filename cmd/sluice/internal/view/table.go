package view

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-go/sluice/cmd/sluice/internal/render"
)

const (
	unknown  = "-"
	gap      = "  "
	narrowed = 12 // characters that a name keeps, however narrow the terminal is
)

// column is one of a table.
type column struct {
	head  string
	right bool // numbers
	name  bool // gives way when the terminal is narrow
}

// line is a row of a table, with what it is sorted by: the worst comes first.
type line struct {
	cells []string
	order rank
	lag   int64
	late  float64
}

// Table writes the groups, the worst first, a line a topic, or a partition where those are shown. width is the terminal's; 0 cuts nothing.
func (s Snapshot) Table(w io.Writer, f Filter, width int) error {
	columns, lines := s.topicLines()
	if f.Partitions {
		columns, lines = s.partitionLines()
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(b.late, a.late), cmp.Compare(b.lag, a.lag))
	})
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = len(c.head)
		for _, l := range lines {
			widths[i] = max(widths[i], utf8.RuneCountInString(l.cells[i]))
		}
	}
	narrow(columns, widths, width)
	var b strings.Builder
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.head
	}
	for _, cells := range append([][]string{head}, cellsOf(lines)...) {
		b.WriteString(layOut(columns, widths, cells))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cellsOf(lines []line) (all [][]string) {
	for _, l := range lines {
		all = append(all, l.cells)
	}
	return all
}

func layOut(columns []column, widths []int, cells []string) string {
	var b strings.Builder
	for i, c := range columns {
		cell := render.Fit(cells[i], widths[i])
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if c.right {
			b.WriteString(pad + cell + gap)
		} else {
			b.WriteString(cell + pad + gap)
		}
	}
	return strings.TrimRight(b.String(), " ") + "\n"
}

// narrow takes from the widest name until the table fits.
func narrow(columns []column, widths []int, width int) {
	if width <= 0 {
		return
	}
	total := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for i, c := range columns {
			if c.name && widths[i] > narrowed && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func (s Snapshot) topicLines() (columns []column, lines []line) {
	columns = []column{
		{head: "GROUP", name: true},
		{head: "TOPIC", name: true},
		{head: "STATE"},
		{head: "MEMBERS", right: true},
		{head: "STATUS"},
		{head: "LAG", right: true},
		{head: "TIME-LAG", right: true},
		{head: "GONE", right: true},
	}
	gone := false
	for i := range s.Groups {
		g := &s.Groups[i]
		rows := g.Topics
		if len(rows) == 0 { // it has neither a commit nor a partition
			rows = []Row{{Topic: unknown, Status: unknown, order: noCommit}}
		}
		for k := range rows {
			r := &rows[k]
			if g.Error != "" {
				r.order, r.Status = unseen, oneLookWords[unseen]
			}
			gone = gone || r.Gone > 0
			l := line{order: r.order, lag: number(r.Lag), late: late(r.TimeLag)}
			l.cells = []string{
				clean(g.Group), clean(r.Topic), cmp.Or(clean(g.State), unknown), count(g.Members), r.Status, offsetText(r.Lag),
				r.TimeLag.String(), render.Count(r.Gone),
			}
			lines = append(lines, l)
		}
	}
	if !gone {
		columns = columns[:len(columns)-1]
	}
	return columns, lines
}

const statusColumn = 7 // of a table of partitions

func (s Snapshot) partitionLines() (columns []column, lines []line) {
	columns = []column{
		{head: "GROUP", name: true},
		{head: "TOPIC", name: true},
		{head: "PARTITION", right: true},
		{head: "CURRENT-OFFSET", right: true},
		{head: "LOG-END-OFFSET", right: true},
		{head: "LAG", right: true},
		{head: "TIME-LAG", right: true},
		{head: "STATUS"},
		{head: "HOST", name: true},
		{head: "CLIENT-ID", name: true},
	}
	for i := range s.Groups {
		g := &s.Groups[i]
		if len(g.Topics) == 0 && g.Error != "" {
			cells := slices.Repeat([]string{unknown}, len(columns))
			cells[0], cells[statusColumn] = clean(g.Group), oneLookWords[unseen]
			lines = append(lines, line{order: unseen, cells: cells})
		}
		for k := range g.Topics {
			for n := range g.Topics[k].Partitions {
				p := &g.Topics[k].Partitions[n]
				host, client := unknown, unknown
				if p.Member != nil {
					host, client = clean(p.Member.Host), clean(p.Member.ClientID)
				}
				l := line{order: ranks[p.Status], lag: number(p.Lag), late: late(p.TimeLag)}
				l.cells = []string{
					clean(g.Group), clean(g.Topics[k].Topic), strconv.Itoa(int(p.Partition)), offsetText(p.Commit), offsetText(p.End),
					offsetText(p.Lag), p.TimeLag.String(), p.Status, host, client,
				}
				lines = append(lines, l)
			}
		}
	}
	return columns, lines
}

// ranks are those of the words that a partition's status has.
var ranks = map[string]rank{
	"UNSEEN": unseen, "STOP": stop, "STALL": stall, "REWIND": rewind, "WARN": warn, "LAGS": lags, "NO COMMIT": noCommit,
}

func number(n *int64) int64 {
	if n == nil {
		return -1
	}
	return *n
}

func late(l *TimeLag) float64 {
	if l == nil {
		return -1
	}
	return l.Seconds
}

func count(n *int) string {
	if n == nil {
		return unknown
	}
	return strconv.Itoa(*n)
}

func offsetText(n *int64) string {
	if n == nil {
		return unknown
	}
	return render.Count(*n)
}

// String is the age as a person reads it.
func (l *TimeLag) String() string {
	switch {
	case l == nil:
		return unknown
	case l.AtLeast:
		return "≥" + Age(l.Seconds)
	default:
		return Age(l.Seconds)
	}
}

// Age writes seconds in the two largest units that they have.
func Age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
}

// clean is a name that does nothing to a terminal: clients may call their group what they like.
func clean(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, name)
}
