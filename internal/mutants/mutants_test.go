//go:build mutants

package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	runs       = 3                // a mutant; one is enough to catch it
	runTimeout = 90 * time.Second // of one test
	atOnce     = 2                // mutants that are built and run at the same time
	minimum    = 2                // mutants of each invariant in covered
)

// covered are the invariants that must have mutants.
var covered = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

// mutant is one patch.
type mutant struct {
	name      string
	patch     string // its path
	invariant int
	packages  []string // whose tests must catch it, the one of first before the others
	first     string   // the test that is run first, as it is known to catch it; "" for the quickest
	seeds     int      // of the simulation that must catch it; 0 it need not
	files     []string // that it changes, from the root
}

// catch says what caught a mutant: a test, and the simulation.
type catch struct{ test, seed string }

var (
	nameForm  = regexp.MustCompile(`^(\d+)-[a-z0-9-]+\.patch$`)
	seedsForm = regexp.MustCompile(`(?m)^Sim: caught within (\d+) seeds$`)
	whereForm = regexp.MustCompile(`(?m)^Must fail: invariant (\d+) in (.+)$`)
	firstForm = regexp.MustCompile(`(?m)^First: (TestInvariant\d+\w+) in (\S+)$`)
	fileForm  = regexp.MustCompile(`(?m)^\+\+\+ b/(\S+)`)
)

func TestMutants(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	mutants := load(t)
	var mu sync.Mutex
	caught := make(map[string]catch)

	took := make(map[string]time.Duration) // by test, without any mutant
	t.Run("unpatched", func(t *testing.T) {
		for _, pkg := range packages(mutants) {
			t.Run(pkg, func(t *testing.T) {
				t.Parallel()
				b := build(t, root, pkg, overlay(t, pruned(t, filepath.Join(root, pkg), regexp.MustCompile(`^TestInvariant`))))
				tests := b.tests(t, `^TestInvariant`)
				if len(tests) == 0 {
					t.Errorf("%s has no test of an invariant", pkg)
				}
				for _, test := range tests {
					begun := time.Now()
					if out, err := b.run(t, test); err != nil {
						t.Errorf("%s: %s fails without any mutant: %v\n%s", pkg, test, err, tail(out))
					}
					mu.Lock()
					took[test] = time.Since(begun)
					mu.Unlock()
				}
			})
		}
		t.Run(simPackage, func(t *testing.T) {
			t.Parallel()
			unbroken(t, root, mutants)
		})
	})
	if t.Failed() {
		return
	}
	t.Run("mutant", func(t *testing.T) {
		slots := make(chan struct{}, atOnce)
		for _, m := range mutants {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				slots <- struct{}{}
				defer func() { <-slots }()
				overlay := overlay(t, m.replaced(t, root))
				by := catch{test: m.try(t, root, overlay, took)}
				if m.seeds > 0 {
					by.seed = m.simulate(t, root, overlay)
				}
				mu.Lock()
				defer mu.Unlock()
				caught[m.name] = by
			})
		}
	})
	report(t, mutants, caught)
}

// load reads the patches.
func load(t *testing.T) []mutant {
	t.Helper()
	paths, err := filepath.Glob("*.patch")
	if err != nil {
		t.Fatal(err)
	}
	var all []mutant
	simulated := 0
	count := make(map[int]int)
	for _, path := range paths {
		m, err := read(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		count[m.invariant]++
		simulated += min(1, m.seeds)
		all = append(all, m)
	}
	for _, n := range covered {
		if count[n] < minimum {
			t.Errorf("invariant %d has %d mutants, want at least %d", n, count[n], minimum)
		}
	}
	if simulated < simMinimum {
		t.Errorf("the simulation must catch %d mutants, want at least %d", simulated, simMinimum)
	}
	if t.Failed() {
		t.FailNow()
	}
	slices.SortFunc(all, func(a, b mutant) int {
		if a.invariant != b.invariant {
			return a.invariant - b.invariant
		}
		return strings.Compare(a.name, b.name)
	})
	return all
}

func read(path string) (mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return mutant{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return mutant{}, err
	}
	m := mutant{name: strings.TrimSuffix(path, ".patch"), patch: abs}
	name := nameForm.FindStringSubmatch(path)
	header, _, found := strings.Cut(string(text), "\n--- a/")
	where := whereForm.FindStringSubmatch(header)
	if name == nil || where == nil || !found {
		return mutant{}, errors.New("want a name <invariant>-<what>.patch, a line 'Must fail: invariant <invariant> in <packages>', then the diff")
	}
	if name[1] != where[1] {
		return mutant{}, fmt.Errorf("the name says invariant %s, the text invariant %s", name[1], where[1])
	}
	if m.invariant, err = strconv.Atoi(name[1]); err != nil {
		return mutant{}, err
	}
	m.packages = strings.Fields(where[2])
	if first := firstForm.FindStringSubmatch(header); first != nil {
		i := slices.Index(m.packages, first[2])
		if i < 0 {
			return mutant{}, fmt.Errorf("%s is in %s, where nothing must fail", first[1], first[2])
		}
		m.first = first[1]
		m.packages = slices.Insert(slices.Delete(m.packages, i, i+1), 0, first[2])
	}
	if seeds := seedsForm.FindStringSubmatch(header); seeds != nil {
		if m.seeds, err = strconv.Atoi(seeds[1]); err != nil {
			return mutant{}, err
		}
	}
	for _, f := range fileForm.FindAllStringSubmatch(string(text), -1) {
		if strings.HasSuffix(f[1], "_test.go") || !strings.HasSuffix(f[1], ".go") {
			return mutant{}, fmt.Errorf("it changes %s: a mutant breaks the code, not its tests", f[1])
		}
		m.files = append(m.files, f[1])
	}
	return m, nil
}

func packages(mutants []mutant) []string {
	var all []string
	for _, m := range mutants {
		all = append(all, m.packages...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// try runs the tests over a mutant, the one that is known to catch it first, then the quick ones, and returns the one that caught it.
// A package is built when its turn comes: most mutants need one.
func (m mutant) try(t *testing.T, root, overlay string, took map[string]time.Duration) string {
	t.Helper()
	said := fmt.Sprintf("invariant %d:", m.invariant)
	message := regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: .*\b` + said)
	binaries := make([]binary, len(m.packages))
	seen := make(map[string]string) // what else failed, by test
	for n := range runs {
		for i, b := range binaries {
			if b.path == "" {
				b = build(t, root, m.packages[i], overlay)
				binaries[i] = b
			}
			for _, test := range m.order(t, b, i == 0, took) {
				out, err := b.run(t, test)
				switch {
				case err == nil:
				case message.MatchString(out):
					if n > 0 {
						test += fmt.Sprintf(" (in run %d)", n+1)
					}
					return test
				default:
					seen[test] = fmt.Sprintf("%s: %v\n%s", test, err, tail(out))
				}
			}
		}
	}
	t.Errorf("SURVIVED: no test failed and said %q\n%s", said, strings.Join(slices.Sorted(maps.Values(seen)), "\n"))
	return ""
}

// order lists the tests of the mutant's invariant in the order in which they run.
func (m mutant) order(t *testing.T, b binary, inFirst bool, took map[string]time.Duration) []string {
	t.Helper()
	tests := b.tests(t, m.tests())
	slices.SortStableFunc(tests, func(a, b string) int { return cmp.Compare(took[a], took[b]) })
	if m.first == "" || !inFirst {
		return tests
	}
	i := slices.Index(tests, m.first)
	if i < 0 {
		t.Fatalf("the patch says that %s runs first, and %s has no such test", m.first, m.packages[0])
	}
	return slices.Insert(slices.Delete(tests, i, i+1), 0, m.first)
}

// tests is the form of the names of the tests that may catch it.
func (m mutant) tests() string { return fmt.Sprintf(`^TestInvariant%d[^0-9]`, m.invariant) }

// replaced are the files that are others in the mutant: those that the patch changes, and those of its tests.
func (m mutant) replaced(t *testing.T, root string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, pkg := range m.packages {
		maps.Copy(all, pruned(t, filepath.Join(root, pkg), regexp.MustCompile(m.tests())))
	}
	dir := t.TempDir()
	for _, f := range m.files {
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatalf("the patch is out of date: %v", err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "patch", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "-p1", "-d", dir, "-i", m.patch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the patch does not apply any more; bring it up to date with the code: %v\n%s", err, out)
	}
	for _, f := range m.files {
		before, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(before, after) {
			t.Fatalf("the patch changes nothing in %s", f)
		}
		all[filepath.Join(root, f)] = after
	}
	return all
}

// overlay writes files that stand for others, and returns a file for -overlay. Its paths are absolute: others may do nothing without a
// word.
func overlay(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	replace := make(map[string]string)
	for path, text := range files {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[path], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// binary is a package's test binary.
type binary struct{ path, dir string }

// quick has the compiler do without what no test needs: builds are most of the time.
const quick = "-gcflags=github.com/sluice-go/sluice/...=-dwarf=false -l"

// build builds a package's test binary, over an overlay unless that is "".
func build(t *testing.T, root, pkg, overlay string) binary {
	t.Helper()
	b := binary{path: filepath.Join(t.TempDir(), "tests"), dir: filepath.Join(root, pkg)}
	args := []string{"test", "-c", "-tags", "synctests", "-vet=off", "-ldflags=-w", quick, "-o", b.path}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, pkg)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	spend("builds", cmd)
	if err != nil {
		t.Fatalf("%s does not build: %v\n%s", pkg, err, out)
	}
	if _, err := os.Stat(b.path); err != nil {
		t.Fatalf("%s has no tests: %v", pkg, err)
	}
	return b
}

// tests lists tests.
func (b binary) tests(t *testing.T, pattern string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.path, "-test.list", pattern)
	cmd.Dir = b.dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the tests: %v", err)
	}
	return strings.Fields(string(out))
}

// run runs one test in a process of its own, as a mutant may end in a panic, and returns what it prints while it runs.
func (b binary) run(t *testing.T, test string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.path, "-test.run", "^"+test+"$", "-test.count=1", "-test.v")
	cmd.Dir = b.dir
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	spend("tests", cmd)
	if ctx.Err() != nil {
		return "", fmt.Errorf("it took longer than %v: %w", runTimeout, err)
	}
	return string(out), err
}

// spent is the processor time of what was started, by what it was.
var spent = struct {
	mu sync.Mutex
	by map[string]time.Duration
}{by: make(map[string]time.Duration)}

func spend(on string, cmd *exec.Cmd) {
	spent.mu.Lock()
	defer spent.mu.Unlock()
	if s := cmd.ProcessState; s != nil {
		spent.by[on] += s.UserTime() + s.SystemTime()
	}
}

// tail is the beginning and the end of an output.
func tail(out string) string {
	const most = 1500
	if out = strings.TrimSpace(out); len(out) > 2*most {
		out = out[:most] + "\n…\n" + out[len(out)-most:]
	}
	return "    " + strings.ReplaceAll(out, "\n", "\n    ")
}

// report prints the table.
func report(t *testing.T, mutants []mutant, caught map[string]catch) {
	t.Helper()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "invariant\tmutant\tcaught by\tand by the simulation")
	for _, m := range mutants {
		by := caught[m.name]
		if by.test == "" {
			by.test = "SURVIVED, or could not be built"
		}
		if m.seeds > 0 && by.seed == "" {
			by.seed = "SURVIVED"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", m.invariant, m.name, by.test, by.seed)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(os.Stdout)
	if _, err := io.WriteString(os.Stdout, table.String()); err != nil {
		t.Fatal(err)
	}
	for _, on := range slices.Sorted(maps.Keys(spent.by)) {
		fmt.Fprintf(os.Stdout, "%s: %v of processor time\n", on, spent.by[on].Round(time.Second))
	}
}
