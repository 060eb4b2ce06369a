package monitor

import (
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// Config is what a Monitor is made of. Its zero values are defaults, but for ClientOptions.
type Config struct {
	// ClientOptions reach the cluster: kgo.SeedBrokers, TLS, SASL. Required. How often requests are tried is the monitor's own affair: its
	// options come after yours. Run returns when a dialer of yours has: it should heed its context.
	ClientOptions []kgo.Opt

	// Interval is the time from the beginning of one round to the beginning of the next. Default 10 seconds; at most a sixth of
	// Rules.Window, which could not be told apart otherwise. A round that takes longer is not interrupted.
	Interval time.Duration

	// Logger is told what cannot be seen, once, and when it can be seen again. Default slog.Default().
	Logger *slog.Logger

	// OnSnapshot is called after each round with what it saw, one call after the other. The next round waits for it. Default: nobody is
	// told; Monitor.Snapshot has the last one at any time.
	OnSnapshot func(*Snapshot)

	// Rules say how groups are judged.
	Rules Rules

	// Timeout is how long a broker may take to answer a request. One that takes longer is asked nothing more in that round, and the rows
	// that it should have told keep what was known, and say so. Default 5 seconds.
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Rules = c.Rules.withDefaults()
	if c.Interval == 0 {
		c.Interval = min(10*time.Second, c.Rules.Window/6)
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// check returns all mistakes of a Config with its defaults, joined.
func (c Config) check() error {
	var errs []error
	add := func(field, value, problem string) {
		errs = append(errs, &sluice.ConfigError{Field: field, Value: value, Problem: problem})
	}
	if len(c.ClientOptions) == 0 {
		add("ClientOptions", "", "is required: kgo.SeedBrokers says where the cluster is")
	}
	if c.Rules.Window < time.Minute {
		add("Rules.Window", c.Rules.Window.String(),
			"must be at least 1m0s: shorter pauses are normal, as in a rebalance; leave it out for 10m0s")
	} else if c.Interval < time.Second || c.Interval > c.Rules.Window/6 {
		add("Interval", c.Interval.String(),
			"must be between 1s and a sixth of Rules.Window, "+(c.Rules.Window/6).String()+"; leave it out for 10s")
	}
	if c.Rules.FirstSight < c.Rules.Window {
		add("Rules.FirstSight", c.Rules.FirstSight.String(),
			"must be at least Rules.Window, "+c.Rules.Window.String()+"; leave it out for 1h30m0s")
	}
	if c.Rules.AllowedLag < 0 {
		add("Rules.AllowedLag", "", "must not be negative; leave it out to allow no lag")
	}
	if c.Timeout < 100*time.Millisecond {
		add("Timeout", c.Timeout.String(), "must be at least 100ms; leave it out for 5s")
	}
	return errors.Join(errs...)
}
