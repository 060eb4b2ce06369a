package monitoring

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
	"github.com/sluice-go/sluice/test/servers"
)

// knows waits until an Alertmanager knows so many alerts, all of which are as they should be.
func knows(t *testing.T, m *servers.Alertmanager, want int, right func(servers.ManagedAlert) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := m.Alerts(t.Context())
		good := err == nil && len(got) == want
		for _, a := range got {
			good = good && right(a)
		}
		if good {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %d alerts: it has %+v, %v", want, got, err)
		}
		<-tick.C
	}
}

// sender is a monitor's alerter that tells an Alertmanager.
func sender(t *testing.T, m *servers.Alertmanager) (observe func(monitor.Status)) {
	t.Helper()
	a := alerter(t, m, stalls)
	return func(s monitor.Status) {
		now := time.Now()
		g := monitor.Group{ID: "billing \"<&>\" 组", AsOf: now, Partitions: []monitor.Partition{{Topic: "orders", Status: s}}}
		a.Observe(&monitor.Snapshot{Round: 1, At: now, Groups: []monitor.Group{g}})
	}
}

// alerter tells an Alertmanager what a condition finds.
func alerter(t *testing.T, m *servers.Alertmanager, find alert.Condition) *alert.Alerter {
	t.Helper()
	a, err := alert.New(alert.Config{
		Labels: map[string]string{"cluster": "test"}, Logger: slog.New(slog.DiscardHandler),
		Rules:     []alert.Rule{{Name: "GroupStalled", KeepFiring: -1, Find: find}},
		Receivers: []alert.Receiver{{Name: "ops", Sender: &alert.Alertmanager{Endpoint: alert.Endpoint{URL: m.URL}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(stop)
	return a
}

func stalls(s *monitor.Snapshot) (found []alert.Finding, err error) {
	for _, g := range s.Groups {
		if g.Partitions[0].Status == monitor.Stall {
			found = append(found, alert.Finding{Group: g.ID, Topic: "orders", Summary: g.ID + " stands still"})
		}
	}
	return found, nil
}

// The real Alertmanager takes an alert, makes one of it when two monitors tell it, and has it resolved when they say so.
func TestAlertmanagerIsTold(t *testing.T) {
	t.Parallel()
	m := servers.StartAlertmanager(t)
	one, two := sender(t, m), sender(t, m)
	right := func(a servers.ManagedAlert) bool {
		return a.Labels["alertname"] == "GroupStalled" && a.Labels["severity"] == "warning" && a.Labels["group"] == "billing \"<&>\" 组" &&
			a.Labels["cluster"] == "test" && a.Annotations["summary"] == "billing \"<&>\" 组 stands still" &&
			strings.HasSuffix(a.Annotations["runbook_url"], "#groupstalled")
	}
	one(monitor.Stall)
	knows(t, m, 1, right)
	two(monitor.Stall)
	knows(t, m, 1, right)
	one(monitor.OK)
	two(monitor.OK)
	knows(t, m, 0, right)
}

// The real Alertmanager takes thousands of alerts, with labels that a condition made up, and all of them at once.
func TestAlertmanagerTakesThousands(t *testing.T) {
	t.Parallel()
	m := servers.StartAlertmanager(t)
	const n = 3000
	a := alerter(t, m, func(*monitor.Snapshot) (found []alert.Finding, err error) {
		for i := range n {
			found = append(found, alert.Finding{Group: strconv.Itoa(i), Labels: map[string]string{"my-label é": "x", "1st": "y", "none": "", "": "z"}})
		}
		return found, nil
	})
	began := time.Now()
	a.Observe(&monitor.Snapshot{Round: 1, At: began})
	knows(t, m, n, func(a servers.ManagedAlert) bool {
		return a.Labels["my_label__"] == "x" && a.Labels["_1st"] == "y" && len(a.Labels) == 6
	})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("after %v", took)
	}
}

// An Alertmanager that was away is told when it is back.
func TestAlertmanagerThatWasAway(t *testing.T) {
	t.Parallel()
	m := servers.StartAlertmanager(t)
	m.Process().Kill()
	observe := sender(t, m)
	observe(monitor.Stall)
	m.Restart(t)
	knows(t, m, 1, func(a servers.ManagedAlert) bool { return a.Labels["alertname"] == "GroupStalled" })
}

// The real Prometheus scrapes an app, fires a rule of deploy/ at the real Alertmanager, and records what the rules say, with classic and with
// native histograms.
func TestPrometheusFiresTheRules(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"classic": nil, "native": {"--enable-feature=native-histograms"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := servers.StartAlertmanager(t)
			p := servers.StartPrometheusWith(t, servers.PrometheusConfig{
				Targets: []string{haltedTarget(t)}, Flags: flags, Alertmanager: strings.TrimPrefix(m.URL, "http://"),
				Rules: []string{rules(t, "app.rules.yml"), rules(t, "objectives.rules.yml")},
			})
			knows(t, m, 1, func(a servers.ManagedAlert) bool {
				return a.Labels["alertname"] == "PartitionHalted" && a.Labels["group"] == "billing" && a.Labels["topic"] == "orders" &&
					strings.Contains(a.Annotations["summary"], "orders is halted in billing")
			})
			until(t, p, `group_topic:sluice_partition_lag_records:sum{group="billing",topic="orders"}`, between(0, 10))
			until(t, p, `count(group_topic:sluice_process_duration_seconds:p99_rate5m >= 0)`, is(1))
			until(t, p, `sluice_time_lag_objective_seconds`, is(60))
		})
	}
}
