package sluice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
)

// Producer writes records: idempotent, acknowledged by all in-sync replicas, in order within a partition also across
// retries. All its methods may be called at the same time, and from callbacks. Close it.
//
// A record belongs to the producer until its outcome is known. Then Topic, Key, Value and Headers are as they were given, and, if it was
// acknowledged, Partition, Offset and Timestamp say where it lies; other fields mean nothing. It may be sent again. What Key, Value
// and Headers point to must not be changed before; where a context ended it may still be written, and must never be changed.
//
// A nil Value is a tombstone, a nil Key is no key.
type Producer struct {
	outbox *outbox
	cfg    ProducerConfig
	wire   *engine.Wire
}

// NewProducer makes a producer. It does no I/O: see Ping. Its error joins a *ConfigError for each mistake.
func NewProducer(cfg ProducerConfig) (*Producer, error) { return newProducer(cfg, new(engine.Wire)) }

func newProducer(cfg ProducerConfig, wire *engine.Wire) (*Producer, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	o := &outbox{
		base:      context.Background(), //nolint:forbidigo // what was enqueued outlives the context that it came with
		lingering: cfg.BatchRecords,
		linger:    cfg.Linger > 0,
		manual:    cfg.Partitioner == ManualPartition,
		max:       cfg.MaxBufferedBytes,
		sizes:     cfg.recordLimits(),
		timeout:   cfg.DeliveryTimeout,
		traced:    optionNamed(cfg.ClientOptions, "WithHooks") != "",
		missing:   map[string]struct{}{},
		retired:   map[*slot]struct{}{},
		topics:    map[string]struct{}{},
		watches:   map[<-chan struct{}]*watch{},
	}
	o.open, o.end = context.WithCancel(o.base)
	o.client, err = kgo.NewClient(append(cfg.produceOptions(), kgo.WithHooks(connectHook{o}, wire))...)
	if err != nil {
		o.end()
		return nil, &ConfigError{Field: "ClientOptions", Problem: err.Error()}
	}
	return &Producer{outbox: o, cfg: cfg, wire: wire}, nil
}

// Ping asks the brokers for an answer. Without it, wrong credentials show only as records that time out.
func (p *Producer) Ping(ctx context.Context) error {
	// Not with the producer's own client, which takes a connection that ends at once for a broker that restarts.
	client, err := kgo.NewClient(p.cfg.connectOptions()...)
	if err != nil {
		return &ConfigError{Field: "ClientOptions", Problem: err.Error()}
	}
	defer client.Close()
	return ping(ctx, client, p.cfg.Brokers)
}

// Send writes records and waits for their acknowledgements. Its error joins a *ProduceError for each that failed; the others
// were written. When ctx ends first, those without an acknowledgement fail, and may still be written.
func (p *Producer) Send(ctx context.Context, rs ...*kgo.Record) error {
	return p.sendEach(ctx, rs, nil)
}

// sendEach sends records but those that have an error already.
func (p *Producer) sendEach(ctx context.Context, rs []*kgo.Record, bad []error) error {
	if len(rs) == 0 {
		return nil
	}
	c := &call{left: len(rs), done: make(chan struct{})}
	for i, r := range rs {
		var err error
		if bad != nil {
			err = bad[i]
		}
		p.outbox.send(ctx, r, err, nil, c, i)
	}
	<-c.done
	return c.err()
}

// Enqueue writes a record in the background, and done is called once: with nil when it was acknowledged, else with a
// *ProduceError. It waits only while the buffer is full, for as long as ctx allows, and at most DeliveryTimeout. When ctx ends
// before the acknowledgement, the record fails at once, and may still be written; one that is to be written whatever happens
// to its caller goes with context.WithoutCancel.
//
// Callbacks run one after the other, those of a partition in the order of its records. They may use the producer: Enqueue does
// not wait for room there. Until one returns, its record takes room, and no other runs. One that panics ends the program. With a
// nil done, failures are told by the next Flush or Close.
func (p *Producer) Enqueue(ctx context.Context, r *kgo.Record, done func(*kgo.Record, error)) {
	p.outbox.send(ctx, r, nil, done, nil, -1)
}

// Traffic tells what went to the brokers and came back.
func (p *Producer) Traffic() Traffic { return traffic(p.wire) }

// Flush waits until everything enqueued before was acknowledged or has failed, and its callbacks have returned. Called from a
// callback, it does not wait for callbacks. Its error says how many records have no outcome yet when ctx ends, and tells failures
// of records without a callback.
func (p *Producer) Flush(ctx context.Context) error {
	n, err := p.outbox.flush(ctx)
	if n > 0 {
		err = fmt.Errorf("%d records were not acknowledged: %w", n, err)
	}
	if err = errors.Join(err, p.outbox.teller.unseenFailures()); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// closeGrace is how long Close waits, beyond its context, for the callbacks of what it gave up.
const closeGrace = time.Second

// Close refuses further records with ErrClosed, flushes, and closes the client. Records that have no outcome when ctx ends fail
// with ErrClosed, and may have been written. Only then is its error not nil, save for failures of records without a callback.
func (p *Producer) Close(ctx context.Context) error {
	p.outbox.shut()
	err := p.Flush(ctx)
	p.outbox.close()
	if ctx.Err() != nil {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeGrace)
		defer cancel()
		_, _ = p.outbox.flush(grace) // what it would say is in err
	}
	return err
}

// abandon closes the client at once; what is under way fails.
func (p *Producer) abandon() {
	p.outbox.shut()
	p.outbox.close()
}

func (c *call) err() error {
	slices.SortFunc(c.failed, func(a, b *ProduceError) int { return a.Index - b.Index })
	errs := make([]error, len(c.failed))
	for i, e := range c.failed {
		errs[i] = e
	}
	return errors.Join(errs...)
}

// connectHook notes why connections could not be made: a record that waits for one fails without a reason of its own.
type connectHook struct{ o *outbox }

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (h connectHook) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return
	}
	h.o.mu.Lock()
	defer h.o.mu.Unlock()
	h.o.trouble = err
}
