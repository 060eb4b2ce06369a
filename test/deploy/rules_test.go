// Package deploy tests what lies in deploy/, on the programs that read it.
package deploy

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/metrics"
	"github.com/sluice-go/sluice/monitor/alert"
	"github.com/sluice-go/sluice/test/servers"
)

// place is a file or a folder of the repository.
func place(t *testing.T, path ...string) string {
	t.Helper()
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root}, path...)...)
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(place(t, path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Prometheus understands the rules and the examples, and what its unit tests say of firing and of quiet series holds.
func TestPromtool(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "rules", "app.rules.yml", "monitor.rules.yml", "objectives.rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "app.test.yml"},
		{"test", "rules", "monitor.test.yml"},
	} {
		cmd := exec.CommandContext(t.Context(), "promtool", args...)
		cmd.Dir = place(t, "deploy", "prometheus")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

var (
	alertForm    = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)
	severityForm = regexp.MustCompile(`severity: (\w+)`)
	forForm      = regexp.MustCompile(`\n +for: (\w+)\n`)
	keepForm     = regexp.MustCompile(`\n +keep_firing_for: (\w+)\n`)
	metricForm   = regexp.MustCompile(`\bsluice_[a-z_]+`)
	monitorForm  = regexp.MustCompile("(?m)^\\| `(sluice_monitor_[a-z_]+)` \\|")
	nameForm     = regexp.MustCompile(`fqName: "([a-z_]+)"`)
)

// Each alert has a test in which it fires, its place on the page that it points to, and a severity.
func TestEachAlertIsTestedAndExplained(t *testing.T) {
	t.Parallel()
	page := read(t, "docs", "alerts.md")
	for of, least := range map[string]int{"app": 25, "monitor": 15} {
		rules, tests := read(t, "deploy", "prometheus", of+".rules.yml"), read(t, "deploy", "prometheus", of+".test.yml")
		parts := alertForm.Split(rules, -1)[1:] // what follows each name
		if len(parts) < least {
			t.Fatalf("%s: %d alerts", of, len(parts))
		}
		for i, name := range alertForm.FindAllStringSubmatch(rules, -1) {
			name, rule, anchor := name[1], parts[i], strings.ToLower(name[1])
			severity := severityForm.FindStringSubmatch(rule)[1]
			if !strings.Contains(tests, `alertname="`+name+`"`) {
				t.Errorf("%s: no test in which it fires", name)
			}
			row, entry := "| <a id=\""+anchor+"\"></a>`"+name+"` | "+severity, "\n### "+name+"\n*"+severity
			if !strings.Contains(page, row) && !strings.Contains(page, entry) {
				t.Errorf("%s: docs/alerts.md has neither a row nor an entry of it with its severity, %s", name, severity)
			}
			if !strings.Contains(rule, "docs/alerts.md#"+anchor+"\n") {
				t.Errorf("%s: no runbook_url", name)
			}
		}
	}
}

// The alerts on the monitor's metrics are those that the monitor has by itself: by name, severity and what there is to do.
func TestAlertsOfTheMonitorAreItsOwn(t *testing.T) {
	t.Parallel()
	rules := read(t, "deploy", "prometheus", "monitor.rules.yml")
	for _, own := range alert.Rules() {
		_, rule, found := strings.Cut(rules, "- alert: "+own.Name+"\n")
		if rule, _, _ = strings.Cut(rule, "- alert: "); !found {
			t.Errorf("%s: no rule", own.Name)
			continue
		}
		severity, after, keeps := severityForm.FindStringSubmatch(rule)[1], span(t, forForm, rule), span(t, keepForm, rule)
		want := alert.Rule{Severity: cmp.Or(own.Severity, alert.SeverityWarning), For: own.For, KeepFiring: cmp.Or(own.KeepFiring, 3*time.Minute)}
		if severity != want.Severity || after != want.For || keeps != want.KeepFiring {
			t.Errorf("%s: %s after %v, for %v; the monitor's own is %s after %v, for %v", own.Name, severity, after, keeps, want.Severity, want.For,
				want.KeepFiring)
		}
	}
}

// span is a time that a rule may have.
func span(t *testing.T, form *regexp.Regexp, rule string) time.Duration {
	t.Helper()
	m := form.FindStringSubmatch(rule)
	if m == nil {
		return 0
	}
	d, err := time.ParseDuration(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// families are the names of all metrics of an app, of a producer and of a monitor, from who tells them.
func families(t *testing.T) (all []string) {
	t.Helper()
	cfg := sluice.Config{Brokers: []string{"127.0.0.1:1"}, Group: "g"}
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	producer, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = producer.Close(t.Context()) })
	for _, c := range []prometheus.Collector{metrics.NewCollector(app), metrics.NewProducerCollector(producer, "p")} {
		descriptions := make(chan *prometheus.Desc)
		go func() { // ends with the collector's names
			defer close(descriptions)
			c.Describe(descriptions)
		}()
		for d := range descriptions {
			all = append(all, nameForm.FindStringSubmatch(d.String())[1])
		}
	}
	apps := len(all)
	for _, row := range monitorForm.FindAllStringSubmatch(read(t, "docs", "monitor_metrics.md"), -1) { // a test holds it to the exporter
		all = append(all, row[1])
	}
	if apps < 60 || len(all) < apps+30 {
		t.Fatalf("%d names: %v", len(all), all)
	}
	return all
}

// Rules and their tests ask about metrics that there are.
func TestRulesKnowTheMetrics(t *testing.T) {
	t.Parallel()
	known := append(families(t), "sluice_time_lag_objective_seconds") // the one is a rule of ours
	recorded := regexp.MustCompile(`[a-z_]+:(sluice_[a-z_]+):\w+`)
	for _, file := range []string{"app.rules.yml", "app.test.yml", "monitor.rules.yml", "monitor.test.yml"} {
		text := recorded.ReplaceAllString(read(t, "deploy", "prometheus", file), "")
		for _, name := range metricForm.FindAllString(text, -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if !slices.Contains(known, name) {
				t.Errorf("%s asks about %s, which nobody tells", file, name)
			}
		}
	}
}
