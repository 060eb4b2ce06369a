package sluice_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// A broker that is dead behind a proxy takes a connection and hangs up. Nobody may refuse to start for it while others answer. (Found by
// test/chaos: kgo asks no other broker then.)
func TestCheckAsksAnotherBroker(t *testing.T) {
	c := realCluster(t, kfake.NumBrokers(2))
	dead := c.ListenAddrs()[1]
	cfg := secured(t, c.ListenAddrs()[:1])
	cfg.ClientOptions = []kgo.Opt{kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != dead {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		ours, theirs := net.Pipe()
		go func() { _, _ = theirs.Read(make([]byte, 4096)); _ = theirs.Close() }()
		return ours, nil
	})}
	const tries = 20 // which broker is asked first is up to chance
	for range tries {
		app, err := sluice.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := sluice.Add(app, sluice.Route[string]{Topics: []string{"orders"}, Decode: sluice.Text, Handle: func(context.Context, sluice.Message[string]) error { return nil }}); err != nil {
			t.Fatal(err)
		}
		if err := app.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Where no broker answers, Run says so, with their addresses and within the time that it documents, and does not try for ever.
func TestRunEndsWhereNoBrokerAnswers(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for name, most := range map[string]time.Duration{"refused": time.Second, "silent": 11 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
				link := c.NewLink()
				link.Freeze()
				cfg := configFor(t, c, link)
				if name == "refused" {
					cfg.ClientOptions = []kgo.Opt{kgo.Dialer(func(context.Context, string, string) (net.Conn, error) { return nil, refused })}
				}
				var l ledger
				began := time.Now()
				m := join(t, cfg, ledgerRoute(&l, sluice.Policy{}))
				err := <-m.done
				if took := time.Since(began); err == nil || took > most || !strings.Contains(err.Error(), c.ListenAddrs()[0]) {
					t.Errorf("after %v: %v; want an error that names the address, within %v", took, err, most)
				}
				link.Cut()
			})
		})
	}
}
