package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/bench/internal/measure"
)

const taskVariable = "SLUICE_BENCH_CONSUMER_TASK"

// task is what this program does as a child of itself.
type task struct {
	Do      string   `json:"do"`
	Brokers []string `json:"brokers"`
	Topic   string   `json:"topic"`
	Group   string   `json:"group"`
	Output  string   `json:"output"` // the topic to write to
	Profile string   `json:"profile"`

	Ordering sluice.Ordering `json:"ordering"`
	Workers  int             `json:"workers"`
	Takes    time.Duration   `json:"takes"`  // of a handler
	Commit   time.Duration   `json:"commit"` // 0: as by default

	Scraped        bool                 `json:"scraped"` // its metrics are, once a second
	Traced         bool                 `json:"traced"`  // its spans are made, and one in a hundred kept
	CommitMetadata int                  `json:"commit_metadata"`
	Protocol       sluice.GroupProtocol `json:"protocol"`
	span
}

// span is how much is measured: all of some records, or what happens in a window after a time of warming up.
type span struct {
	Records int64         `json:"records"`
	WarmUp  time.Duration `json:"warm_up"`
	Window  time.Duration `json:"window"`
}

// What a child does.
const (
	doRaw      = "raw"
	doSluice   = "sluice"
	doSleepers = "sleepers"
)

// runChild does a task and prints its values.
func runChild(ctx context.Context, text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return fmt.Errorf("%s: %w", taskVariable, err)
	}
	if t.Profile != "" {
		f, err := os.Create(t.Profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile() // the file ends with the process
	}
	does := map[string]func(context.Context, task) (values, error){
		doRaw: rawLoop, doSluice: sluiceConsumer, doSleepers: sleepers,
		doStuck: stuck, doRestart: restart, doMember: member, doBackoff: backingOff, doIdle: idle,
		doTransact: transact, doResend: resend, doEnqueue: enqueue, doSession: session,
	}
	do := does[t.Do]
	if do == nil {
		return fmt.Errorf("%s: there is no task %q", taskVariable, t.Do)
	}
	v, err := do(ctx, t)
	if err != nil {
		return err
	}
	v[rss] = float64(measure.MemoryPeak() >> 20)
	return json.NewEncoder(os.Stdout).Encode(v)
}

// measure waits until count has come far enough, and returns the rate and the processor's time. It looks every two milliseconds, which
// costs every arm the same. Records that were handled at the first look are not counted, but all of the process' time is, unless there is
// a window.
func (s span) measure(ctx context.Context, count func() int64) (values, error) {
	const look = 2 * time.Millisecond
	for count() == 0 {
		if err := pause(ctx, look); err != nil {
			return nil, errors.Join(errors.New("no record came"), err)
		}
	}
	var cpu time.Duration
	if s.Window > 0 {
		if err := pause(ctx, s.WarmUp); err != nil {
			return nil, err
		}
		cpu = measure.CPUTime()
	}
	first, from := count(), time.Now()
	last := first
	for (s.Window > 0 && time.Since(from) < s.Window) || (s.Window == 0 && last < s.Records) {
		if err := pause(ctx, look); err != nil {
			return nil, errors.Join(fmt.Errorf("%d records came", count()), err)
		}
		last = count()
	}
	took, cpu := time.Since(from), measure.CPUTime()-cpu
	n := float64(last)
	if s.Window > 0 {
		n -= float64(first)
	}
	return values{rate: float64(last-first) / took.Seconds(), cpuMicros: cpu.Seconds() * 1e6 / n}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// handler is a route's.
type handler func(context.Context, sluice.Message[[]byte]) error

// consumer runs an app with one route until its stop is called, which returns what Run does. set may change what is special.
func (t task) consumer(ctx context.Context, set func(*sluice.Config, *sluice.Policy), handle handler) (*sluice.App, func() error, error) {
	cfg := sluice.Config{
		Brokers: t.Brokers, Group: t.Group,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	policy := sluice.Policy{Ordering: t.Ordering, Workers: t.Workers}
	if set != nil {
		set(&cfg, &policy)
	}
	flush := func(context.Context) error { return nil }
	if t.Traced {
		var err error
		if flush, err = traced(&cfg, &policy); err != nil {
			return nil, nil, err
		}
	}
	app, err := sluice.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	route := sluice.Route[[]byte]{Topics: []string{t.Topic}, Decode: sluice.Raw, Handle: handle, Policy: policy}
	if err := sluice.Add(app, route); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	return app, func() error {
		cancel()
		return errors.Join(<-done, flush(context.WithoutCancel(ctx)))
	}, nil
}
