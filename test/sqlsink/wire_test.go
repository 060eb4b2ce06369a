package sqlsink_test

import (
	"database/sql"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// wire is the network between a member and its database. It can be cut, at any piece of what passes, and led to another server.
type wire struct {
	listener net.Listener
	done     sync.WaitGroup

	mu       sync.Mutex
	upstream string
	open     map[net.Conn]bool
	passed   int // pieces since the last arm
	cut      cut
	at       int // the piece that is cut; below zero: none
	happened bool
	closed   bool
}

// cut is what happens to a piece and to its connection. A piece is what one read gives: a statement, an answer, or a part of it.
type cut string

const (
	cutBefore    cut = "before it"
	cutInside    cut = "in the middle of it"
	cutAfter     cut = "after it"
	cutBlackHole cut = "after it, without a word" // the connections stay open, and nothing passes any more
)

func newWire(tb testing.TB, d servers.DB) *wire {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &wire{listener: listener, upstream: hostOf(tb, d), open: make(map[net.Conn]bool), at: -1}
	w.done.Go(w.accept)
	tb.Cleanup(func() {
		_ = listener.Close()
		w.close()
		w.done.Wait()
	})
	return w
}

func hostOf(tb testing.TB, d servers.DB) string {
	tb.Helper()
	u, err := url.Parse(d.URL)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Host
}

// through opens the database d over the wire.
func (w *wire) through(tb testing.TB, d servers.DB) *sql.DB {
	tb.Helper()
	d.DSN = strings.ReplaceAll(d.DSN, hostOf(tb, d), w.listener.Addr().String())
	return d.Open(tb)
}

// arm cuts the wire at the given piece from now on, once.
func (w *wire) arm(c cut, piece int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.at, w.passed, w.happened = c, piece, 0, false
}

// disarmed tells whether the cut has happened, and lets everything pass from now on.
func (w *wire) disarmed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = -1
	return w.happened
}

// lead leads new connections to the server of d, and breaks those that there are.
func (w *wire) lead(tb testing.TB, d servers.DB) {
	tb.Helper()
	host := hostOf(tb, d)
	w.mu.Lock()
	w.upstream = host
	w.mu.Unlock()
	w.breakAll()
}

func (w *wire) breakAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Close()
	}
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.breakAll()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		upstream := w.upstream
		w.mu.Unlock()
		server, err := new(net.Dialer).Dial("tcp", upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !w.add(client, server) {
			return
		}
		l := &link{wire: w, client: client, server: server, hole: make(chan struct{})}
		w.done.Go(func() { l.pump(server, client) })
		w.done.Go(func() { l.pump(client, server) })
	}
}

func (w *wire) add(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.closed {
			_ = c.Close()
			continue
		}
		w.open[c] = true
	}
	return !w.closed
}

func (w *wire) remove(c net.Conn) {
	w.mu.Lock()
	delete(w.open, c)
	w.mu.Unlock()
	_ = c.Close()
}

// next says what is to happen to the next piece; empty: it passes.
func (w *wire) next() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at < 0 || w.happened {
		return ""
	}
	w.passed++
	if w.passed <= w.at {
		return ""
	}
	w.happened = true
	return w.cut
}

// link is one connection of a client, and the one to the server that belongs to it.
type link struct {
	wire           *wire
	client, server net.Conn

	hole      chan struct{} // closed when nothing is to pass any more
	swallowed sync.Once
}

// pump passes pieces on until one is cut, or an end closes.
func (l *link) pump(to, from net.Conn) {
	defer l.hangUp(from)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		piece := buffer[:n]
		how := l.wire.next()
		if how == cutBlackHole {
			l.swallowed.Do(func() { close(l.hole) })
		} else if l.isHole() {
			continue
		}
		if how == cutBefore {
			return
		}
		if how == cutInside {
			piece = piece[:n/2]
		}
		if _, err := to.Write(piece); err != nil || how == cutInside || how == cutAfter {
			return
		}
	}
}

func (l *link) isHole() bool {
	select {
	case <-l.hole:
		return true
	default:
		return false
	}
}

// hangUp tells both ends; out of a black hole the server hears nothing, and closes by itself when it has waited long enough.
func (l *link) hangUp(from net.Conn) {
	if l.isHole() && from == l.client {
		l.wire.remove(l.client)
		return
	}
	l.wire.remove(l.client)
	l.wire.remove(l.server)
}
