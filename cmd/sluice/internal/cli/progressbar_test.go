package cli

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Where nobody looks, a line every 10 s says what was done of how much, and how fast.
func TestShowLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newOutput()
		p := &Process{Stderr: out}
		g := &gauge{name: "in.txt", unit: "delivered", whole: 200}
		stop := p.show(g)
		for range 2 {
			time.Sleep(progressEvery)
			synctest.Wait()
			g.count.Add(25_000)
			g.done.Add(50)
		}
		time.Sleep(progressEvery)
		stop()
		want := "0 delivered  0/s  0% of in.txt\n25,000 delivered  2,500/s  25% of in.txt\n50,000 delivered  2,500/s  50% of in.txt\n"
		if got := out.String(); got != want {
			t.Errorf("it says\n%swant\n%s", got, want)
		}
	})
}

var escape = regexp.MustCompile(`\x1b\[[0-9]*[A-Z]`)

// On a terminal a bar has the file's name, the share, and what was done, and keeps within the width that there is.
func TestShowBar(t *testing.T) {
	t.Parallel()
	for whole, want := range map[int64]*regexp.Regexp{
		300: regexp.MustCompile(`^a long name of a f…  █+░+ +33%  7 delivered  14/s *$`),
		200: regexp.MustCompile(`^in\.txt  █+░+ +50%  7 delivered  14/s *$`),
		0:   regexp.MustCompile(`^in\.txt  7 delivered  14/s *$`),
	} {
		out := newOutput()
		g := &gauge{name: "in.txt", unit: "delivered", whole: whole}
		if whole > 200 {
			g.name = "a long name of a file.txt"
		}
		b := newBar(g, out, 79)
		g.done.Store(100)
		b.say("7 delivered  14/s")
		out.waitFor(t, "7 delivered")
		b.finish()
		lines := strings.Split(escape.ReplaceAllString(out.String(), ""), "\n")
		found := false
		for _, line := range lines {
			found = found || want.MatchString(line)
			if n := len([]rune(line)); n > 79 {
				t.Errorf("a line has %d columns: %q", n, line)
			}
		}
		if !found {
			t.Errorf("of %d: no bar in %q", whole, lines)
		}
	}
}
