package sluice

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
)

// dialer makes the connections that a Network asks for. kgo's own options for TLS and for a dialer exclude each other, so this
// does both.
type dialer struct {
	network Network // with its defaults

	// tlsConfig is asked for each new connection; nil for plain text.
	tlsConfig func() *tls.Config
}

// dial makes one connection, its TLS handshake included, within DialTimeout.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.network.DialTimeout)
	defer cancel()
	// The net package reads a negative KeepAlive as none, too.
	conn, err := (&net.Dialer{KeepAlive: d.network.KeepAlive}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn, err = d.secure(ctx, conn, address)
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// secure sets the socket's buffers and begins TLS; it closes the connection when it fails.
func (d *dialer) secure(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	if err := d.sizeBuffers(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connection to %s: %w", address, err)
	}
	if d.tlsConfig == nil {
		return conn, nil
	}
	config := d.tlsConfig()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("connection to %s: %w", address, err)
		}
		config = config.Clone()
		config.ServerName = host
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func (d *dialer) sizeBuffers(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	if n := d.network.ReceiveBufferBytes; n > 0 {
		if err := tcp.SetReadBuffer(n); err != nil {
			return fmt.Errorf("set the receive buffer to %d bytes: %w", n, err)
		}
	}
	if n := d.network.SendBufferBytes; n > 0 {
		if err := tcp.SetWriteBuffer(n); err != nil {
			return fmt.Errorf("set the send buffer to %d bytes: %w", n, err)
		}
	}
	return nil
}
