package monitor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// Monitor watches the groups of a cluster.
type Monitor struct {
	cfg    Config
	client *kgo.Client
	asking sync.WaitGroup // requests that are under way, also those that nobody waits for any more
	book   book           // of the rounds alone
	served atomic.Pointer[Snapshot]
	began  atomic.Bool
}

// New makes a monitor, which looks at nothing before Run. All mistakes of the configuration are returned at once, each a
// *sluice.ConfigError.
func New(cfg Config) (*Monitor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m := &Monitor{cfg: cfg, book: newBook()}
	if err := kgo.ValidateOpts(m.options()...); err != nil {
		return nil, &sluice.ConfigError{Field: "ClientOptions", Problem: err.Error()}
	}
	m.served.Store(&Snapshot{})
	return m, nil
}

func (m *Monitor) options() []kgo.Opt {
	return append(slices.Clip(m.cfg.ClientOptions),
		// A broker that is down is asked again in the next round.
		kgo.RequestRetries(2), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }))
}

// connect makes the client. It does not outlive the context: what hangs in it, such as a dialer without a limit, ends then.
func (m *Monitor) connect(ctx context.Context) (err error) {
	m.client, err = kgo.NewClient(append(m.options(), kgo.WithContext(ctx))...)
	return err
}

// disconnect closes the client, and waits for what is under way in it.
func (m *Monitor) disconnect() {
	m.client.Close()
	m.asking.Wait()
}

// Run looks, round after round, until the context ends, and then returns nil. It keeps going whatever happens to the cluster: what it
// cannot see, the snapshots say. Run may be called once; after that it returns an error.
func (m *Monitor) Run(ctx context.Context) error {
	if m.began.Swap(true) {
		return errors.New("monitor: Run was called before, and may be called once: make another Monitor with New")
	}
	if err := m.connect(ctx); err != nil {
		return err
	}
	defer m.disconnect()
	ticker := time.NewTicker(m.cfg.Interval)
	defer ticker.Stop()
	for {
		next := m.round(ctx)
		if ctx.Err() != nil {
			return nil // what a round saw that was cut short is no snapshot
		}
		m.tell(m.served.Swap(next), next)
		if m.cfg.OnSnapshot != nil {
			m.cfg.OnSnapshot(next)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Snapshot is what the last round saw; its Round is 0 before the first one has ended.
func (m *Monitor) Snapshot() *Snapshot { return m.served.Load() }

// tell logs what can no longer be seen, and what can be seen again.
func (m *Monitor) tell(before, after *Snapshot) {
	had := func(s *Snapshot, what string) bool {
		for _, p := range s.Problems {
			if p.What == what {
				return true
			}
		}
		return false
	}
	for _, p := range after.Problems {
		if !had(before, p.What) {
			m.cfg.Logger.Warn("the monitor cannot see all", "what", p.What, "err", p.Err)
		}
	}
	for _, p := range before.Problems {
		if !had(after, p.What) {
			m.cfg.Logger.Info("the monitor sees again", "what", p.What)
		}
	}
}
