package sim

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	seeds = flag.Int("seeds", 25, "how many seeds to run, from -first on")
	first = flag.Uint64("first", 0, "the first seed")
	seed  = flag.Int64("seed", -1, "run this seed alone, and show what happens")
	stop  = flag.Bool("stop", false, "stop at the first seed that breaks a rule")
)

// report is the sum of many worlds.
type report struct {
	Seeds        int            `json:"seeds"`
	VirtualHours float64        `json:"virtual_hours"`
	Records      int            `json:"records"`
	Copies       int            `json:"copies"` // of records, those in retry topics
	Calls        int            `json:"calls"`
	Answers      int            `json:"answers"` // of transactions, that readers of committed records see
	Commits      int            `json:"commits"`
	Processes    int            `json:"processes"`
	Duplicates   map[string]int `json:"duplicates"` // calls for records that were finished before, by what allowed them
	Faults       map[what]int   `json:"faults"`
	Took         string         `json:"took"`
}

func TestSim(t *testing.T) {
	if *seed >= 0 {
		out := run(t, newScenario(uint64(*seed)), &trace{live: os.Stdout})
		if out.failure != "" {
			t.Errorf("seed %d: %s", *seed, out.failure)
		}
		return
	}
	if *seeds < 1 {
		t.Fatalf("-seeds %d runs nothing; give 1 or more", *seeds)
	}
	began := time.Now()
	results := make(chan outcome, *seeds)
	var broken atomic.Bool
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) { // not t.Parallel, which takes the seeds in no order
		workers.Go(func() {
			for n := next.Add(1) - 1; n < int64(*seeds) && (!*stop || !broken.Load()); n = next.Add(1) - 1 {
				s := newScenario(*first + uint64(n))
				t.Run(strconv.FormatUint(s.seed, 10), func(t *testing.T) {
					out := watched(t, s)
					results <- out
					if out.failure != "" {
						broken.Store(true)
						t.Errorf("seed %d: %s", s.seed, out.failure)
					}
				})
			}
		})
	}
	workers.Wait()
	close(results)
	sum := report{Duplicates: make(map[string]int), Faults: make(map[what]int)}
	for out := range results {
		sum.add(out)
	}
	sum.Took = time.Since(began).Round(time.Millisecond).String()
	line, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "%s\n%s", line, sum.table())
}

// mostReal is what a world may take in real time. One that takes longer stands still: where somebody waits for a lock that is held
// over something that takes virtual time, none passes.
const mostReal = time.Minute

// watched runs a world. One that stands still cannot be ended: it takes the program with it.
func watched(t *testing.T, s *scenario) outcome {
	tr := &trace{broken: func(failure, last string) {
		// At once: a world that a broken engine cannot end takes the program with it.
		fmt.Fprintf(os.Stderr, "seed %d: %s\n%s\nrun it again: go test -tags synctests ./internal/sim -seed %d\n", s.seed, failure, last, s.seed)
	}}
	watchdog := time.AfterFunc(mostReal, func() {
		fmt.Fprintf(os.Stderr, "seed %d: liveness: it stands still, and a lock is held over what takes time\n%s\n", s.seed, tr.last())
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
		os.Exit(1)
	})
	defer watchdog.Stop()
	return run(t, s, tr)
}

func (r *report) add(out outcome) {
	r.Seeds++
	r.VirtualHours += out.virtual.Hours()
	r.Records += out.records
	r.Copies += out.copies
	r.Calls += out.calls
	r.Answers += out.answers
	r.Commits += out.commits
	r.Processes += out.processes
	for why, n := range out.duplicates {
		r.Duplicates[why] += n
	}
	for what, n := range out.faults {
		r.Faults[what] += n
	}
}

// table is the report for people.
func (r *report) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d worlds, %.1f virtual hours in %s: %d processes, %d records, %d of them copies in retry topics, %d calls, %d answers in transactions, %d commits\n",
		r.Seeds, r.VirtualHours, r.Took, r.Processes, r.Records, r.Copies, r.Calls, r.Answers, r.Commits)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\ttimes")
	for _, what := range slices.Sorted(maps.Keys(r.Faults)) {
		fmt.Fprintf(w, "%s\t%d\n", what, r.Faults[what])
	}
	fmt.Fprintln(w, "\ncalls for a finished record, allowed by\ttimes")
	for _, why := range slices.Sorted(maps.Keys(r.Duplicates)) {
		fmt.Fprintf(w, "%s\t%d\n", why, r.Duplicates[why])
	}
	_ = w.Flush() // into memory
	return out.String()
}
