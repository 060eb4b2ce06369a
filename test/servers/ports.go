package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// Ports are taken from below the range that outgoing connections get theirs from (32768 and up on Linux, 49152 elsewhere).
// One from :0 would be in that range: while its server is down, a client that keeps dialling can be given the very port,
// connect to itself, and keep the server from ever coming back.
const (
	firstPort = 15000
	lastPort  = 30000
)

// freePort returns a port on 127.0.0.1 that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	const attempts = 100
	var last error
	for range attempts {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address(port))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, errors.Join(fmt.Errorf("no free port between %d and %d", firstPort, lastPort), last)
}

// freePorts returns ports that differ.
func freePorts(ctx context.Context, count int) ([]int, error) {
	var ports []int
	for len(ports) < count {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports, nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// FreeAddress returns an address on 127.0.0.1 that nobody listens on.
func FreeAddress(ctx context.Context) (string, error) {
	port, err := freePort(ctx)
	return address(port), err
}
