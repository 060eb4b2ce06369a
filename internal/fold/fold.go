// Package fold keeps a flood of equal log lines from drowning all others.
package fold

import (
	"context"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	window = time.Minute // in which equal lines are counted
	most   = 10          // of them pass in a window
	floods = 1000        // that are known at once; what comes beyond them is not folded
)

// Handler passes log lines on. Of warnings and errors that are equal it passes ten a minute; of those beyond it passes the last one
// when the minute is over, with the attribute repeated: how many they were. Lines are equal when they have the same level, the same
// message and the same topic or topics, partition, err and what: an offset or a duration may differ. A line with neither err nor class is
// about its offset itself, as that of a handler that hangs, and equal only at the same one. It keeps no goroutine.
type Handler struct {
	next  slog.Handler
	all   *all
	scope string // of WithAttrs and WithGroup
}

// all is what a handler shares with those made of it.
type all struct {
	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint64]*flood // by the hash of what is equal: an err may be long
	swept time.Time
}

// flood are equal lines.
type flood struct {
	since  time.Time
	seen   int
	timer  *time.Timer // runs while some were held back
	last   slog.Record // of those
	ctx    context.Context
	next   slog.Handler
	folded int
}

// New makes a handler on top of another one.
func New(next slog.Handler) *Handler {
	return &Handler{next: next, all: &all{seed: maphash.MakeSeed(), known: make(map[uint64]*flood)}}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	parts := []string{h.scope}
	for _, a := range attrs {
		parts = append(parts, part(a))
	}
	return &Handler{next: h.next.WithAttrs(attrs), all: h.all, scope: strings.Join(parts, "")}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), all: h.all, scope: h.scope + "\x00" + name + "."}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn && h.all.holdsBack(ctx, h, r) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// Flush passes on at once what is held back.
func (h *Handler) Flush() {
	h.all.mu.Lock()
	held := make([]*flood, 0, len(h.all.known))
	for key, f := range h.all.known {
		if f.timer != nil {
			f.timer.Stop()
			held = append(held, f)
		}
		delete(h.all.known, key)
	}
	h.all.mu.Unlock()
	for _, f := range held {
		f.tell()
	}
}

// holdsBack counts a line; true: it is not to be passed on now.
func (all *all) holdsBack(ctx context.Context, h *Handler, r slog.Record) bool {
	key := maphash.String(all.seed, h.keyOf(r))
	now := time.Now()
	all.mu.Lock()
	defer all.mu.Unlock()
	f := all.known[key]
	if f == nil || f.timer == nil && now.Sub(f.since) >= window {
		if f == nil && len(all.known) == floods && !all.sweep(now) {
			return false
		}
		f = &flood{since: now}
		all.known[key] = f
	}
	if f.seen++; f.seen <= most {
		return false
	}
	f.last, f.ctx, f.next = r.Clone(), context.WithoutCancel(ctx), h.next
	f.folded++
	if f.timer == nil {
		f.timer = time.AfterFunc(f.since.Add(window).Sub(now), func() { all.over(key, f) })
	}
	return true
}

// over ends a window in which lines were held back.
func (all *all) over(key uint64, f *flood) {
	all.mu.Lock()
	mine := all.known[key] == f // else Flush has it
	if mine {
		delete(all.known, key)
	}
	all.mu.Unlock()
	if mine {
		f.tell()
	}
}

// sweep forgets what is over, once a second at most; false: nothing is.
func (all *all) sweep(now time.Time) bool {
	if now.Sub(all.swept) < time.Second {
		return false
	}
	all.swept = now
	before := len(all.known)
	for key, f := range all.known {
		if f.timer == nil && now.Sub(f.since) >= window {
			delete(all.known, key)
		}
	}
	return len(all.known) < before
}

func (f *flood) tell() {
	f.last.AddAttrs(slog.Int("repeated", f.folded))
	_ = f.next.Handle(f.ctx, f.last) // nobody is there to be told
}

// keyOf is the same for equal lines.
func (h *Handler) keyOf(r slog.Record) string {
	var b strings.Builder
	b.WriteString(h.scope)
	b.WriteString(r.Level.String())
	b.WriteByte(0)
	b.WriteString(r.Message)
	failed, offset := false, ""
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(part(a))
		switch a.Key {
		case "err", "class":
			failed = true
		case "offset":
			offset = a.Value.String()
		}
		return true
	})
	if !failed {
		b.WriteString("\x00offset=" + offset)
	}
	return b.String()
}

// part is what an attribute adds to the key.
func part(a slog.Attr) string {
	switch a.Key {
	case "topic", "topics", "partition", "err", "what":
		return "\x00" + a.Key + "=" + a.Value.Resolve().String()
	}
	return ""
}
