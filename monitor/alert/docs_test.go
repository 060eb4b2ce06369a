package alert

import (
	"os"
	"strings"
	"testing"
)

// Each rule that is built in has its entry on the page that its alerts point to.
func TestEachRuleIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(builtIn) < 15 {
		t.Fatalf("%d rules: %v", len(builtIn), builtIn)
	}
	for _, r := range append(Rules(), monitorStuck, ruleFailed) {
		_, entry, found := strings.Cut(string(page), "\n### "+r.Name+"\n*"+r.withDefaults().Severity)
		if entry, _, _ = strings.Cut(entry, "\n### "); !found || len(entry) < 80 || r.Action == "" {
			t.Errorf("%s: no entry with its severity, or no action", r.Name)
		}
		if r.For != 0 && !strings.Contains(entry, "after ") {
			t.Errorf("%s: its entry does not say when it fires", r.Name)
		}
	}
}
