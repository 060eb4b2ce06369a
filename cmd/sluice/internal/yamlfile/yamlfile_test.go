package yamlfile

import "testing"

func testEnv(name string) (string, bool) {
	if name == "DB_PASSWORD" {
		return "p@ss/w:rd#1?", true
	}
	return "", false
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "$$": "$", "a$b": "a$b", "${DB_PASSWORD}": "p@ss/w:rd#1?", "$${DB_PASSWORD}": "${DB_PASSWORD}", "5$": "5$",
	} {
		if got, err := Expand(in, testEnv); err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"${", "${}", "${A B}", "${UNSET}"} {
		if got, err := Expand(in, testEnv); err == nil {
			t.Errorf("Expand(%q) = %q, want an error", in, got)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"topics", "group", "ordering", "start"}
	for in, want := range map[string]string{"topcis": "topics", "gruop": "group", "order": "", "Start": "start", "xyz": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
