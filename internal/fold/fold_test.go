package fold_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/internal/fold"
)

// lines takes what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(bytes.TrimSpace(b)))
	return len(b), nil
}

// taken returns what was logged since the last time.
func (l *lines) taken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func folded() (*slog.Logger, *fold.Handler, *lines) {
	var l lines
	h := fold.New(slog.NewTextHandler(&l, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	return slog.New(h), h, &l
}

// What is said of a handler is said of each: no other line names it. Records that fail by the thousand are counted.
func TestALineAboutAHandlerIsOfThatHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, l := folded()
		for i := range 100 {
			log.Error("handler outlived its drain", "topic", "orders", "partition", 1, "offset", i)
		}
		if got := l.taken(); len(got) != 100 {
			t.Errorf("%d of 100 handlers are named", len(got))
		}
		for i := range 100 {
			log.Warn("record dropped", "topic", "orders", "partition", 1, "offset", i, "class", "error")
		}
		if got := l.taken(); len(got) != 10 {
			t.Errorf("%d lines of records that were dropped", len(got))
		}
		for _, topics := range []string{"orders", "bills"} {
			for range 10 {
				log.Error("outage", "topics", []string{topics}, "err", io.EOF)
			}
		}
		h.Flush()
		if got := l.taken(); len(got) != 21 {
			t.Errorf("outages of two routes: %d lines", len(got))
		}
	})
}

// Ten pass at once, and the last of the others when a minute is over, with their number; a flood that goes on is told once a minute.
func TestAFloodIsFolded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _, l := folded()
		flood := func(n, from int) {
			for i := range n {
				log.Warn("no", "topic", "orders", "offset", from+i, "err", io.EOF)
			}
		}
		flood(1000, 0)
		if got := l.taken(); len(got) != 10 || got[9] != "level=WARN msg=no topic=orders offset=9 err=EOF" {
			t.Errorf("at once: %d, %q", len(got), got)
		}
		time.Sleep(59 * time.Second)
		flood(1, 1000)
		if got := l.taken(); len(got) != 0 {
			t.Errorf("before the minute is over: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := l.taken(); len(got) != 1 || got[0] != "level=WARN msg=no topic=orders offset=1000 err=EOF repeated=991" {
			t.Errorf("after a minute: %q", got)
		}
		flood(3, 0)
		if got := l.taken(); len(got) != 3 {
			t.Errorf("of the next minute: %q", got)
		}
		time.Sleep(time.Hour)
		if got := l.taken(); len(got) != 0 {
			t.Errorf("with nothing held back: %q", got)
		}
	})
}

// What is not equal, or no warning, is not folded.
func TestWhatDiffersIsNotFolded(t *testing.T) {
	t.Parallel()
	const n = 50
	for name, say := range map[string]func(*slog.Logger, int){
		"message":    func(l *slog.Logger, i int) { l.Warn(fmt.Sprint(i)) },
		"level":      func(l *slog.Logger, i int) { l.Log(t.Context(), slog.LevelWarn+slog.Level(i), "no") },
		"topic":      func(l *slog.Logger, i int) { l.Warn("no", "topic", fmt.Sprint(i)) },
		"partition":  func(l *slog.Logger, i int) { l.Warn("no", "partition", int32(i)) },
		"error":      func(l *slog.Logger, i int) { l.Error("no", "err", errors.New(fmt.Sprint(i))) },
		"logger":     func(l *slog.Logger, i int) { l.With("topic", i).Error("no") },
		"group":      func(l *slog.Logger, i int) { l.WithGroup(fmt.Sprint(i)).Error("no") },
		"news":       func(l *slog.Logger, _ int) { l.Info("no") },
		"many kinds": func(l *slog.Logger, i int) { l.Warn("no", "topic", i, "partition", i, "offset", 7) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, h, l := folded()
			for i := range n {
				say(log, i)
			}
			h.Flush()
			if got := l.taken(); len(got) != n {
				t.Errorf("%d lines, want %d", len(got), n)
			}
		})
	}
}

// Nothing that is held back is lost when an app ends, and no timer tells it again.
func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, h, l := folded()
		log = log.With("topic", "orders").WithGroup("g")
		for range 25 {
			log.Error("no")
		}
		l.taken()
		h.Flush()
		if got := l.taken(); len(got) != 1 || got[0] != "level=ERROR msg=no topic=orders g.repeated=15" {
			t.Errorf("%q", got)
		}
		time.Sleep(time.Hour)
		h.Flush()
		if got := l.taken(); len(got) != 0 {
			t.Errorf("once more: %q", got)
		}
	})
}

// Memory is bounded, however many kinds of errors there are; those that are over make room.
func TestKindsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, _, l := folded()
		for i := range 1000 {
			log.Warn("no", "topic", i)
		}
		l.taken()
		for range 20 {
			log.Warn("another")
		}
		if got := l.taken(); len(got) != 20 {
			t.Errorf("%d lines beyond what is known, want all 20", len(got))
		}
		time.Sleep(2 * time.Minute)
		for range 20 {
			log.Warn("another")
		}
		if got := l.taken(); len(got) != 10 {
			t.Errorf("%d lines after the others are over, want 10", len(got))
		}
	})
}

// Several goroutines lose no line: each is passed on, or counted.
func TestConcurrentLines(t *testing.T) {
	t.Parallel()
	log, h, l := folded()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				log.Warn("no")
			}
		})
	}
	wg.Wait()
	h.Flush()
	got := l.taken()
	if len(got) != 11 || !strings.HasSuffix(got[10], "repeated=790") {
		t.Errorf("%q", got)
	}
}
