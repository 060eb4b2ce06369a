package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-go/sluice/test/servers"
)

// A short run: about 30 faults over one job of each kind and two control jobs. `make chaos SEED=… DURATION=…` runs any other.
func TestChaos(t *testing.T) {
	out := t.TempDir()
	if keep := os.Getenv("CHAOS_OUT"); keep != "" {
		out = keep
	}
	program := filepath.Join(t.TempDir(), "chaos")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, said)
	}
	cmd := exec.CommandContext(t.Context(), program, "-seed", "42", "-duration", "75s", "-o", out,
		"-jobs", "partition-classic,key-consumer,mariadb-consumer,postgres-classic,sqlite-classic,kafka-classic,kafka-consumer,guide-third,unfenced")
	cmd.Stderr = t.Output()
	printed, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(printed)), "\n")
	verdict := lines[len(lines)-1]
	t.Log(verdict)
	if err != nil || !strings.HasPrefix(verdict, "HELD: ") {
		t.Errorf("%v", err)
	}
	for _, file := range []string{"report.json", "timeline.html"} {
		if info, err := os.Stat(filepath.Join(out, file)); err != nil || info.Size() < 10_000 {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// The control job without a fence can be built: its patch is of the sink as it is now.
func TestTheFenceCanBeTakenOut(t *testing.T) {
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := unfence(t.Context(), root, t.TempDir())
	if err == nil {
		err = inTest(t.Context(), root, "go", "build", "-overlay", overlay, "github.com/sluice-go/sluice/sqlsink")
	}
	if err != nil {
		t.Error(err)
	}
}

// What cannot be run says so, and exits with 2.
func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{{"-jobs", "nope"}, {"-duration", "1s"}, {"-rate", "0"}, {"-nope"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}
