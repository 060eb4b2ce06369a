package sluice_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// delayer keeps the first commit back, as a network may that was away: its connection ends, and what was written to it arrives later.
type delayer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	mu   sync.Mutex
	kept []byte
}

func (d *delayer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &delayed{conn, d}, nil
}

type delayed struct {
	net.Conn
	d *delayer
}

func (c *delayed) Write(b []byte) (int, error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if c.d.kept == nil && len(b) >= 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.OffsetCommit {
		c.d.kept = append(c.d.kept, b...)
		return len(b), c.Close()
	}
	return c.Conn.Write(b)
}

// arrive brings what was kept back, and waits for its answer.
func (d *delayer) arrive(t *testing.T, address string) {
	t.Helper()
	conn, err := d.dial(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := conn.Write(d.kept); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
}

// A commit that is late puts the group back, as brokers take it. Where nothing comes any more the next one is made all the same.
func TestACommitThatIsLateIsPutRight(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		d := &delayer{dial: c.Dial}
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = []kgo.Opt{kgo.Dialer(d.Dial)}
		var l ledger
		m := join(t, cfg, ledgerRoute(&l, sluice.Policy{Commit: sluice.Every(100 * time.Millisecond)}))
		c.Until("a commit of the first", func() bool { return c.Committed("g", "orders", 0) == 10 })
		c.Produce("orders", 0, 10, 10, 0)
		c.Until("a commit of the others", func() bool { return c.Committed("g", "orders", 0) == 20 })
		time.Sleep(22 * time.Second) // and not when the next one is made
		d.arrive(t, c.ListenAddrs()[0])
		if got := c.Committed("g", "orders", 0); got >= 20 {
			t.Fatalf("committed %d: the late one changed nothing, and the test shows nothing", got)
		}
		time.Sleep(10 * time.Second)
		if got := c.Committed("g", "orders", 0); got != 20 {
			t.Errorf("committed %d after a commit that was late, want 20", got)
		}
		time.Sleep(3 * time.Minute)
		before := m.app.Stats().Commits
		time.Sleep(10 * time.Minute)
		if n := m.app.Stats().Commits - before; n > 0 {
			t.Errorf("%d commits of an app that has nothing to do", n)
		}
		m.leave(t)
	})
}
