package alert

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// Whatever happens (what is found comes and goes, rounds are blind, receivers fail, are slow, or take what they do not answer for, the monitor
// restarts, with a silence or without), a receiver hears of an alert that it fires, then that this very one is over, and then of the next; and
// in the end it knows what is so. It hears twice only of what it has not answered for.
func TestEpisodesInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { episodes(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func episodes(t *testing.T, random *rand.Rand) {
	t.Helper()
	pick := func(of ...time.Duration) time.Duration { return of[random.IntN(len(of))] }
	p := &phone{began: time.Now(), takes: pick(0, 0, 4*time.Second)}
	cfg := Config{
		Rules:     stalled(pick(0, 20*time.Second, time.Minute), pick(-1, 20*time.Second, time.Minute)),
		StateFile: filepath.Join(t.TempDir(), "alerts.json"),
		Receivers: []Receiver{{Name: "phone", Sender: p, Repeat: -1}},
	}
	begin := func() *stage {
		cfg.Silences = nil
		if long := pick(0, 0, time.Minute, 3*time.Minute); long > 0 {
			cfg.Silences = []Silence{{Match: []Matcher{{LabelGroup, "billing"}}, Until: time.Now().Add(long)}}
		}
		return set(t, cfg)
	}
	s := begin()
	blind := doing("billing", monitor.Stall)
	blind.Err = errDown
	var did []string
	for range 40 {
		long := pick(10*time.Second, 30*time.Second, 2*time.Minute)
		what := random.IntN(7)
		did = append(did, fmt.Sprintf("%d for %v", what, long))
		switch what {
		case 0, 1:
			s.show(long, bad)
		case 2, 3:
			s.show(long, good)
		case 4:
			s.show(long, blind)
		case 5:
			p.set([]error{nil, errDown, errLost}[random.IntN(3)], false)
		case 6:
			s.end()
			time.Sleep(long)
			s = begin()
		}
	}
	p.set(nil, false)
	last, want := good, Resolved
	if random.IntN(2) == 0 {
		last, want = bad, Firing
	}
	s.show(10*time.Minute, last)
	p.mu.Lock()
	defer p.mu.Unlock()
	state, fired := Resolved, time.Time{}
	for i, a := range p.told {
		ok := a.FiredAt.After(fired) // a new one, or one that it has missed
		if state == Firing {
			ok = a.State == Resolved && a.FiredAt.Equal(fired)
		}
		ok = ok || i > 0 && p.lost[i-1] && a.State == state && a.FiredAt.Equal(fired)
		if !ok || a.State == Resolved && a.ResolvedAt.Before(a.FiredAt) {
			t.Errorf("%d: %s since %v, after %s since %v", i, a.State, a.FiredAt.Sub(p.began), state, fired.Sub(p.began))
		}
		state, fired = a.State, a.FiredAt
	}
	if state != want || want == Firing != (len(s.Alerts()) == 1) {
		t.Errorf("in the end it is told %s, and there are %v", state, s.states())
	}
	if t.Failed() {
		t.Logf("did %s\ntold %s", strings.Join(did, ", "), strings.Join(p.calls, "\n"))
	}
}
