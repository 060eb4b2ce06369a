package sluice_test

import (
	"context"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
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
