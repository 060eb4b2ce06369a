package sluice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ProducerConfig is what a Producer needs to know. Brokers is required.
type ProducerConfig struct {
	Brokers       []string
	ClientID      string    // zero: "sluice"
	ClientOptions []kgo.Opt // given to the client as they are

	// DeliveryTimeout is how long a record may wait to be sent. Zero: 30 s. One that was sent is waited for until the broker's
	// answer or its connection's end, as only that tells whether it was written.
	DeliveryTimeout time.Duration

	SASL *SASL
	TLS  *tls.Config
}

// Producer writes records: idempotent, acknowledged by all in-sync replicas, in order within a partition also across
// retries. Close it.
type Producer struct {
	client  *kgo.Client
	brokers []string
	timeout time.Duration
}

const defaultDeliveryTimeout = 30 * time.Second

// Producer returns the configuration of a producer for the same brokers.
func (c Config) Producer() ProducerConfig {
	return ProducerConfig{
		Brokers: c.Brokers, ClientID: c.ClientID, ClientOptions: c.ClientOptions, SASL: c.SASL, TLS: c.TLS,
		DeliveryTimeout: deadLetterTimeout,
	}
}

// NewProducer makes a producer. It does no I/O: see Ping.
func NewProducer(cfg ProducerConfig) (*Producer, error) {
	if len(cfg.Brokers) == 0 {
		return nil, fmt.Errorf("%w: Brokers: give at least one host:port", ErrConfig)
	}
	if cfg.DeliveryTimeout < 0 {
		return nil, fmt.Errorf("%w: DeliveryTimeout: %v is negative", ErrConfig, cfg.DeliveryTimeout)
	}
	if cfg.SASL != nil {
		if _, err := cfg.SASL.mechanism(); err != nil {
			return nil, fmt.Errorf("%w: SASL: %w", ErrConfig, err)
		}
	}
	if cfg.DeliveryTimeout == 0 {
		cfg.DeliveryTimeout = defaultDeliveryTimeout
	}
	common := Config{Brokers: cfg.Brokers, ClientID: cfg.ClientID, ClientOptions: cfg.ClientOptions, SASL: cfg.SASL, TLS: cfg.TLS}
	opts := append(common.connectOptions(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), // batches form by themselves while one is under way
	)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Producer{client: cl, brokers: cfg.Brokers, timeout: cfg.DeliveryTimeout}, nil
}

// Ping asks the brokers for an answer. Without it, wrong credentials show only as records that time out.
func (p *Producer) Ping(ctx context.Context) error { return ping(ctx, p.client, p.brokers) }

// ProduceError says which record was not acknowledged, and why.
type ProduceError struct {
	Index  int // among the records of the call
	Record *kgo.Record
	Err    error
}

func (e *ProduceError) Error() string {
	return fmt.Sprintf("record %d of the call, for topic %s: %v", e.Index, e.Record.Topic, e.Err)
}

// Unwrap returns why.
func (e *ProduceError) Unwrap() error { return e.Err }

// Send writes records and waits for their acknowledgements. Its error joins a *ProduceError for each that failed.
func (p *Producer) Send(ctx context.Context, rs ...*kgo.Record) error {
	ctx, cancel := p.deadline(ctx)
	defer cancel()
	var errs []error
	index := make(map[*kgo.Record]int, len(rs))
	for i, r := range rs {
		index[r] = i
	}
	for _, res := range p.client.ProduceSync(ctx, rs...) {
		if res.Err != nil {
			errs = append(errs, &ProduceError{Index: index[res.Record], Record: res.Record, Err: res.Err})
		}
	}
	return errors.Join(errs...)
}

// Enqueue writes a record in the background; done is called once, with nil when it was acknowledged. It waits only while
// the client's buffer is full, for as long as ctx allows.
func (p *Producer) Enqueue(ctx context.Context, r *kgo.Record, done func(*kgo.Record, error)) {
	ctx, cancel := p.deadline(ctx)
	p.client.Produce(ctx, r, func(r *kgo.Record, err error) {
		cancel()
		done(r, err)
	})
}

// deadline is the delivery timeout as a context. kgo's own RecordDeliveryTimeout counts from the record's timestamp, which is
// old where a record is a copy: it would never be written.
func (p *Producer) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, p.timeout, errDeliveryTimeout)
}

var errDeliveryTimeout = errors.New("not acknowledged within the delivery timeout; it may still have been written")

// Flush waits until everything enqueued was acknowledged or has failed.
func (p *Producer) Flush(ctx context.Context) error {
	if err := p.client.Flush(ctx); err != nil {
		return fmt.Errorf("flush: %d records were not acknowledged: %w", p.client.BufferedProduceRecords(), err)
	}
	return nil
}

// Close flushes, then closes the client. Records that are not acknowledged when ctx ends fail.
func (p *Producer) Close(ctx context.Context) error {
	err := p.Flush(ctx)
	p.client.Close()
	return err
}

// abandon closes the client at once; what is under way fails.
func (p *Producer) abandon() { p.client.Close() }
