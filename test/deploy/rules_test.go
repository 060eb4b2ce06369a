// Package deploy tests what lies in deploy/, on the programs that read it.
package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/metrics"
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
		{"check", "rules", "app.rules.yml", "objectives.rules.yml"},
		{"check", "config", "prometheus.yml"},
		{"test", "rules", "app.test.yml"},
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
	metricForm   = regexp.MustCompile(`\bsluice_[a-z_]+`)
	nameForm     = regexp.MustCompile(`fqName: "([a-z_]+)"`)
)

// Each alert has a test in which it fires, its place on the page that it points to, and a severity.
func TestEachAlertIsTestedAndExplained(t *testing.T) {
	t.Parallel()
	rules, tests, page := read(t, "deploy", "prometheus", "app.rules.yml"), read(t, "deploy", "prometheus", "app.test.yml"), read(t, "docs", "alerts.md")
	alerts := alertForm.FindAllStringSubmatchIndex(rules, -1)
	if len(alerts) < 25 {
		t.Fatalf("%d alerts", len(alerts))
	}
	for _, at := range alerts {
		name, rest := rules[at[2]:at[3]], rules[at[3]:]
		severity := severityForm.FindStringSubmatch(rest)[1]
		if !strings.Contains(tests, `alertname="`+name+`"`) {
			t.Errorf("%s: no test in which it fires", name)
		}
		if !strings.Contains(page, "| <a id=\""+strings.ToLower(name)+"\"></a>`"+name+"` | "+severity) {
			t.Errorf("%s: docs/alerts.md has no row of it with its severity, %s", name, severity)
		}
		if !strings.Contains(rest, "docs/alerts.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s: no runbook_url", name)
		}
	}
}

// families are the names of all metrics of an app and of a producer, from the collectors themselves.
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
	if len(all) < 60 {
		t.Fatalf("%d names: %v", len(all), all)
	}
	return all
}

// Rules and their tests ask about metrics that there are.
func TestRulesKnowTheMetrics(t *testing.T) {
	t.Parallel()
	known := append(families(t), "sluice_time_lag_objective_seconds") // the one is a rule of ours
	recorded := regexp.MustCompile(`[a-z_]+:(sluice_[a-z_]+):\w+`)
	for _, file := range []string{"app.rules.yml", "app.test.yml"} {
		text := recorded.ReplaceAllString(read(t, "deploy", "prometheus", file), "")
		for _, name := range metricForm.FindAllString(text, -1) {
			name = strings.TrimSuffix(name, "_bucket")
			if !slices.Contains(known, name) {
				t.Errorf("%s asks about %s, which nobody tells", file, name)
			}
		}
	}
}
