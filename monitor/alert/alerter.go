package alert

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// Alerter judges snapshots, and tells receivers.
type Alerter struct {
	cfg     Config
	outlets []*outlet
	began   atomic.Bool

	judging sync.Mutex // one snapshot at a time

	mu      sync.Mutex
	alerts  map[string]*tracked // by fingerprint
	failing map[string]error    // rules that cannot be judged
	first   time.Time           // At of the first snapshot
	last    time.Time           // when the last one came, or Run began
	version int64               // counts changes of what the state file holds
}

// New makes an alerter. All mistakes of the configuration are returned at once, each a *sluice.ConfigError. A state file that cannot be
// understood is no mistake: it is set aside, with a warning.
func New(cfg Config) (*Alerter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	a := &Alerter{cfg: cfg, alerts: map[string]*tracked{}, failing: map[string]error{}}
	for _, r := range cfg.Receivers {
		a.outlets = append(a.outlets, newOutlet(a, r))
	}
	if err := a.load(); err != nil {
		return nil, err
	}
	return a, nil
}

// Observe judges a snapshot. It is what monitor.Config.OnSnapshot wants, and waits for no receiver.
func (a *Alerter) Observe(s *monitor.Snapshot) {
	if s.Round == 0 {
		return
	}
	a.judging.Lock()
	defer a.judging.Unlock()
	var found []match
	failed := map[string]error{}
	for _, r := range a.cfg.Rules {
		all, err := r.Find(s)
		if err != nil {
			failed[r.Name] = err
			found = append(found, match{ruleFailed, Finding{
				Labels: map[string]string{"rule": r.Name}, Summary: "the rule " + r.Name + " cannot be judged: " + err.Error(),
			}})
		}
		for _, f := range all {
			if !dark(s, f.Group, f.Topic) { // what a round did not see is as it was: that is no news
				found = append(found, match{r, f})
			}
		}
	}
	a.mu.Lock()
	now := time.Now()
	a.last = now
	if a.first.IsZero() {
		a.first = s.At
	}
	logs := a.failures(failed)
	a.judge(s.At, found, func(t *tracked) bool { return a.held(t, s) })
	a.mu.Unlock()
	for _, log := range logs {
		log()
	}
	a.wake()
}

// failures notes which rules cannot be judged, and returns what is to be logged of it.
func (a *Alerter) failures(failed map[string]error) (logs []func()) {
	for name, err := range failed {
		if a.failing[name] == nil {
			logs = append(logs, func() { a.cfg.Logger.Warn("an alert rule cannot be judged", "rule", name, "err", err) })
		}
	}
	for name := range a.failing {
		if failed[name] == nil {
			logs = append(logs, func() { a.cfg.Logger.Info("an alert rule can be judged again", "rule", name) })
		}
	}
	a.failing = failed
	return logs
}

// held tells whether a snapshot that does not show what an alert says cannot say that it is over either.
func (a *Alerter) held(t *tracked, s *monitor.Snapshot) bool {
	group, topic := t.Labels[LabelGroup], t.Labels[LabelTopic]
	held := a.failing[t.Name()] != nil || !visible(s, group, topic) ||
		t.restored && (overlooked(s, group) || forgotten(s, group, topic, a.first))
	t.unseen = t.unseen || held
	return held
}

// Run tells receivers, until the context ends, and then returns nil, or an error where the state file cannot be written. Run may be called
// once.
func (a *Alerter) Run(ctx context.Context) error {
	if a.began.Swap(true) {
		return errors.New("alert: Run was called before, and may be called once: make another Alerter with New")
	}
	a.mu.Lock()
	a.last = time.Now()
	a.mu.Unlock()
	var wg sync.WaitGroup
	for _, o := range a.outlets {
		wg.Go(func() { o.run(ctx) })
	}
	wg.Go(func() { a.watch(ctx) })
	a.keep(ctx)
	wg.Wait()
	return a.save()
}

// watch sees to it that somebody is told when no snapshot comes any more.
func (a *Alerter) watch(ctx context.Context) {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		a.mu.Lock()
		now := time.Now()
		var found []match
		if silent := now.Sub(a.last); silent > a.cfg.StaleAfter {
			summary := "no round of the monitor has ended for " + span(silent)
			found = []match{{monitorStuck, Finding{Summary: summary, Value: silent.Seconds()}}}
		}
		a.judge(now, found, func(*tracked) bool { return true }) // what is over, a snapshot says
		a.mu.Unlock()
		a.wake()
	}
}

func (a *Alerter) wake() {
	for _, o := range a.outlets {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// Alerts are those that are pending, firing, or resolved and not told to everybody yet, the most urgent first.
func (a *Alerter) Alerts() []Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]Alert, 0, len(a.alerts))
	for _, t := range a.alerts {
		all = append(all, t.Alert)
	}
	slices.SortFunc(all, byUrgency)
	return all
}
