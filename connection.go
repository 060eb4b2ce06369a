package sluice

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// connection is what consumers and producers say alike about reaching the brokers.
type connection struct {
	brokers  []string
	clientID string
	network  Network
	options  []kgo.Opt
	sasl     *SASL
	tls      *tls.Config
	files    TLSFiles
	logger   *slog.Logger // of an app; may be nil
}

func (c Config) connection() connection {
	return connection{c.Brokers, c.ClientID, c.Network, c.ClientOptions, c.SASL, c.TLS, c.TLSFiles, c.Logger}
}

func (c ProducerConfig) connection() connection {
	return connection{c.Brokers, c.ClientID, c.Network, c.ClientOptions, c.SASL, c.TLS, c.TLSFiles, nil}
}

// check judges it, when its numbers have been judged and have their defaults: see checkNumbers.
func (c connection) check(m *mistakes) {
	if len(c.brokers) == 0 {
		m.add("Brokers", "", "give at least one host:port")
	}
	for i, b := range c.brokers {
		field := fmt.Sprintf("Brokers[%d]", i)
		if b == "" {
			m.add(field, "", "empty; give host:port")
		} else if err := kgo.ValidateOpts(kgo.SeedBrokers(b)); err != nil {
			m.add(field, b, "not host:port")
		}
	}
	if n := len(c.clientID); n > longestClientID {
		m.add("ClientID", c.clientID, fmt.Sprintf("is %d bytes long; accepted are up to %d", n, longestClientID))
	}
	if c.sasl != nil {
		if _, err := c.sasl.mechanism(); err != nil {
			m.add("SASL", "", err.Error())
		}
	}
	c.files.check(m)
	if n := c.network; n.RetryBackoffMax < n.RetryBackoff {
		m.add("Network.RetryBackoffMax", shortDuration(n.RetryBackoffMax), fmt.Sprintf("is below Network.RetryBackoff "+
			"(retry.backoff.ms), %v; raise it, or lower that", shortDuration(n.RetryBackoff)), "Network.RetryBackoff")
	}
	switch {
	case optionNamed(c.options, "DialTLSConfig") != "":
		m.add("ClientOptions", "", "kgo.DialTLSConfig cannot be joined with the settings of Network; give TLS")
	case optionNamed(c.options, "DialTimeout") != "":
		m.add("ClientOptions", "", "kgo.DialTimeout has no effect; give Network.DialTimeout")
	case (c.tls != nil || c.files.given()) && optionNamed(c.options, "Dialer") != "":
		m.add("ClientOptions", "", "kgo.Dialer would make connections without TLS; have it make them with TLS, and leave TLS out", "TLS")
	}
}

// longestClientID is what kgo accepts.
const longestClientID = 256

// clientOptions are what every client of ours has. The user's own go behind them and win, a dialer too.
func (c connection) clientOptions() []kgo.Opt {
	n := c.network.withDefaults()
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.brokers...),
		kgo.SoftwareNameAndVersion("sluice", "dev"),
		kgo.Dialer(c.dialer().dial),
		kgo.RequestTimeoutOverhead(n.RequestTimeout),
		kgo.ConnIdleTimeout(n.IdleTimeout),
		kgo.RetryBackoffFn(n.backoff),
		kgo.MetadataMaxAge(n.MetadataMaxAge),
		kgo.MetadataMinAge(min(metadataMinAge, n.MetadataMaxAge)),
	}
	if c.clientID != "" {
		opts = append(opts, kgo.ClientID(c.clientID))
	}
	if c.sasl != nil {
		if m, err := c.sasl.mechanism(); err == nil { // see check
			opts = append(opts, kgo.SASL(m))
		}
	}
	return opts
}

// dialer makes its connections.
func (c connection) dialer() *dialer {
	d := &dialer{network: c.network.withDefaults()}
	switch {
	case c.files.given():
		d.tlsConfig = newTLSReader(c.tls, c.files, c.logger).config
	case c.tls != nil:
		d.tlsConfig = c.tls.Clone
	}
	return d
}

// metadataMinAge is the least time between two questions for topics and leaders. kgo's own is 5 s: a topic that was made just
// now has no leader yet when it is first asked for, and its first records then wait that long (seen: a p99 of 5.0 s).
const metadataMinAge = 250 * time.Millisecond

const defaultBackoffMax = 2500 * time.Millisecond

// withDefaults puts the defaults in the place of zeros.
func (n *Network) withDefaults() Network {
	c := Config{Network: *n}
	checkNumbers(&c, new(mistakes), common)
	c.Network.follow()
	return c.Network
}

// follow puts those defaults in the place of zeros that depend on another field.
func (n *Network) follow() {
	if n.RetryBackoffMax == 0 {
		n.RetryBackoffMax = max(defaultBackoffMax, n.RetryBackoff)
	}
}

// backoff is the client's wait before it asks again: RetryBackoff, doubled up to RetryBackoffMax, less up to a fifth. Its default
// of 20 ms is below kgo's own 250 ms: when partitions leave, kgo ends the fetch in flight with its connection, and a fetch for
// those that stay may meet that dying connection and wait for this (seen as a gap of 296 ms once in nine rebalances; now 20).
func (n *Network) backoff(failures int) time.Duration {
	d := n.RetryBackoff
	for i := 1; i < failures && d < n.RetryBackoffMax; i++ {
		d *= 2
	}
	d = min(d, n.RetryBackoffMax)
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}
