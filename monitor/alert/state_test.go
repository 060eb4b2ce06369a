package alert

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// After a restart nobody is told again what they know, and is told what they do not.
func TestStateOverRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, deaf := &phone{began: time.Now()}, &phone{began: time.Now(), err: errDown}
		cfg := Config{
			Rules: stalled(time.Minute, time.Minute), StateFile: filepath.Join(t.TempDir(), "alerts.json"),
			Receivers: []Receiver{{Name: "phone", Sender: p}, {Name: "deaf", Sender: deaf}},
		}
		s := set(t, cfg)
		s.show(2*time.Minute, bad)
		s.end()
		time.Sleep(10 * time.Minute)
		deaf.set(nil, false)
		s = set(t, cfg)
		s.show(2*time.Minute, bad)
		p.expect(t, "1m0s firing Stalled/billing")
		deaf.expect(t, "12m0s firing Stalled/billing")
		s.end()
		s = set(t, cfg)
		s.show(2*time.Minute, good)
		p.expect(t, "1m0s firing Stalled/billing", "15m10s resolved Stalled/billing")
		if info, err := os.Stat(cfg.StateFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		s.end()
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(cfg.StateFile), "*")); err != nil || len(left) != 1 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
}

// A monitor that has just begun judges by a window that is not full yet: a group that has not moved since is not well again.
func TestAfterARestartNotYetKnownIsNotOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		cfg := Config{Rules: stalled(0, -1), StateFile: filepath.Join(t.TempDir(), "alerts.json"), Receivers: receiver(p)}
		s := set(t, cfg)
		s.show(time.Minute, bad)
		s.end()
		s = set(t, cfg)
		for i := range 60 { // ten minutes, in which it does not move
			g := doing("billing", monitor.OK)
			g.Partitions[0].Watched, g.Partitions[0].Stands = float64(i)/60, time.Duration(i)*10*time.Second
			s.show(10*time.Second, g)
		}
		for i := range 60 { // and ten more
			g := doing("billing", monitor.OK)
			g.Partitions[0].Stands = time.Duration(60+i) * 10 * time.Second
			s.show(10*time.Second, g)
		}
		p.expect(t, "0s firing Stalled/billing")
		s.show(time.Minute, good)
		p.expect(t, "0s firing Stalled/billing", "21m0s resolved Stalled/billing")
	})
}

// A state file that cannot be understood is set aside, and told of.
func TestStateFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "cut off": `{"version":1,"alerts":[{"labels":{"alertname"`, "no JSON": "\x00\x01", "newer": `{"version":2}`,
		"no alert": `{"version":1,"alerts":[null]}`, "no state": `{"version":1,"alerts":[{"labels":{"alertname":"X"},"state":"?"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				file := filepath.Join(t.TempDir(), "alerts.json")
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				p := &phone{began: time.Now()}
				s := set(t, Config{
					Rules: stalled(0, -1), StateFile: file, Receivers: receiver(p), Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				s.show(time.Minute, bad)
				p.expect(t, "0s firing Stalled/billing")
				s.end()
				aside, err := filepath.Glob(file + ".unreadable-*")
				if err != nil || len(aside) != 1 || !strings.Contains(log.String(), aside[0]) {
					t.Fatalf("%v, %v; log: %s", aside, err, log.String())
				}
				if kept, err := os.ReadFile(aside[0]); err != nil || string(kept) != text {
					t.Errorf("kept %q, %v", kept, err)
				}
			})
		})
	}
}

// A state file that cannot be written is told at once, not at the first alert.
func TestStateFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	_, err := New(Config{StateFile: filepath.Join(t.TempDir(), "none", "alerts.json")})
	if err == nil || !strings.Contains(err.Error(), "the state file") {
		t.Errorf("got %v", err)
	}
}

// A restart does not end that no round ends: a round does.
func TestMonitorStuckOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		cfg := Config{Rules: []Rule{}, StateFile: filepath.Join(t.TempDir(), "alerts.json"), Receivers: receiver(p)}
		s := set(t, cfg)
		time.Sleep(3 * time.Minute)
		s.end()
		s = set(t, cfg)
		time.Sleep(3 * time.Minute)
		p.expect(t, "2m5s firing MonitorStuck/")
		s.show(time.Minute, good)
		p.expect(t, "2m5s firing MonitorStuck/", "6m0s resolved MonitorStuck/")
	})
}

// What was told before it was silenced is told to be over when the silence ends, however long that lasts.
func TestASilenceThatComesWithARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		cfg := Config{Rules: stalled(0, -1), StateFile: filepath.Join(t.TempDir(), "alerts.json"), Receivers: receiver(p)}
		s := set(t, cfg)
		s.show(time.Minute, bad)
		s.end()
		cfg.Silences = []Silence{{Match: []Matcher{{LabelGroup, "bill*"}}, Until: p.began.Add(48 * time.Hour)}}
		s = set(t, cfg)
		s.show(47*time.Hour, good)
		p.expect(t, "0s firing Stalled/billing")
		s.show(2*time.Hour, good)
		p.expect(t, "0s firing Stalled/billing", "48h0m0s resolved Stalled/billing")
		if got := s.states(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// A clock that was set back does not keep an Alertmanager from hearing what fires.
func TestAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := &outlet{Receiver: Receiver{Name: "am", Repeat: resend}}
	fires := &tracked{Alert: firing("billing"), Told: map[string]told{"am": {State: Firing, At: now.Add(time.Hour)}}}
	fires.FiredAt = fires.Told["am"].FiredAt
	if _, news := o.news(fires, now); !news {
		t.Error("it is told in an hour")
	}
}
