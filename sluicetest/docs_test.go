package sluicetest_test

import (
	"os"
	"strings"
	"testing"
)

// The code of docs/testing.md is code that runs.
func TestTheDocsShowCodeThatRuns(t *testing.T) {
	page, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) < 4 {
		t.Errorf("%d blocks of code: where is the rest?", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(string(code), block) {
			t.Errorf("example_test.go does not have this block of docs/testing.md:\n%s", block)
		}
	}
}
