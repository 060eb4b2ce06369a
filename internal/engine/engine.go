package engine

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Config is what an engine needs. Package sluice fills in every default before.
type Config struct {
	Options []kgo.Opt // brokers, security, fetch sizes; the engine adds what it owns

	CommitMetadata  int // characters of a commit that say what is finished above its offset; 0 none
	CommitTimeout   time.Duration
	Consumer        bool // the options ask for the protocol of KIP-848
	DrainTimeout    time.Duration
	Explain         func(err error, topic string) error // what brokers said, in words; "" for the group. Nil: as it is
	ExplainWrite    func(err error, topic string) error // likewise, of a topic that is written
	Fetch           FetchSizes
	Group           string
	HaltOnLoss      bool
	Logger          *slog.Logger
	MaxBytes        int64    // at least SmallestBudget
	NeverContain    string   // what the names of topics have that no pattern matches either; empty: none
	NeverMatch      []string // topics that no pattern matches
	Observer        Observer
	ReadUncommitted bool
	Routes          []*Route
	StallAfter      time.Duration // a partition with lag and no progress for so long stands still; 0 none does
	SilenceLimit    time.Duration // of the group's coordinator, before health is red; 0 none
	Start           Start
	Past            Totals            // of an engine that this one comes after
	Transact        *Transact         // nil: it commits without transactions
	Wire            *Wire             // counts what is exchanged with brokers; nil: nobody does
	Write           func(*kgo.Record) // Deliver: takes what a handler wants written

	// Hooks of tests; nil otherwise.
	AfterPoll    func() // between a poll and its hand-over
	BeforeCommit func() // before a commit is asked for
	Looked       func() // when the watchdog looks
}

// Start says where a partition begins that the group has no commit for.
type Start struct {
	Latest bool
	Time   time.Time // zero: earliest, or latest where Latest is set
}

// Causes of a handler's cancelled context.
var (
	ErrLost    = errors.New("the partition was lost: the group gave it to another member without asking for it back")
	ErrRevoked = errors.New("the partition was revoked, and the drain ran out of time")
	ErrMoved   = errors.New("the partition's position moved, so that its work begins anew")
	ErrStopped = errors.New("the app stopped, and the drain ran out of time")
)

// What Run returns, beside an error of the last commit.
var (
	ErrDrainTimeout = errors.New("the drain ran out of time")
	ErrAborted      = errors.New("aborted")
)

// Engine is one member of a group. Make it with New, run it once.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	routes map[string]*Route // by the topics that they name: see RouteOf

	options   []kgo.Opt
	client    *kgo.Client  // from connected on
	admin     *kadm.Client // from connected on
	connected chan struct{}
	before    *before // nil where it does not matter

	base         context.Context
	clientCtx    context.Context // kgo's own: cancelled by Abort and at the stop's deadline
	cancelClient context.CancelFunc
	running      context.Context // ends when a stop begins, too
	endRunning   context.CancelFunc
	still        bool // Deliver: what is parked waits until it is woken
	aborted      chan struct{}
	abortOnce    sync.Once

	swap       chan struct{} // held while assignments are installed or moved
	committing chan struct{} // held for one commit
	commitNow  chan struct{}

	mu    sync.Mutex
	cond  sync.Cond
	later []func() // called after the next unlock

	member      string // our id in the group, as of the last assign
	parts       map[part]*assignment
	ghosts      map[laneRef]*ghost
	spare       []*lane         // forgotten, to be used again
	lost        map[part]string // data losses, for health
	epoch       uint64
	heldBytes   int64
	heldRecords int
	polledBytes int64 // as they are held, in all
	sweepAt     int64 // of polledBytes: when lanes are looked through
	holds       int   // barriers that keep the poll loop from polling
	polling     bool
	cancelPoll  context.CancelFunc
	pauses      pauses
	pauseChange []part // partitions whose pause the poll loop has to tell kgo of
	stopping    bool
	commitAfter time.Duration // the wait of the commit that is due; 0 none is
	rewait      int           // commits that failed in a row
	room        metadataRoom
	fetched     []kmsg.OffsetFetchResponseGroupTopic // the group's commits, for the start that kgo asks for next

	live       int // goroutines of spawn
	groupError atomic.Pointer[string]
	joined     atomic.Bool
	protocol   atomic.Pointer[string] // that is in use, as seen on the wire
	answered   atomic.Int64           // when the coordinator last answered: Unix nanoseconds
	unanswered atomic.Int64           // when a commit last was not: likewise
	expansion  expansion
	totals     Totals

	watchAt      time.Time // when the watchdog looks next; zero: there is nothing to look at
	watchTimer   *time.Timer
	outlived     map[*assignment]struct{} // closed ones with a handler that still runs
	settling     bool                     // Settle waits for those
	standstill   standstill
	finished     int64 // records, in whatever way, also of transactions that are aborted
	topicTrouble map[string]topicTrouble
	topicsSeen   atomic.Int64 // when topics were last looked at: Unix nanoseconds
	topicsNow    chan struct{}
	compared     membership // when the members' topics were last compared; of topicsLoop
	differs      string     // what they differ in from ours; "" nothing
	membersNote  string     // that in a sentence
	ownerless    ownerless  // of topicsLoop
	commitFails  failing
	labels       context.Context // of Run: profiles show its labels on workers
	lastBadge    int

	implicit   bool               // brokers take a group into a transaction with its offsets (KIP-890); from connected on
	txn        *transaction       // that is under way; nil: none
	resting    map[part]time.Time // partitions that are kept out of transactions, at least until then
	outputs    *outputs
	remembered map[part]map[int64]*trouble
	batches    batchRoom
	extra      map[string]int // see transaction.extra
	askAt      time.Time      // when topics are asked again that have a bound in it
	refusals   int            // records in a row whose answers brokers refused, while they took none
	drainOver  bool
	beginFails failing
	lastAbort  error // of a transaction, while the engine stopped
	transacted chan struct{}
	renewed    chan struct{}
	renewOnce  sync.Once
	renewal    error // set before renewed is closed

	coordinator    int32        // of the group, as far as we know; -1 unknown. Guarded by committing
	commitsWritten atomic.Int64 // requests, or parts of them, that went out
}

type part struct {
	topic     string
	partition int32
}

// New makes an engine. It does no I/O.
func New(cfg Config) (*Engine, error) {
	e := &Engine{
		cfg: cfg, log: cfg.Logger,
		routes:     make(map[string]*Route),
		aborted:    make(chan struct{}),
		connected:  make(chan struct{}),
		swap:       make(chan struct{}, 1),
		committing: make(chan struct{}, 1),
		commitNow:  make(chan struct{}, 1),
		room:       metadataRoom{partition: cfg.CommitMetadata, request: mostMetadata},
		parts:      make(map[part]*assignment),
		ghosts:     make(map[laneRef]*ghost),
		lost:       make(map[part]string),
		pauses:     make(pauses),
		outlived:   make(map[*assignment]struct{}),

		totals:     cfg.Past,
		resting:    make(map[part]time.Time),
		outputs:    newOutputs(),
		remembered: make(map[part]map[int64]*trouble),
		transacted: make(chan struct{}),
		renewed:    make(chan struct{}),
		batches:    make(batchRoom),

		coordinator: -1,

		topicTrouble: make(map[string]topicTrouble),
		topicsNow:    make(chan struct{}, 1),
	}
	e.cond.L = &e.mu
	e.base = context.Background() //nolint:forbidigo // handlers and commits outlive the context that ends Run: that is the drain
	e.clientCtx, e.cancelClient = context.WithCancel(e.base)
	e.running, e.endRunning = context.WithCancel(e.clientCtx)
	e.labels = e.base
	for _, r := range cfg.Routes {
		for _, t := range r.Topics {
			e.routes[t] = r
		}
		for t := range r.RetryTopics {
			e.routes[t] = r
		}
	}
	if e.totals.Topics == nil {
		e.totals.Topics = make(map[string]*TopicTotals)
	}
	isolation := kgo.ReadCommitted()
	if cfg.ReadUncommitted {
		isolation = kgo.ReadUncommitted()
	}
	opts := slices.Concat(cfg.Options, []kgo.Opt{
		kgo.WithContext(e.clientCtx),
		kgo.WithHooks(hooks{e}),
		kgo.ConsumerGroup(cfg.Group),
		kgo.FetchIsolationLevel(isolation),
		kgo.KeepControlRecords(),
		kgo.DisableAutoCommit(),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // stands for "no commit": AdjustFetchOffsetsFn resolves it
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.OnPartitionsAssigned(e.onAssigned),
		kgo.OnPartitionsRevoked(e.onRevoked),
		kgo.OnPartitionsLost(e.onLost),
		kgo.OnOffsetsFetched(e.onFetched),
		kgo.AdjustFetchOffsetsFn(e.onStart),
	})
	opts = append(opts, e.subscription()...)
	opts = append(opts, e.transactOptions()...)
	if cfg.Wire != nil {
		opts = append(opts, kgo.WithHooks(cfg.Wire))
	}
	if s := cfg.Fetch; !s.Fixed || !s.FixedOfPartition {
		all, one := e.fetchSizes(1)
		opts = append(opts, kgo.FetchMaxBytes(all), kgo.FetchMaxPartitionBytes(one))
	}
	if err := kgo.ValidateOpts(opts...); err != nil {
		e.cancelClient()
		return nil, err
	}
	e.options = opts
	return e, nil
}

// connect makes the client, which joins the group at once: its callbacks wait until it is there.
func (e *Engine) connect() error {
	client, err := kgo.NewClient(e.options...)
	if err != nil {
		return err
	}
	e.client, e.admin = client, kadm.NewClient(client)
	close(e.connected)
	return nil
}

// unlock releases mu and then tells what is to be told.
func (e *Engine) unlock() {
	later := e.later
	e.later = nil
	e.mu.Unlock()
	for _, f := range later {
		f()
	}
}

// tell calls f after the unlock.
func (e *Engine) tell(f func()) { e.later = append(e.later, f) }

// wait is cond.Wait; it may return at any time.
func (e *Engine) wait() {
	if len(e.later) > 0 {
		e.unlock()
		e.mu.Lock()
		return
	}
	e.cond.Wait()
}

// waitUntil waits under mu until ok says so, or until ctx ends; it returns ok's last word.
func (e *Engine) waitUntil(ctx context.Context, ok func() bool) bool {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		e.cond.Broadcast()
		e.mu.Unlock()
	})
	defer stop()
	for !ok() {
		if ctx.Err() != nil {
			return false
		}
		e.wait()
	}
	return true
}

// spawn runs f on a goroutine that the engine waits for. Called under mu.
func (e *Engine) spawn(f func()) {
	e.live++
	go func() {
		defer func() {
			e.mu.Lock()
			e.live--
			e.cond.Broadcast()
			e.unlock()
		}()
		f()
	}()
}

// hooks listens to the client. It takes no lock of the engine.
type hooks struct{ e *Engine }

func (h hooks) OnGroupManageError(err error) {
	s := h.e.explain(err, "").Error()
	h.e.groupError.Store(&s)
	h.e.joined.Store(false)
}

// explain puts what brokers said of a topic, or of the group, into words.
func (e *Engine) explain(err error, topic string) error {
	if f := e.cfg.Explain; f != nil {
		return f(err, topic)
	}
	return err
}

// explainWrite is explain for a topic that is written.
func (e *Engine) explainWrite(err error, topic string) error {
	if f := e.cfg.ExplainWrite; f != nil {
		return f(err, topic)
	}
	return err
}

// acquire takes a one-place channel used as a lock, unless ctx ends first.
func acquire(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func release(lock chan struct{}) { <-lock }
