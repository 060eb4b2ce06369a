package sluice

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// TransactRoute gives the records of some topics to a handler, one at a time, and writes what it returns, exactly once: the written
// records, dead letters among them, and the group's offsets are of one transaction. A reader that reads committed records only
// (isolation.level=read_committed) sees what was returned for each record once, and for records of one lane in their order, whatever
// crashes. What a handler does elsewhere, in a database or a service, is at least once. It needs an App, and a group, of its own.
//
// A transaction takes the records that come within Interval, and ends when all of them are finished. When it cannot be committed, all of
// it is undone, and its records run again: after a crash, when it takes too long, and when brokers say so. A rebalance aborts nothing:
// where it takes a partition, it waits for the transaction that is under way. A partition with a record that is not finished in time waits
// until it is to be tried again, while the others go on; attempts count across transactions.
type TransactRoute[V any] struct {
	// Topics and Pattern, as for Route. One of them is required.
	Topics  []string
	Pattern string

	// Decode makes a value of a record. Required.
	Decode Decoder[V]

	// Handle does the work, and returns the records to write, each with its Topic. Required. Its error is the record's outcome, as for
	// Route; with one, nothing is written. Records for one partition are written in the order in which a lane's handlers returned them.
	// They must not be changed afterwards.
	Handle func(ctx context.Context, m Message[V]) ([]*kgo.Record, error)

	// Interval is for how long a transaction takes records, and so how long a reader waits at the least. Longer ones cost brokers less.
	// Zero: 100 ms. Less than half of Timeout.
	Interval time.Duration

	// Timeout is when brokers abort a transaction (transaction.timeout.ms). Half of it is for its handlers and their retries; with more
	// to do it is aborted, and the next ones take less. After a crash it may hold up readers for as long, and for as long as brokers take
	// to notice (transaction.abort.timed.out.transaction.cleanup.interval.ms, 10 s), unless Config.InstanceID is set: then the member
	// that comes back aborts what it left behind at once. Zero: 10 s. At least 1 s; at most the brokers' transaction.max.timeout.ms.
	Timeout time.Duration

	// Policy says how records are ordered and retried. A DeadLetter is written in the transaction. A record is poison, too, when
	// brokers refuse what was returned for it: too large for the topic, without a key where records are compacted, with a timestamp that
	// the topic does not take. It is found by transactions that take fewer and fewer records. Commit, RetryTopics and Stuck have no
	// meaning here, and are refused; so is a Timeout of more than half of the transaction's.
	Policy Policy
}

const (
	defaultInterval        = 100 * time.Millisecond
	defaultTransaction     = 10 * time.Second
	shortestTransaction    = time.Second
	transactionsPerTimeout = 2 // handlers have one half, the end the other
)

// AddTransact adds a TransactRoute to an app that has no other route. It returns every mistake at once, each a *ConfigError.
func AddTransact[V any](app *App, r TransactRoute[V]) error {
	var bad mistakes
	pattern := checkRoute(&bad, r.Topics, r.Pattern, r.Decode == nil, r.Handle == nil)
	transact := checkTransaction(&bad, app.cfg, r.Interval, r.Timeout, r.Policy)
	policy := r.Policy.withDefaults(&bad)
	writes, err := app.cfg.Producer().withDefaults()
	if err = errors.Join(bad.err(), err); err != nil {
		return app.refuse(fmt.Errorf("TransactRoute %s: %w", sources(r.Topics, r.Pattern), err))
	}
	transact.ID, transact.InstanceID = app.transactionalID(), app.cfg.InstanceID
	policy.Commit = Commit{}
	return app.add(addedRoute{
		topics: r.Topics, pattern: pattern, policy: policy, handler: transactHandler(app, r, writes.recordLimits()), transact: transact,
	})
}

// checkTransaction judges what is special about transactions.
func checkTransaction(bad *mistakes, cfg Config, interval, timeout time.Duration, p Policy) *engine.Transact {
	t := &engine.Transact{Interval: cmp.Or(interval, defaultInterval), Timeout: cmp.Or(timeout, defaultTransaction)}
	half := t.Timeout / transactionsPerTimeout
	switch {
	case t.Timeout < shortestTransaction:
		bad.add("Timeout", timeout.String(), fmt.Sprintf("a transaction's timeout is at least %v, or 0 for %v", shortestTransaction,
			defaultTransaction))
	case t.Interval < 0:
		bad.add("Interval", interval.String(), fmt.Sprintf("negative; give for how long a transaction takes records, or 0 for %v",
			defaultInterval))
	case t.Interval >= half:
		bad.add("Interval", t.Interval.String(), fmt.Sprintf("is not below half of Timeout, %v: nothing could be finished in time; "+
			"lower it, or raise Timeout", half))
	case p.Timeout > half:
		bad.add("Policy.Timeout", p.Timeout.String(), fmt.Sprintf("is above half of the transaction's Timeout, %v, in which all of its "+
			"handlers have to end; lower it, or raise Timeout", half))
	}
	if need := t.Timeout + half; need >= cfg.RebalanceTimeout {
		bad.add("Timeout", t.Timeout.String(), fmt.Sprintf("a rebalance may have to wait for one and a half of it, which is not below "+
			"Config.RebalanceTimeout (max.poll.interval.ms), %v; lower it, or raise that", cfg.RebalanceTimeout))
	}
	if len(cfg.Assignors) > 1 && slices.Contains(cfg.Assignors, CooperativeSticky) {
		bad.add("Config.Assignors", fmt.Sprint(cfg.Assignors), "has cooperative-sticky beside others: when the group changes from one "+
			"kind to the other, partitions are somebody else's before this member is told; name one kind, and stop the whole group to "+
			"change it")
	}
	if cfg.InstanceID != "" && cfg.GroupProtocol != ConsumerProtocol && cfg.SessionTimeout >= cfg.RebalanceTimeout {
		bad.add("Config.SessionTimeout", cfg.SessionTimeout.String(), fmt.Sprintf("is not below RebalanceTimeout "+
			"(max.poll.interval.ms), %v: a static member could miss a rebalance and not be told that its partitions are somebody "+
			"else's; lower it, or raise that", cfg.RebalanceTimeout))
	}
	if p.Commit != (Commit{}) {
		bad.add("Policy.Commit", "", "has no meaning in transactions, which commit all that they took; leave it out, and give Interval")
	}
	if len(p.RetryTopics) > 0 {
		bad.add(retryField, fmt.Sprint(p.RetryTopics), "not with transactions; leave it out: a record that fails waits with its partition")
	}
	if p.Stuck != (Stuck{}) {
		bad.add("Policy.Stuck", p.Stuck.Then.String(), "not with transactions; leave it out, and give Retry.MaxAttempts and OnFailure")
	}
	if cfg.ReadUncommitted {
		bad.add("Config.ReadUncommitted", "true", "records of aborted transactions would be handled; leave it out")
	}
	return t
}

// transactionalID names this member's transactions. A static member has the same one after a restart, which so aborts what it left
// behind. Others have one of their own in each process: two members with the same would abort each other's.
func (a *App) transactionalID() string {
	if a.cfg.InstanceID != "" {
		return a.cfg.Group + "." + a.cfg.InstanceID
	}
	return a.cfg.Group + "." + rand.Text()
}

// transactHandler makes what the engine calls of a TransactRoute. A record that could never be written is poison here: in the client
// it would abort its transaction, again and again.
func transactHandler[V any](app *App, r TransactRoute[V], limits recordLimits) routeHandler {
	traced := optionNamed(app.cfg.ClientOptions, "WithHooks") != "" // hooks want the handler's context
	return routeHandler{record: func(ctx context.Context, w *engine.Work, rec *kgo.Record, attempt int) engine.Outcome {
		var written []*kgo.Record
		handler := recordHandler(app, Route[V]{
			Decode: r.Decode, Policy: r.Policy,
			Handle: func(ctx context.Context, m Message[V]) (err error) {
				written, err = r.Handle(ctx, m)
				for _, rec := range written {
					if traced && rec != nil && rec.Context == nil {
						//nolint:fatcontext // one each
						rec.Context = context.WithoutCancel(ctx) // with its end the client would give up the record, and the transaction
					}
				}
				return err
			},
		})
		out := handler.record(ctx, w, rec, attempt)
		if out.Kind == engine.Done {
			for i, rec := range written {
				if rec == nil || rec.Topic == "" {
					return outcome(Poison(fmt.Errorf("the handler returned a record to write, number %d, without a topic", i)))
				}
				if err := limits.refuse(rec, costOf(rec)); err != nil {
					return outcome(Poison(fmt.Errorf("the handler returned a record to write, number %d: %w", i, err)))
				}
			}
			if len(written) > 0 {
				out.More = &engine.More{Records: written}
			}
		}
		return out
	}}
}

// transactOptions are what the client of a TransactRoute has beside that of every app: it writes.
func (c Config) transactOptions() ([]kgo.Opt, error) {
	p, err := c.Producer().withDefaults()
	if err != nil {
		return nil, err
	}
	return []kgo.Opt{
		kgo.AlwaysRetryEOF(),
		kgo.BrokerMaxWriteBytes(p.MaxRequestBytes),
		kgo.ProducerBatchMaxBytes(p.BatchBytes),
		kgo.ProducerLinger(p.Linger),
		p.compression(),
		p.partitioner(),
	}, nil
}

// transact is the route that works in transactions; nil when the app has none.
func (a *App) transact() *engine.Transact {
	for _, r := range a.routes {
		if r.transact != nil {
			return r.transact
		}
	}
	return nil
}

// mixedRoutes refuses a TransactRoute beside another route.
func mixedRoutes(routes []addedRoute) []error {
	for _, r := range routes {
		if r.transact != nil && len(routes) > 1 {
			return []error{&ConfigError{Field: "Topics", Value: sources(r.topics, ""), Problem: "a TransactRoute has a client and a " +
				"group member of its own, and no other route beside it: give it an App of its own, with another Config.Group"}}
		}
	}
	return nil
}

// longestRenewal is the longest wait before a client is made anew that could not work.
const longestRenewal = 5 * time.Second

// runEngine runs an engine, and another one with a client of its own when nobody knows how a transaction ended: that of the new client
// aborts it, unless it was committed.
func (a *App) runEngine(ctx context.Context, e *engine.Engine) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, longestRenewal) {
		began := time.Now()
		err := e.Run(ctx)
		if !errors.Is(err, engine.ErrRenew) || ctx.Err() != nil || errors.Is(err, engine.ErrAborted) {
			return err
		}
		if a.cfg.InstanceID != "" && (errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.FencedInstanceID)) {
			return fmt.Errorf("another member has the InstanceID (group.instance.id) %s, or this one was frozen for too long: %w",
				a.cfg.InstanceID, err)
		}
		if errors.Is(err, kerr.InvalidTransactionTimeout) {
			return refuseTimeout(a.transact().Timeout, 0)
		}
		a.cfg.Logger.Warn("the client is made anew", "event", "client_renewed", "err", cmp.Or(a.explainTransaction(err), err))
		if !a.settle(ctx, e) {
			select {
			case <-a.abort:
				return engine.ErrAborted
			default:
			}
			return fmt.Errorf("%w: a handler of an aborted transaction ignores its context, and runs still", engine.ErrDrainTimeout)
		}
		if time.Since(began) > time.Minute {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-a.abort:
			return engine.ErrAborted
		case <-time.After(wait):
		}
		if e, err = a.replace(e); err != nil {
			return err
		}
	}
}

// settle waits until the handlers of an engine that is over have ended. A stop grants them DrainTimeout.
func (a *App) settle(ctx context.Context, e *engine.Engine) bool {
	settling, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(a.cfg.DrainTimeout):
			end()
		case <-settling.Done():
		}
	})
	defer stop()
	return e.Settle(settling)
}

// replace makes an engine that comes after another one.
func (a *App) replace(before *engine.Engine) (*engine.Engine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	cfg := a.engineConfig()
	cfg.Past = before.Totals()
	e, err := engine.New(cfg)
	if err == nil {
		e.TakePauses(before)
		a.engine = e
	}
	return e, err
}
