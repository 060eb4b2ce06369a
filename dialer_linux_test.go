package sluice_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// sockets collects what the operating system says of connections as they are made.
type sockets struct {
	mu   sync.Mutex
	seen []socket
}

type socket struct{ receive, send, keepAlive, idle int }

// OnBrokerConnect is kgo's hook.
func (s *sockets) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, conn net.Conn, err error) {
	if err != nil {
		return
	}
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	var got socket
	_ = raw.Control(func(fd uintptr) { // an option that cannot be read is 0, which no test wants
		got.receive, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		got.send, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
		got.keepAlive, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		got.idle, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, got)
}

func TestTrapSocketBuffersThatNeverReachTheSocket(t *testing.T) {
	ca := newAuthority(t)
	plain := realCluster(t)
	secured := realCluster(t, kfake.TLS(ca.server(t, "127.0.0.1")))
	overTLS := "security.protocol=SSL\nssl.truststore.location=" + ca.file(t) + "\n"
	for name, c := range map[string]struct {
		cluster   *kfake.Cluster
		text      string
		keepAlive time.Duration
		want      socket
	}{
		// Linux reports twice the value.
		"plain text": {plain, "receive.buffer.bytes=50000\nsend.buffer.bytes=60000", 0, socket{100000, 120000, 1, 15}},
		"TLS":        {secured, overTLS + "receive.buffer.bytes=70000\nsend.buffer.bytes=80000", time.Minute, socket{140000, 160000, 1, 60}},
		"none":       {plain, "receive.buffer.bytes=-1\nsend.buffer.bytes=-1", -1, socket{-1, -1, 0, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := sluice.FromProperties(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			seen := new(sockets)
			cfg.Brokers, cfg.Group, cfg.Network.KeepAlive = c.cluster.ListenAddrs(), "g", c.keepAlive
			cfg.ClientOptions = []kgo.Opt{kgo.WithHooks(seen)}
			cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
			checkOrders(t, cfg)
			seen.mu.Lock()
			defer seen.mu.Unlock()
			if len(seen.seen) == 0 {
				t.Fatal("no connection was seen")
			}
			for _, got := range seen.seen {
				if c.want.receive < 0 { // whatever it chose, it is none of the sizes that the others have
					got.receive, got.send = -1, -1
				}
				if c.want.idle < 0 {
					got.idle = -1
				}
				if got != c.want {
					t.Errorf("the socket has %+v, want %+v", got, c.want)
				}
			}
		})
	}
}

// checkOrders demands that an app finds its brokers and its topic.
func checkOrders(t *testing.T, cfg sluice.Config) {
	t.Helper()
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text,
		Handle: func(context.Context, sluice.Message[string]) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}
