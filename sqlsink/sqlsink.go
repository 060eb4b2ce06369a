package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"

	"github.com/sluice-go/sluice"
)

// Sink brings batches of records into a database, each record exactly once: as rows of a table ([New]), or by SQL of your own
// ([NewTx]). Give its Handle and the sink itself, as Offsets, to a sluice.BatchRoute. It is safe for concurrent use.
type Sink[V any] struct {
	core    *core
	content func(sluice.Batch[V]) (content, error)
}

// core is a Sink without its type parameter.
type core struct {
	settings
	text  *statements
	conns *conns
	table atomic.Pointer[tableInfo] // nil until a look at the catalog found everything right
	stats counters

	careful atomic.Bool // see order
}

var _ sluice.Offsets = (*Sink[any])(nil)

// New makes a sink that writes rows. It does no I/O; every mistake in cfg is returned at once, each a *sluice.ConfigError.
func New[V any](cfg Config[V]) (*Sink[V], error) {
	s, err := cfg.settings()
	if err != nil {
		return nil, err
	}
	s.log = s.log.With(slog.String("table", s.table.String()))
	c := newCore(&s)
	return &Sink[V]{core: c, content: func(b sluice.Batch[V]) (content, error) { return newRows(c, cfg.Row, b.Messages) }}, nil
}

func newCore(s *settings) *core {
	return &core{settings: *s, text: newStatements(s), conns: newConns(s)}
}

// Prepare creates what is missing (the table of offsets; with Config.Create the table of rows) and then does what Check
// does. Call it before the app runs. Any number of processes may call it at once. Where nothing is missing it needs no right to create.
func (s *Sink[V]) Prepare(ctx context.Context) error { return s.core.prepare(ctx) }

// Check looks whether the tables are there and fit the configuration, and whether the user may write them or create what Prepare
// would, and changes nothing. Its error names everything that is wrong and says what to do about it. The right to delete is not looked
// at: not every sink deletes.
func (s *Sink[V]) Check(ctx context.Context) error { return s.core.check(ctx) }

// Claim implements sluice.Offsets. The first claim does what Check does, where neither Prepare nor Check has.
func (s *Sink[V]) Claim(ctx context.Context, r sluice.ClaimRequest) (sluice.Claim, error) {
	return s.core.claim(ctx, r)
}

// Handle brings a batch and its end into the database in one transaction. It is a sluice.BatchRoute's Handle. Its outcomes:
//
//	nil                   the batch and its offset are committed
//	*sluice.BatchError    these records are poison, or what TxConfig.Work said of them; nothing was written
//	sluice.Poison         the database refuses the batch as a whole but none of its records by itself; nothing was written
//	sluice.Reclaim        the partition is no longer ours, or the offset was changed by somebody else; nothing was written
//	sluice.Outage         the database is away, or said something unknown; whether the batch was written is found out by the next call
//	any other error       ctx ended, the batch is not from a claim of this sink, or TxConfig.Work returned it; nothing was written
func (s *Sink[V]) Handle(ctx context.Context, b sluice.Batch[V]) error {
	cl, ok := b.Claim.(*claim)
	if !ok {
		return fmt.Errorf("sqlsink: %s/%d: the batch carries no claim of a sink; give the sink to BatchRoute.Offsets", b.Topic, b.Partition)
	}
	if !cl.busy.CompareAndSwap(false, true) {
		return fmt.Errorf("sqlsink: %s/%d: two batches of one claim at once", b.Topic, b.Partition)
	}
	defer cl.busy.Store(false)

	if cl.broken != nil {
		return cl.broken
	}
	w := &batch{claim: cl, from: cl.next, to: b.Next, epoch: b.NextEpoch, messages: len(b.Messages)}
	if w.to <= w.from {
		if w.to == w.from && w.messages == 0 {
			return nil
		}
		return sluice.Reclaim(fmt.Errorf("sqlsink: %s: a batch that ends at %d, but %d is stored already", cl, w.to, w.from))
	}
	var err error
	if w.content, err = s.content(b); err != nil {
		return err
	}
	return s.core.work(ctx, w)
}

// Close closes the sink's connections; those in use are closed when their transaction ends. Call it after the app's Run has
// returned and before closing the DB.
func (s *Sink[V]) Close() error {
	s.core.conns.close()
	return nil
}

// Stats are counters since the sink was made. They only grow. What a TxConfig.Work writes is its own to count: Written, Deleted
// and Skipped stay 0.
type Stats struct {
	Written  int64 `json:"written"`  // rows inserted or upserted, committed; of an upsert's key the last one in a batch only
	Deleted  int64 `json:"deleted"`  // keys deleted, committed
	Skipped  int64 `json:"skipped"`  // messages that made no row
	Batches  int64 `json:"batches"`  // committed transactions
	Retries  int64 `json:"retries"`  // transactions that were begun again
	Poison   int64 `json:"poison"`   // messages that were found to be poison; one that is handed over again counts again
	Claims   int64 `json:"claims"`   // partitions claimed
	Reclaims int64 `json:"reclaims"` // batches that found their claim gone
}

type counters struct {
	written, deleted, skipped, batches, retries, poison, claims, reclaims atomic.Int64
}

// Stats returns the counters.
func (s *Sink[V]) Stats() Stats {
	c := &s.core.stats
	return Stats{
		Written: c.written.Load(), Deleted: c.deleted.Load(), Skipped: c.skipped.Load(), Batches: c.batches.Load(),
		Retries: c.retries.Load(), Poison: c.poison.Load(), Claims: c.claims.Load(), Reclaims: c.reclaims.Load(),
	}
}

// endOf is the error when ctx has ended.
func endOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		return fmt.Errorf("sqlsink: %w: %w", cause, err)
	}
	return fmt.Errorf("sqlsink: %w", err)
}

func itoa[N ~int | ~int32 | ~int64](n N) string { return strconv.FormatInt(int64(n), 10) }
