//go:build mutants

package mutants

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

const (
	simPackage = "./internal/sim"
	simMinimum = 15              // mutants that the simulation must catch
	simSeeds   = 200             // that the unbroken code must pass here; make test has thousands
	simTimeout = 4 * time.Minute // of one mutant's seeds
)

// seedForm is what the simulation says when a seed breaks a rule.
var seedForm = regexp.MustCompile(`(?m)^seed (\d+): ((invariant \d+|duplicate|liveness|seek|pause|retry|static): .*)$`)

// unbroken runs the simulation without any mutant.
func unbroken(t *testing.T, root string, mutants []mutant) {
	t.Helper()
	for _, m := range mutants {
		if m.seeds > 0 {
			if out, err := runSeeds(t, build(t, root, simPackage, ""), simSeeds); err != nil {
				t.Errorf("the simulation fails without any mutant: %v\n%s", err, tail(out))
			}
			return
		}
	}
}

// simulate runs the simulation over a mutant and returns the seed that caught it.
func (m mutant) simulate(t *testing.T, root, overlay string) string {
	t.Helper()
	out, err := runSeeds(t, build(t, root, simPackage, overlay), m.seeds)
	found := seedForm.FindStringSubmatch(out)
	if err == nil || found == nil {
		t.Errorf("SURVIVED %d seeds of the simulation: %v\n%s", m.seeds, err, tail(out))
		return ""
	}
	rule, _, _ := bytes.Cut([]byte(found[2]), []byte(":"))
	return fmt.Sprintf("seed %s, %s", found[1], rule)
}

// runSeeds runs the simulation until a seed breaks a rule.
func runSeeds(t *testing.T, b binary, seeds int) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), simTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path, "-test.run=^TestSim$", "-test.count=1", "-seeds="+strconv.Itoa(seeds), "-stop")
	cmd.Dir = b.dir
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	spend("simulation", cmd)
	return string(out), err
}
