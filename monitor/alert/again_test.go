package alert

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// What a receiver knows of is told to be over before the same fires again, also where it could not be told in time: with the times of
// then, and over a restart.
func TestAnAlertThatIsFoundAgainIsResolvedFirst(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"at once": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				p := &phone{began: began}
				cfg := Config{Rules: stalled(0, -1), Receivers: receiver(p), StateFile: filepath.Join(t.TempDir(), "alerts.json")}
				s := set(t, cfg)
				s.show(time.Minute, bad)
				p.set(errDown, false)
				s.show(time.Minute, good) // over at 1m
				s.show(time.Minute, bad)  // and again from 2m
				if restart {
					s.end()
					s = set(t, cfg)
				}
				p.set(nil, false)
				s.show(2*time.Minute, bad)
				s.show(2*time.Minute, good)
				told := p.told
				if len(told) != 4 {
					t.Fatalf("told %q", p.heard())
				}
				for i, want := range []struct {
					state     State
					from, end time.Duration
				}{{Firing, 0, -1}, {Resolved, 0, time.Minute}, {Firing, 2 * time.Minute, -1}, {Resolved, 2 * time.Minute, 5 * time.Minute}} {
					a := told[i]
					if a.State != want.state || !a.FiredAt.Equal(began.Add(want.from)) || a.ResolvedAt.IsZero() != (want.end < 0) ||
						want.end >= 0 && !a.ResolvedAt.Equal(began.Add(want.end)) {
						t.Errorf("%d: %s from %v to %v, want %+v", i, a.State, a.FiredAt.Sub(began), a.ResolvedAt.Sub(began), want)
					}
				}
			})
		})
	}
}

// It is told also when the same is found again for too short a time to fire.
func TestAnAlertThatIsPendingAgainIsResolvedAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, deaf := &phone{began: time.Now()}, &phone{began: time.Now(), err: errDown}
		s := set(t, Config{Rules: stalled(time.Minute, -1), Receivers: []Receiver{
			{Name: "phone", Sender: p}, {Name: "deaf", Sender: deaf},
		}})
		s.show(2*time.Minute, bad)
		p.set(errDown, false)
		s.show(time.Minute, good)
		s.show(30*time.Second, bad)
		s.show(2*time.Minute, good)
		p.set(nil, false)
		deaf.set(nil, false)
		s.show(2*time.Minute, good)
		if got := p.heard(); len(got) != 2 || p.told[1].State != Resolved || p.told[1].ResolvedAt.Sub(p.began) != 2*time.Minute {
			t.Errorf("told %q", got)
		}
		if got := deaf.heard(); len(got) != 1 || deaf.told[0].State != Resolved || deaf.told[0].FiredAt.Sub(p.began) != time.Minute {
			t.Errorf("told %q: it hears of what it missed", got)
		}
		if got := s.states(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// An older one than the last is resolved as well, where a receiver has been away for long.
func TestAReceiverThatMissedTwo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
		s.show(time.Minute, bad)
		p.set(errDown, false)
		for range 3 {
			s.show(time.Minute, good)
			s.show(time.Minute, bad)
		}
		p.set(nil, false)
		s.show(2*time.Minute, bad)
		if got := p.heard(); len(got) != 3 || p.told[1].State != Resolved || !p.told[1].FiredAt.Equal(p.began) ||
			p.told[2].State != Firing || p.told[2].FiredAt.Sub(p.began) != 6*time.Minute {
			t.Errorf("told %q", got)
		}
	})
}

// A receiver that takes what fires while that ends is told of the end.
func TestAnAlertThatEndsWhileItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now(), takes: 9 * time.Second}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
		s.Observe(&monitor.Snapshot{Round: 1, At: time.Now(), Groups: []monitor.Group{bad}})
		time.Sleep(time.Second)
		s.Observe(&monitor.Snapshot{Round: 2, At: time.Now(), Groups: []monitor.Group{good}})
		time.Sleep(time.Second)
		s.Observe(&monitor.Snapshot{Round: 3, At: time.Now(), Groups: []monitor.Group{bad}})
		s.show(time.Minute, bad)
		p.expect(t, "9s firing Stalled/billing", "23s resolved Stalled/billing", "37s firing Stalled/billing")
	})
}

// An alert whose silence is over is told to be over to whom it may have been told that it fires: it ends before the receiver has answered, or
// the answer is lost.
func TestAnAlertThatWasSilencedEndsWhileItIsTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes time.Duration
		err   error
		want  []string
	}{
		"the receiver is slow": {9 * time.Second, nil, []string{"1m9s firing Stalled/billing", "1m23s resolved Stalled/billing"}},
		"the answer is lost":   {5 * time.Second, errLost, []string{"1m5s firing Stalled/billing", "1m11s resolved Stalled/billing"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{began: time.Now(), takes: test.takes, err: test.err}
				until := Silence{Match: []Matcher{{LabelGroup, "billing"}}, Until: time.Now().Add(time.Minute)}
				s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p), Silences: []Silence{until}})
				s.show(time.Minute, bad)
				s.Observe(&monitor.Snapshot{Round: 7, At: time.Now(), Groups: []monitor.Group{bad}})
				time.Sleep(time.Second)
				p.set(nil, false)
				s.Observe(&monitor.Snapshot{Round: 8, At: time.Now(), Groups: []monitor.Group{good}})
				s.show(time.Minute, good)
				p.expect(t, test.want...)
				if got := s.states(); len(got) != 0 {
					t.Errorf("left: %v", got)
				}
			})
		})
	}
}
