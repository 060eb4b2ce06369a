package sluice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/fold"
)

// App is one member of a consumer group: one client, one subscription, some routes. Make it with New, add routes, run it
// once.
type App struct {
	cfg  Config
	logs *fold.Handler // of cfg.Logger

	wire engine.Wire // of all its clients

	mu      sync.Mutex
	routes  []addedRoute
	bad     error // of Add
	started bool
	engine  *engine.Engine // nil before Run
	writers []*Producer    // of dead letters and retry topics
	enqueue enqueueFunc    // of dead letters; nil without any
	retry   enqueueFunc    // of retry topics, to the record's partition; nil without any
	abort   chan struct{}  // closed by Abort
	once    sync.Once

	retryPartitions map[string]int32 // of the retry topics, as they were at the start; set before the engine runs
}

// addedRoute is a route without its type.
type addedRoute struct {
	topics  []string
	pattern *regexp.Regexp // nil: none
	policy  Policy
	handler routeHandler
	batch   bool
	maxSize int
	maxWait time.Duration
	offsets Offsets
	stream  func(*engine.Work) engine.Streamer // nil: it does not stream

	transact *engine.Transact // nil: it works without transactions
}

// New checks a configuration and makes an App of it. It does no I/O.
func New(cfg Config) (*App, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	logs := fold.New(cfg.Logger.Handler())
	cfg.Logger = slog.New(logs)
	return &App{cfg: cfg, logs: logs, abort: make(chan struct{})}, nil
}

func (a *App) refuse(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bad = errors.Join(a.bad, err)
	return err
}

func (a *App) add(r addedRoute) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	if a.started {
		errs = append(errs, errors.New("the app runs already; add routes before Run"))
	}
	for _, other := range a.routes {
		for _, t := range r.topics {
			if slices.Contains(other.topics, t) {
				errs = append(errs, fmt.Errorf("topic %q has a route already", t))
			}
		}
		if r.pattern != nil && other.pattern != nil && r.pattern.String() == other.pattern.String() {
			errs = append(errs, fmt.Errorf("pattern %q has a route already", r.pattern))
		}
	}
	all := append(slices.Clone(a.routes), r)
	errs = append(errs, mixedRoutes(all)...)
	errs = append(errs, internalBeside(all)...)
	errs = append(errs, a.retryTopicsBeside(all)...)
	if err := errors.Join(errs...); err != nil {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
		a.bad = errors.Join(a.bad, err)
		return err
	}
	a.routes = append(a.routes, r)
	return nil
}

// Run joins the group and works until ctx ends. Then it stops in two steps: it takes nothing new, lets what runs end for at
// most DrainTimeout, and commits, all while it still is a member; then it leaves the group. It returns nil after a clean
// drain, and by DrainTimeout plus CommitTimeout plus 2 s whatever the brokers do. Before it joins, it runs Check, and creates the
// retry topics (Policy.RetryTopics) that there are not. Where no broker answers it returns Check's error, which names their addresses: at
// once where connections are refused, else within 10 s. A wrong address is told like this, and not tried for ever; whoever starts the
// process starts it again. Once it has joined, brokers may be away for as long as they like.
func (a *App) Run(ctx context.Context) error {
	e, err := a.start()
	if err != nil {
		return err
	}
	defer a.logs.Flush()
	if err = a.checkUnlessAborted(ctx); err == nil {
		err = a.runEngine(ctx, e)
	} else if ctx.Err() != nil {
		err = nil // stopped before it joined: there is nothing to drain
	}
	a.closeWriters()
	switch {
	case errors.Is(err, engine.ErrAborted):
		return fmt.Errorf("%w: %w", ErrAborted, err)
	case errors.Is(err, engine.ErrDrainTimeout):
		return fmt.Errorf("%w: %w", ErrDrainTimeout, err)
	}
	return err
}

func (a *App) checkUnlessAborted(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-a.abort:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := a.Check(ctx)
	if err == nil {
		err = a.makeRetryTopics(ctx)
	}
	select {
	case <-a.abort:
		return ErrAborted
	default:
		return err
	}
}

// What Run returns when a stop was not clean. Nothing is lost then: what was not committed runs again.
var (
	ErrAborted      = errors.New("the stop was cut short")
	ErrDrainTimeout = errors.New("some handlers did not end within DrainTimeout")
)

// Causes of a handler's cancelled context, for context.Cause. Run's error wraps ErrLost when partitions were lost while it drained.
var (
	ErrHandlerTimeout = engine.ErrHandlerTimeout
	ErrLost           = engine.ErrLost
	ErrMoved          = engine.ErrMoved
	ErrRevoked        = engine.ErrRevoked
	ErrStopped        = engine.ErrStopped
	ErrTransaction    = engine.ErrTransaction
)

// Abort is the second step of stopping, for the second signal: Run waits for nothing any more. It may be called at any
// time and from any goroutine.
func (a *App) Abort() {
	a.once.Do(func() { close(a.abort) })
	e := a.running()
	if e != nil {
		e.Abort()
	}
}

// Commit commits what is finished, on all routes, and returns when the broker has acknowledged it. With the policy Manual it
// is the only commit beside those of a revoke and a stop; with the others it comes on top. On classic groups it waits while
// a rebalance is under way, for at most CommitTimeout. A TransactRoute commits all that a transaction took, and by itself: an error.
func (a *App) Commit(ctx context.Context) error {
	e := a.running()
	if e == nil {
		return errors.New("commit: the app does not run yet")
	}
	return e.Commit(ctx)
}

// start makes the engine.
func (a *App) start() (*engine.Engine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.bad != nil:
		return nil, a.bad
	case a.started:
		return nil, fmt.Errorf("%w: an App runs once; make another", ErrConfig)
	case len(a.routes) == 0:
		return nil, fmt.Errorf("%w: the app has no route; see Add", ErrConfig)
	}
	if err := a.openWriters(); err != nil {
		return nil, err
	}
	e, err := engine.New(a.engineConfig())
	if err != nil {
		for _, p := range a.writers {
			p.abandon() // nothing is under way
		}
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	a.started, a.engine = true, e
	return e, nil
}

// openWriters makes the producers of dead letters and of copies for retry topics, as far as there are any.
func (a *App) openWriters() error {
	for _, w := range []struct {
		needed  bool
		manual  bool
		enqueue *enqueueFunc
	}{
		{len(a.deadLetterTopics()) > 0 && a.transact() == nil, false, &a.enqueue},
		{len(a.retryTopics()) > 0, true, &a.retry},
	} {
		if !w.needed {
			continue
		}
		cfg := a.cfg.Producer()
		if w.manual {
			cfg.Partitioner = ManualPartition
		}
		p, err := newProducer(cfg, &a.wire)
		if err != nil {
			return err // the same for both
		}
		a.writers, *w.enqueue = append(a.writers, p), p.Enqueue
	}
	return nil
}

// closeWriters closes these producers. Not under the lock: what is under way may take its time to fail.
func (a *App) closeWriters() {
	a.mu.Lock()
	writers := a.writers
	a.writers = nil
	a.mu.Unlock()
	for _, p := range writers {
		p.abandon()
	}
}

func (a *App) deadLetterTopics() []string {
	var topics []string
	for _, r := range a.routes {
		if d, ok := r.policy.OnFailure.(DeadLetter); ok && !slices.Contains(topics, d.Topic) {
			topics = append(topics, d.Topic)
		}
	}
	return topics
}

func (a *App) engineConfig() engine.Config {
	c := engine.Config{
		Options:         a.cfg.clientOptions(),
		CommitMetadata:  max(0, a.cfg.CommitMetadata),
		CommitTimeout:   a.cfg.CommitTimeout,
		Consumer:        a.cfg.GroupProtocol == ConsumerProtocol,
		DrainTimeout:    a.cfg.DrainTimeout,
		Explain:         a.explain,
		ExplainWrite:    a.explainWrite,
		Fetch:           a.cfg.fetchSizes(),
		Group:           a.cfg.Group,
		HaltOnLoss:      a.cfg.OnDataLoss == HaltPartition,
		Logger:          a.cfg.Logger,
		MaxBytes:        a.cfg.MaxBufferedBytes,
		NeverContain:    retryTopicMark(a.cfg.Group),
		NeverMatch:      a.deadLetterTopics(),
		Observer:        a.sourcesOf(a.retryTopics()).observer(a.cfg.Events.observer()),
		ReadUncommitted: a.cfg.ReadUncommitted,
		StallAfter:      stallAfter(a.cfg),
		SilenceLimit:    max(a.cfg.SessionTimeout, a.cfg.RebalanceTimeout),
		Wire:            &a.wire,
		Start:           engine.Start{Latest: a.cfg.Start.at == startLatest, Time: a.cfg.Start.time},
	}
	if t := a.transact(); t != nil {
		c.Transact, c.CommitMetadata, c.HaltOnLoss = t, 0, true
		writes, _ := a.cfg.transactOptions() // checked by AddTransact
		c.Options = append(writes, c.Options...)
	}
	for _, r := range a.routes {
		c.Routes = append(c.Routes, a.engineRoute(r))
	}
	return c
}

func (a *App) engineRoute(r addedRoute) *engine.Route {
	out := &engine.Route{
		Topics:         r.topics,
		Pattern:        r.pattern,
		Ordering:       engine.Ordering(r.policy.Ordering),
		Workers:        r.policy.Workers,
		Handle:         r.handler.record,
		HandleBatch:    r.handler.batch,
		Stream:         r.stream,
		MaxSize:        r.maxSize,
		MaxWait:        r.maxWait,
		CommitEach:     r.policy.Commit.each,
		CommitFirst:    r.policy.Commit.before,
		CommitManually: r.policy.Commit.manual,
		CommitInterval: r.policy.Commit.interval,
		CommitRecords:  r.policy.Commit.records,
		Breaker:        max(0, r.policy.Retry.Breaker),
		Timeout:        r.policy.Timeout,
		MaxAttempts:    r.policy.Retry.MaxAttempts,
		Backoff:        r.policy.Retry.delay,
		MaxBackoff:     r.policy.Retry.MaxBackoff,
		StuckAfter:     r.policy.Stuck.After,
		Stuck:          engine.Stuck(r.policy.Stuck.Then),
	}
	switch f := r.policy.OnFailure.(type) {
	case DeadLetter:
		out.OnFailure = engine.DeadLetter
		out.DeadLetter = a.deadLetter(f)
		out.Copy = func(failed engine.Failure) *kgo.Record { return deadLetterRecord(f, a.cfg.Group, failed) }
	case Drop:
		out.OnFailure = engine.Drop
	case Halt:
		out.OnFailure = engine.Halt
	}
	if r.offsets != nil {
		out.Claim = a.claim(r.offsets)
	}
	if retries := a.retryTopicsOf(r); len(retries) > 0 {
		a.retryOn(out, r, retries)
	}
	return out
}

// claim turns the engine's question into one for the route's sink.
func (a *App) claim(o Offsets) func(context.Context, engine.ClaimRequest) (engine.Claim, error) {
	return func(ctx context.Context, r engine.ClaimRequest) (engine.Claim, error) {
		c, err := o.Claim(ctx, ClaimRequest{
			Group: a.cfg.Group, Topic: r.Topic, Partition: r.Partition, TopicID: r.TopicID,
			Committed: r.Committed, CommittedEpoch: r.CommittedEpoch, Start: r.Start,
		})
		if IsRefused(err) {
			return engine.Claim{Refused: err}, nil
		}
		return engine.Claim{Next: c.Next, NextEpoch: c.NextEpoch, Token: c.Token}, err
	}
}

// Stats returns the app's counters; zeros before Run.
func (a *App) Stats() Stats {
	e := a.running()
	if e == nil {
		return Stats{}
	}
	return Stats(e.Stats())
}

// stallPatience is how long a partition that has something to do may do nothing of it, beyond two fetches that wait for more.
const stallPatience = time.Minute

func stallAfter(c Config) time.Duration { return stallPatience + 2*c.Fetch.MaxWait }

// Health tells how the app does.
func (a *App) Health() Health {
	e := a.running()
	h := Health{Live: true, Problems: []string{}}
	if e == nil {
		h.Problems = append(h.Problems, "the app does not run yet")
		return h
	}
	eh := e.Health()
	h.Protocol = GroupProtocol(eh.Protocol)
	h.Problems = append(h.Problems, eh.Problems...)
	h.Notes = eh.Notes
	if !eh.Joined {
		h.Problems = append(h.Problems, "not a member of the group "+a.cfg.Group+" yet")
	}
	h.Live = !eh.Stuck
	h.Ready = len(h.Problems) == 0
	return h
}
