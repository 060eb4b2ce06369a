package alert

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

var (
	good = doing("billing", monitor.OK)
	bad  = doing("billing", monitor.Stall)
)

// An alert fires when what it says has lasted, is told once and once every 4 hours, and is resolved when that is over for a while.
func TestFiresRepeatsAndResolves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(time.Minute, 2*time.Minute), Receivers: receiver(p)})
		s.show(50*time.Second, bad) // too short
		s.show(10*time.Second, good)
		s.show(5*time.Hour, bad)
		s.show(10*time.Minute, good)
		p.expect(t, "2m0s firing Stalled/billing", "4h2m0s firing Stalled/billing", "5h2m50s resolved Stalled/billing")
		if got := s.states(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// What comes and goes is one alert, as long as it does not stay away for longer than KeepFiring.
func TestFlapping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(0, time.Minute), Receivers: receiver(p)})
		for range 20 {
			s.show(20*time.Second, bad)
			s.show(50*time.Second, good)
		}
		s.show(5*time.Minute, good)
		p.expect(t, "0s firing Stalled/billing", "23m20s resolved Stalled/billing")
	})
}

// What a round could not see is neither found nor gone.
func TestBlindRoundsChangeNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
		s.show(time.Minute, bad)
		unseen := good
		unseen.Err = errDown
		s.show(time.Hour, unseen)
		rowUnseen := doing("billing", monitor.OK)
		rowUnseen.Partitions[0].Err = errDown
		s.show(time.Hour, rowUnseen)
		s.look(time.Hour, monitor.Snapshot{Problems: []monitor.Problem{{What: "metadata", Err: errDown}}})
		p.expect(t, "0s firing Stalled/billing")
		s.show(time.Minute) // the group is gone
		p.expect(t, "0s firing Stalled/billing", "3h1m0s resolved Stalled/billing")
	})
}

// Two findings with equal labels are one alert; one with another label is another.
func TestDeduplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		twice := append(stalled(0, -1), stalled(0, -1)...)
		s := set(t, Config{Rules: twice, Receivers: receiver(p), Labels: map[string]string{"cluster": "prod"}})
		s.show(10*time.Minute, bad, doing("shipping", monitor.Stall))
		p.expect(t, "0s firing Stalled/billing", "0s firing Stalled/shipping")
		for _, a := range s.Alerts() {
			if a.Labels["cluster"] != "prod" {
				t.Errorf("labels %v", a.Labels)
			}
		}
	})
}

// A receiver that hangs or fails holds up no other, is tried again, and learns then what is so; also what is over meanwhile.
func TestReceiversThatFailAndHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		healthy, failing, hanging := &phone{began: time.Now()}, &phone{began: time.Now(), err: errDown}, &phone{began: time.Now(), hangs: true}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: []Receiver{
			{Name: "hanging", Sender: hanging}, {Name: "failing", Sender: failing}, {Name: "healthy", Sender: healthy},
		}})
		s.show(10*time.Minute, bad)
		s.show(10*time.Minute, good)
		s.show(10*time.Minute, good, doing("shipping", monitor.Stall))
		healthy.expect(t, "0s firing Stalled/billing", "10m0s resolved Stalled/billing", "20m0s firing Stalled/shipping")
		all := s.Receivers()
		if all[0].Err == nil || all[0].Err.Error() != "no answer within 10s" || !errors.Is(all[1].Err, errDown) || all[2].Err != nil || all[2].Sent != 3 {
			t.Errorf("%+v", all)
		}
		if n := all[1].Failed; n < 30 || n > 60 {
			t.Errorf("tried %d times in half an hour: a minute at most between two", n)
		}
		failing.set(nil, false)
		hanging.set(nil, false)
		s.show(2*time.Minute, good, doing("shipping", monitor.Stall))
		for _, p := range []*phone{failing, hanging} {
			got := p.heard()
			if len(got) != 2 || !strings.HasSuffix(got[0], "firing Stalled/shipping") || !strings.HasSuffix(got[1], "resolved Stalled/billing") {
				t.Errorf("told: %v", got)
			}
		}
		if got := s.states(); !slices.Equal(got, []string{"firing Stalled/shipping"}) {
			t.Errorf("left: %v", got)
		}
	})
}

// A receiver may say when it wants to hear more.
func TestReceiverThatAsksToWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now(), err: &laterError{errDown, 5 * time.Minute, false}}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
		s.show(11*time.Minute, bad)
		if n := s.Receivers()[0].Failed; n != 3 {
			t.Errorf("tried %d times in 11 minutes", n)
		}
		p.set(nil, false)
		s.show(5*time.Minute, bad)
		p.expect(t, "15m0s firing Stalled/billing")
	})
}

// A silenced alert is not told, also not that it is over; one that lasts is told when the silence ends.
func TestSilences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p), Silences: []Silence{
			{Match: []Matcher{{LabelGroup, "bill*"}, {LabelTopic, "orders"}}, Until: time.Now().Add(time.Hour), Comment: "moving"},
			{Match: []Matcher{{LabelGroup, "ship*"}}, Until: time.Now()}, // it is over
		}})
		s.show(10*time.Minute, bad, doing("shipping", monitor.Stall), doing("bills", monitor.Stall))
		if all := s.Alerts(); len(all) != 3 || all[0].Silenced != "moving" || all[1].Silenced != "moving" || all[2].Silenced != "" {
			t.Errorf("%+v", all)
		}
		s.show(10*time.Minute, good)
		s.show(50*time.Minute, bad)
		p.expect(t, "0s firing Stalled/shipping", "10m0s resolved Stalled/shipping", "1h0m0s firing Stalled/billing")
	})
}

// A receiver hears what its matchers fit.
func TestReceiversMatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, none := &phone{began: time.Now()}, &phone{}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: []Receiver{
			{Name: "billing", Sender: p, Match: []Matcher{{LabelSeverity, SeverityWarning}, {LabelGroup, "bill*"}}},
			{Name: "none", Sender: none, Match: []Matcher{{LabelSeverity, SeverityCritical}}},
		}})
		s.show(time.Minute, bad, doing("shipping", monitor.Stall))
		p.expect(t, "0s firing Stalled/billing")
		none.expect(t)
	})
}

// Where no snapshot comes any more, that is told.
func TestMonitorStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		s := set(t, Config{Rules: []Rule{}, Receivers: receiver(p)})
		time.Sleep(119 * time.Second)
		p.expect(t)
		time.Sleep(10 * time.Second)
		p.expect(t, "2m5s firing MonitorStuck/")
		s.show(time.Minute, good)
		p.expect(t, "2m5s firing MonitorStuck/", "2m10s resolved MonitorStuck/")
	})
}

// A rule that cannot be judged is told of, keeps its alerts, and spoils no other.
func TestRuleThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &phone{began: time.Now()}
		var fails error
		breakable := Rule{Name: "Breakable", KeepFiring: -1, Find: func(*monitor.Snapshot) ([]Finding, error) {
			if fails != nil {
				return nil, fails
			}
			return []Finding{{Group: "a"}}, nil
		}}
		s := set(t, Config{Rules: append(stalled(0, -1), breakable), Receivers: receiver(p)})
		s.show(time.Minute, good)
		fails = errDown
		s.show(2*time.Minute, bad)
		fails = nil
		s.show(time.Minute, bad)
		p.expect(t, "0s firing Breakable/a", "1m0s firing Stalled/billing", "2m0s firing RuleFailed/")
		for _, a := range s.Alerts() {
			if a.Name() == ruleFailed.Name && (a.Labels["rule"] != "Breakable" || !strings.Contains(a.Annotations[AnnotationSummary], "down")) {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestBadConfigurations(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		Labels:     map[string]string{"group": "x", "1": "y"},
		Rules:      []Rule{{Name: "two words", For: -1}, {Name: "R", Find: monitorBlind, KeepFiring: -2, Labels: map[string]string{"severity": "x"}}},
		Receivers:  []Receiver{{}, {Name: "a", Sender: &Slack{}, Repeat: time.Second}, {Name: "a", Sender: &Webhook{Endpoint{URL: "ftp://h/s3cr3t"}}}},
		Silences:   []Silence{{}},
		StaleAfter: time.Second,
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{
		"Labels", "Rules[0].Name", "Rules[0].Find", "Rules[0].For", "Rules[1].KeepFiring", "Rules[1].Labels", "Receivers[0].Name", "Receivers[0].Sender",
		"Receivers[1].Sender: has no URL", "Receivers[1].Repeat", "Receivers[2].Name", "Receivers[2].Sender", "Silences[0].Match", "Silences[0].Until",
		"StaleAfter",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("a secret is told: %v", err)
	}
}

func TestRunIsRefusedTheSecondTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := set(t, Config{})
		if err := s.Alerter.Run(t.Context()); err == nil {
			t.Error("Run may be called twice")
		}
	})
}
