package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// phone is a Sender that remembers, and fails or hangs as it is told.
type phone struct {
	mu    sync.Mutex
	calls []string // what was told, and when, since the stage was set
	told  []Alert
	lost  []bool // of what was told: nobody has learned that it arrived
	began time.Time
	err   error
	hangs bool
	takes time.Duration // how long it takes
	bad   string        // what it refuses a message for: a group whose name begins so
	asked int
}

func (p *phone) Send(ctx context.Context, m Message) error {
	p.mu.Lock()
	err, hangs := p.err, p.hangs
	p.mu.Unlock()
	time.Sleep(p.takes)
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	lost := errors.Is(err, errLost)
	if err != nil && !lost {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	for _, a := range m.Alerts {
		if p.bad != "" && strings.HasPrefix(a.Labels[LabelGroup], p.bad) {
			return &laterError{errors.New("it answers 400: no " + a.Labels[LabelGroup]), 0, true}
		}
	}
	p.told = append(p.told, m.Alerts...)
	for _, a := range m.Alerts {
		p.lost = append(p.lost, lost)
		p.calls = append(p.calls, fmt.Sprintf("%s %s %s/%s", time.Since(p.began).Round(time.Second), a.State, a.Name(), a.Labels[LabelGroup]))
	}
	return err
}

func (p *phone) set(err error, hangs bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.hangs = err, hangs
}

func (p *phone) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.calls...)
}

func (p *phone) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := p.heard(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// stage is an alerter in a bubble that is shown a snapshot every 10 seconds.
type stage struct {
	*testing.T
	*Alerter

	round int64
	stop  context.CancelFunc
	done  chan error
}

func set(t *testing.T, cfg Config) *stage {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &stage{T: t, Alerter: a, stop: stop, done: make(chan error, 1)}
	go func() { s.done <- a.Run(ctx) }()
	synctest.Wait()
	t.Cleanup(s.end)
	return s
}

func (s *stage) end() {
	s.Helper()
	s.stop()
	if s.done == nil {
		return
	}
	if err := <-s.done; err != nil {
		s.Errorf("Run: %v", err)
	}
	s.done = nil
}

// show shows the groups of a snapshot for a time, anew every 10 seconds.
func (s *stage) show(d time.Duration, groups ...monitor.Group) {
	s.look(d, monitor.Snapshot{Groups: groups})
}

func (s *stage) look(d time.Duration, shape monitor.Snapshot) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Second) {
		s.round++
		next := shape
		next.Round, next.At = s.round, time.Now()
		next.Groups = append([]monitor.Group{}, shape.Groups...)
		for i := range next.Groups {
			if next.Groups[i].Err == nil {
				next.Groups[i].AsOf = next.At
			}
		}
		s.Observe(&next)
	}
}

func (s *stage) states() (all []string) {
	for _, a := range s.Alerts() {
		all = append(all, fmt.Sprintf("%s %s/%s", a.State, a.Name(), a.Labels[LabelGroup]))
	}
	return all
}

// doing is a group with one partition of the topic orders.
func doing(id string, status monitor.Status) monitor.Group {
	return monitor.Group{ID: id, Partitions: []monitor.Partition{{
		Topic: "orders", Status: status, Commit: 10, End: 20, Readable: 20, Lag: 10, Watched: 1, Drain: time.Second,
	}}}
}

// stalled is a rule that is easy to count with.
func stalled(hold, keep time.Duration) []Rule {
	return []Rule{{Name: "Stalled", For: hold, KeepFiring: keep, Find: status(monitor.Stall, "%s %s %s")}}
}

func receiver(p Sender) []Receiver { return []Receiver{{Name: "phone", Sender: p}} }

var (
	errDown = errors.New("down")
	errLost = errors.New("it arrived, and the answer did not")
)
