// Package kafka is what the program's commands need of a cluster beside the library: a plain client with the same login, a
// quick answer to whether any broker is there, topics, and the embedded broker.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/sluice-go/sluice"
)

// Options are a client's options that reach the same brokers with the same login as cfg.
func Options(cfg sluice.Config) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(cfg.Brokers...), kgo.ClientID("sluice")}
	if cfg.ClientID != "" {
		opts = append(opts, kgo.ClientID(cfg.ClientID))
	}
	if cfg.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(cfg.TLS.Clone()))
	}
	if s := cfg.SASL; s != nil {
		switch s.Mechanism {
		case "PLAIN":
			opts = append(opts, kgo.SASL(plain.Auth{User: s.Username, Pass: s.Password}.AsMechanism()))
		case "SCRAM-SHA-256":
			opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha256Mechanism()))
		case "SCRAM-SHA-512":
			opts = append(opts, kgo.SASL(scram.Auth{User: s.Username, Pass: s.Password}.AsSha512Mechanism()))
		}
	}
	return append(opts, cfg.ClientOptions...)
}

// NewClient makes a client and sees to it that a broker answers before ctx ends; the error names the addresses.
func NewClient(ctx context.Context, cfg sluice.Config, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(Options(cfg), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if err := reach(ctx, client, cfg.Brokers); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// Reach sees whether any broker answers, logs in included, before ctx ends.
func Reach(ctx context.Context, cfg sluice.Config) error {
	client, err := NewClient(ctx, cfg)
	if err != nil {
		return err
	}
	client.Close()
	return nil
}

// reach asks all seeds at once: one that accepts and stays silent must not use up the time of the others.
func reach(ctx context.Context, client *kgo.Client, addresses []string) error {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seeds := client.SeedBrokers()
	answers := make(chan error, len(seeds))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failed := make([]string, 0, len(seeds))
	for i, seed := range seeds {
		wg.Go(func() {
			_, err := seed.Request(ctx, kmsg.NewPtrApiVersionsRequest())
			if err != nil {
				err = fmt.Errorf("%s: %w", addresses[i], diagnose(ctx, err, began))
			}
			answers <- err
		})
	}
	for range seeds {
		err := <-answers
		if err == nil {
			return nil
		}
		failed = append(failed, err.Error())
	}
	return errors.New("kafka: no broker can be reached: " + strings.Join(failed, "; "))
}

func diagnose(ctx context.Context, err error, began time.Time) error {
	alert, isNet := errors.AsType[*net.OpError](err)
	switch {
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v; is something else listening there?", time.Since(began).Round(100*time.Millisecond))
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("the login is refused: wrong name or password (%w)", err)
	case errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("it asks for no login here: leave security.protocol and sasl.… out, or use its port for SASL (%w)", err)
	case isNet && alert.Op == "remote error": // what crypto/tls calls an alert of the other side
		return fmt.Errorf("it refuses the certificate of this client, or that there is none (%w)", err)
	}
	return err
}
