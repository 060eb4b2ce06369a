// Package settings holds docs/configuration.md, and so the table that it is written from, to the properties of the real
// Kafka's consumers and producers.
package settings

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// property is one of Kafka's, or a row of the page.
type property struct{ kind, fallback, here string }

func TestEveryPropertyOfKafkaIsInTheTable(t *testing.T) {
	kafka, ours := kafkaProperties(t), page(t)
	for name, k := range kafka {
		row, ok := ours[name]
		switch {
		case !ok:
			t.Errorf("%s (%s, default %q) is not in the table", name, k.kind, k.fallback)
		case !slices.Contains(kinds[k.kind], row.kind):
			t.Errorf("%s is a %s of Kafka's, but %q in the table", name, k.kind, row.kind)
		case !strings.EqualFold(short(k.fallback), short(row.fallback)):
			t.Errorf("%s: Kafka's default is %q, not %q", name, k.fallback, row.fallback)
		}
	}
	for name, row := range ours {
		if _, ok := kafka[name]; !ok && !strings.Contains(row.here, "librdkafka's name") {
			t.Errorf("%s is no property of Kafka's", name)
		}
	}
	if len(kafka) < 130 {
		t.Errorf("Kafka has only %d properties", len(kafka))
	}
}

// kinds are the table's types for Kafka's.
var kinds = map[string][]string{
	"BOOLEAN": {"true or false"}, "CLASS": {"class"}, "LIST": {"list"}, "PASSWORD": {"secret"}, "STRING": {"text"},
	"INT": {"ms", "s", "bytes", "number"}, "LONG": {"ms", "bytes", "number"}, "SHORT": {"s"}, "DOUBLE": {"number"},
}

// short is a default without what only Java has to say of it.
func short(text string) string {
	text = strings.NewReplacer("[", "", "]", "", "class ", "", " ", "").Replace(text)
	switch text {
	case "null", "<required>", "none,":
		return ""
	}
	words := strings.Split(text, ",")
	for i, w := range words {
		if at := strings.LastIndex(w, "."); at >= 0 && strings.HasPrefix(w, "org.apache.") {
			words[i] = w[at+1:]
		}
	}
	return strings.Join(words, ",")
}

// kafkaProperties asks the real Kafka's own classes.
func kafkaProperties(t *testing.T) map[string]property {
	t.Helper()
	libs := filepath.Join("..", "..", ".cache", "kafka", "libs")
	java, err := exec.LookPath("java")
	if jars, _ := filepath.Glob(filepath.Join(libs, "kafka-clients-*.jar")); err != nil || len(jars) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("Java or Kafka's jars in %s are missing: make servers", libs)
		}
		t.Skip("Java or Kafka's jars are missing: make servers")
	}
	command := exec.CommandContext(t.Context(), java, "-cp", filepath.Join(libs, "*"), "testdata/Properties.java")
	command.Stderr = t.Output()
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]property)
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 {
			t.Fatalf("%q", line)
		}
		if old, ok := all[f[0]]; ok && old.fallback != f[2] {
			f[2] = old.fallback + ", producers " + f[2]
		}
		all[f[0]] = property{kind: f[1], fallback: f[2]}
	}
	return all
}

// page reads the tables of docs/configuration.md.
func page(t *testing.T) map[string]property {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]property)
	tables, _, _ := strings.Cut(string(text), "## Numbers that Kafka has no property for")
	for line := range strings.Lines(tables) {
		cells := strings.Split(line, " | ")
		if name, ok := strings.CutPrefix(cells[0], "| `"); ok && len(cells) == 4 {
			fallback := strings.Trim(cells[2], "`")
			if cells[2] == "none" {
				fallback = ""
			}
			all[strings.TrimSuffix(name, "`")] = property{cells[1], fallback, cells[3]}
		}
	}
	return all
}
