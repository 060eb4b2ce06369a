package pipeline

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var fenced = regexp.MustCompile("(?s)\n```yaml\n(.*?\n)```\n")

// Every file and every part of one in docs/pipeline.md can be loaded. A part stands in place of the same fields of the file
// at the top.
func TestDocumentedFiles(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "pipeline.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := fenced.FindAllStringSubmatch(string(text), -1)
	if want := strings.Count(string(text), "```yaml"); len(blocks) != want || want < 4 {
		t.Fatalf("%d blocks of YAML, want %d, and at least 4", len(blocks), want)
	}
	for i, block := range blocks {
		file := map[string]any{}
		for _, part := range []string{blocks[0][1], block[1]} {
			fields := map[string]any{}
			if err := yaml.Load([]byte(part), &fields); err != nil {
				t.Fatalf("block %d: %v", i, err)
			}
			maps.Copy(file, fields)
		}
		whole, err := yaml.Dump(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("pipeline.md", whole, testEnv); err != nil {
			t.Errorf("block %d:\n%v\n%s", i, err, whole)
		}
	}
}
