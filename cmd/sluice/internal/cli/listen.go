package cli

import (
	"net"
	"strconv"
	"strings"
)

// listenAddress reads host:port. Without a host it is the loopback address: who wants every interface says 0.0.0.0.
func listenAddress(s string) (string, error) {
	address := s
	if !strings.Contains(s, ":") {
		address = ":" + s
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", usagef("--listen %q: give host:port or a port", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return "", usagef("--listen %q: the port is not a number from 0 to 65535", s)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
