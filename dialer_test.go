package sluice_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// A listener that takes connections and says nothing: the handshake ends with DialTimeout.
func TestTheDialTimeoutIncludesTheHandshake(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := sluice.Config{TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Network: sluice.Network{DialTimeout: 50 * time.Millisecond}}
	conn, err := cfg.Dial(t.Context(), "tcp", l.Addr().String())
	if conn != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", conn, err)
	}
}

func TestTheRetryBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		network sluice.Network
		want    []int // milliseconds after one failure, two, …; at most, as up to a fifth is taken off
	}{
		"default": {sluice.Network{}, []int{20, 40, 80, 160, 320, 640, 1280, 2500, 2500}},
		"given":   {sluice.Network{RetryBackoff: 100 * time.Millisecond, RetryBackoffMax: time.Second}, []int{100, 200, 400, 800, 1000, 1000}},
		"fixed":   {sluice.Network{RetryBackoff: time.Second, RetryBackoffMax: time.Second}, []int{1000, 1000}},
		"great":   {sluice.Network{RetryBackoff: 10 * time.Second}, []int{10000, 10000}},
	} {
		for i, ms := range c.want {
			most := time.Duration(ms) * time.Millisecond
			if got := c.network.Backoff(i + 1); got > most || got < most*4/5 {
				t.Errorf("%s: %v after %d failures, want at most %v", name, got, i+1, most)
			}
		}
		most := time.Duration(c.want[len(c.want)-1]) * time.Millisecond
		if got := c.network.Backoff(1 << 30); got > most || got < most*4/5 {
			t.Errorf("%s: %v after very many failures, want at most %v", name, got, most)
		}
	}
}
