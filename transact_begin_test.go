package sluice_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A static member that dies between its offsets and the end of its transaction holds its partitions: their offsets are not stable. The one
// that comes back ends that at once, before it is given anything, and does not wait for the transaction's timeout.
func TestInvariant12ARestartedMemberAbortsWhatItLeftBehind(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 50
		ends := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ConcurrentTransactions, Count: -1})
		static := func(link *bubble.Link) sluice.Config {
			cfg := configFor(t, c, link)
			cfg.InstanceID = "one" // with ConsumerProtocol its partitions wait for the end of the session, whatever we do
			return cfg
		}
		link := c.NewLink()
		join(t, static(link), forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
		c.Produce("orders", 0, 0, n, 10)
		c.Until("its offsets are sent, and it ends", func() bool { return ends.Hits() > 0 })
		link.Cut()
		ends.Remove()
		began := time.Now()
		second := join(t, static(nil), forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("invariant 12: it took %v: it waited for the timeout of the transaction that was left behind", took)
		}
		second.leave(t)
		once(t, c, n)
	})
}

// tornConn is a connection on which the next request of a kind cannot be written.
type tornConn struct {
	net.Conn
	key  kmsg.Key
	left *atomic.Int32
}

var errTorn = errors.New("the record layer of this connection is broken")

func (c tornConn) Write(b []byte) (int, error) {
	if len(b) >= 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.key && c.left.Add(-1) >= 0 {
		return 0, errTorn
	}
	return c.Conn.Write(b)
}

// The client keeps an error of AddPartitionsToTxn that it does not know for a passing one, as one of TLS: it then begins no transaction any
// more, and asks brokers nothing. It is made anew.
func TestInvariant12AnErrorThatTheClientKeepsIsNoEnd(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 50
		var left atomic.Int32
		cfg := configFor(t, c, nil)
		cfg.ClientOptions = c.Options(func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := c.Dial(ctx, network, address)
			return tornConn{conn, kmsg.AddPartitionsToTxn, &left}, err
		})[1:]
		m := join(t, cfg, forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
		c.Produce("orders", 0, 0, n, 5)
		c.Until("the first are committed", func() bool { return c.Committed("g", "orders", 0) == n })
		left.Store(2) // once written anew at once, on another connection
		c.Produce("orders", 0, n, n, 5)
		began := time.Now()
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 2*n })
		if took := time.Since(began); left.Load() > 0 || took > 10*time.Second {
			t.Errorf("invariant 12: it took %v", took)
		}
		m.leave(t)
		once(t, c, 2*n)
	}, kfake.MaxVersions(kversion.V3_9_0()))
}

// Brokers may take long to let a transactional id in. The member that waits for them gives partitions up meanwhile, says what it waits
// for, and stops when it is told to.
func TestInvariant6AMemberThatCannotBeginHoldsNobodyUp(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
			held := "" // the first transactional id that comes
			c.Fault(kfake.Fault{
				Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, Count: -1,
				When: func(r kmsg.Request) bool {
					id := r.(*kmsg.InitProducerIDRequest).TransactionalID
					if id == nil { // the test's own producer
						return false
					}
					held = cmp.Or(held, *id)
					return *id == held
				},
			})
			for p := range int32(2) {
				c.Produce("orders", p, 10*int(p), 10, 0)
			}
			var handled atomic.Int64
			count := func(context.Context, sluice.Message[string]) error { handled.Add(1); return nil }
			first := join(t, set(configFor(t, c, nil)), forward(sluice.Policy{}, count))
			c.Until("it has the partitions", func() bool { return len(first.app.Snapshot().Partitions) == 2 })
			time.Sleep(5 * time.Second)
			second := join(t, set(configFor(t, c, nil)), forward(sluice.Policy{}, count))
			began := time.Now()
			c.Until("invariant 6: the other one works", func() bool { return c.Committed("g", "orders", 0)+c.Committed("g", "orders", 1) == 9 })
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("invariant 6: the other member waited for %v", took)
			}
			c.Until("health tells", func() bool {
				return strings.Contains(strings.Join(first.app.Health().Problems, "; "), "no transaction can begin")
			})
			time.Sleep(3 * time.Minute)
			if h := strings.Join(first.app.Health().Problems, "; "); strings.Contains(h, "stands still") {
				t.Errorf("health sends an operator elsewhere: %s", h)
			}
			began = time.Now()
			first.leave(t)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("invariant 10: it stopped after %v", took)
			}
			c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 && c.Committed("g", "orders", 1) == 10 })
			second.leave(t)
			if n := handled.Load(); n != 20 {
				t.Errorf("%d were handled, want 20", n)
			}
			once(t, c, 20)
		})
	})
}

// A transaction commits all that it took, or nothing: nobody asks for a commit of a part of it.
func TestATransactRouteTakesNoCommit(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		inside, leave := make(chan struct{}), make(chan struct{})
		m := join(t, configFor(t, c, nil), forward(sluice.Policy{}, func(_ context.Context, m sluice.Message[string]) error {
			if m.Offset() == 5 {
				close(inside)
				<-leave
			}
			return nil
		}))
		c.Produce("orders", 0, 0, 10, 0)
		<-inside
		if err := m.app.Commit(t.Context()); err == nil {
			t.Error("no error")
		}
		if at := c.Committed("g", "orders", 0); at > 0 {
			t.Errorf("invariant 12: %d is committed before its transaction", at)
		}
		close(leave)
		c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
	})
}
