// Package kafka is what the program's commands need of a cluster beside the library: a plain client with the same login, a
// quick answer to whether any broker is there, topics, and the embedded broker.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

// NewClient makes a client and sees to it that a broker answers before ctx ends; the error names the addresses.
func NewClient(ctx context.Context, cfg sluice.Config, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(cfg.ConnectOptions(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	if err := reach(ctx, client, cfg.Brokers); err != nil {
		client.Close()
		if cfg.SASL != nil && errors.Is(err, io.EOF) { // some brokers, the embedded one among them, hang up
			err = fmt.Errorf("%w; a wrong password? The connection was closed at the login", err)
		}
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
	var failed error
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
		if failed == nil {
			failed = err
		} else {
			failed = fmt.Errorf("%w; %w", failed, err)
		}
	}
	return fmt.Errorf("kafka: no broker can be reached: %w", failed)
}

func diagnose(ctx context.Context, err error, began time.Time) error {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v; is something else listening there?", time.Since(began).Round(100*time.Millisecond))
	}
	return sluice.Explain(err, "", "")
}

// OwnFault tells whether a record could not be written for what it is; others may still be.
func OwnFault(err error) bool {
	for _, own := range []error{sluice.ErrTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}
