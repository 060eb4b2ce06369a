// Package demo shows the main job: orders go through a broker into a SQL table, some of them are poison, three members of a
// group share the work, and at the end everything is counted from outside.
//
// The count is what the producer saw acknowledged, a SELECT over the table and a read of the dead letter topic. What the
// engine counts is only shown while it runs.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

// Options say how big the demonstration is and where it runs.
type Options struct {
	Duration time.Duration // how long orders are produced
	Rate     int           // orders a second

	Kafka sluice.Config // Brokers empty: the embedded broker
	DSN   *pipeline.DSN // nil: SQLite in a temporary file

	// Output is where progress goes. Width is a terminal's; 0 says that it is none.
	Output io.Writer
	Width  int

	// Abort is closed to say that nothing may be waited for any longer.
	Abort <-chan struct{}

	// ReachLimit bounds how long broker and database may take to answer at start.
	ReachLimit time.Duration
}

const (
	memberCount = 3
	partitions  = 6
	// stallLimit is how long the work may stand still, once all is produced, before the demonstration has failed.
	stallLimit = 60 * time.Second
	lookEvery  = 100 * time.Millisecond
)

// Run runs the demonstration. The end of ctx ends the producing; what was produced is still worked off and counted.
func Run(ctx context.Context, o Options) (Count, error) {
	shown := newDisplay(o)
	defer shown.close()
	logger := slog.New(slog.NewTextHandler(shown, &slog.HandlerOptions{Level: slog.LevelError}))

	// Ctrl-C is no reason to leave before all is counted; the second one is.
	whole, giveUp := context.WithCancelCause(context.WithoutCancel(ctx))
	defer giveUp(nil)
	stopWatching := watch(o.Abort, func() { giveUp(errAborted) })
	defer stopWatching()

	s, err := setUp(ctx, o, logger)
	if err != nil {
		return Count{}, err
	}
	defer s.close()
	_, _ = fmt.Fprintln(shown, s.where())

	members, err := startMembers(whole, s, o.Abort, logger)
	if err != nil {
		return Count{}, err
	}
	ledger := newLedger()
	report := func() { shown.update(snapshotOf(ledger, members)) }
	stopReporting := every(lookEvery, report)

	err = errors.Join(produce(ctx, whole, s, o, ledger), ledger.failure())
	if err == nil {
		err = workedOff(whole, s, members)
	}
	err = errors.Join(err, members.stop())
	stopReporting()
	report()
	switch {
	case errors.Is(context.Cause(whole), errAborted):
		return Count{}, errAborted
	case err != nil:
		return Count{}, err
	}
	return count(whole, s, ledger)
}

var errAborted = errors.New("stopped at once: nothing was counted")

// watch calls f when a channel is closed, until stop is called.
func watch(ch <-chan struct{}, f func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ch:
			f()
		case <-done:
		}
	})
	return func() { close(done); wg.Wait() }
}

// every calls f again and again until stop is called.
func every(interval time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				f()
			case <-done:
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// workedOff waits until the group has committed everything that the topic holds.
func workedOff(ctx context.Context, s *stage, members *members) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	least, since := int64(-1), time.Now()
	for {
		left, err := s.remaining(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil && left == 0:
			return nil
		case err == nil && (least < 0 || left < least):
			least, since = left, time.Now()
		case time.Since(since) > stallLimit:
			return errors.Join(fmt.Errorf("no progress for %v with %d orders left", stallLimit, left), err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-members.failed:
			return errors.New("a member of the group ended early")
		case <-ticker.C:
		}
	}
}
