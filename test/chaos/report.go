package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report is a run, as report.json has it.
type report struct {
	Seed    uint64       `json:"seed"`
	Seconds float64      `json:"seconds"` // in which faults were made
	Began   time.Time    `json:"began"`
	Held    bool         `json:"held"`
	Verdict string       `json:"verdict"`
	Wrong   []string     `json:"wrong"`   // why it did not hold
	Records int          `json:"records"` // acknowledged
	Aborted int          `json:"aborted"` // transactions beside them
	Jobs    []*outcome   `json:"jobs"`
	Faults  []fault      `json:"faults"`
	Behind  []string     `json:"behind"` // jobs that did not get to lag 0
	Late    []string     `json:"late"`   // members that did not end when they were asked to
	Ended   []unexpected `json:"ended"`  // members that ended by themselves
	Samples []sample     `json:"samples"`
}

const (
	caughtUpWithin = 30 * time.Second
	longRun        = 5 * time.Minute // in which every control job must come out dirty; in a shorter one luck may spare some, not all
)

// finish says the verdict and writes the report into a folder.
func (r *report) finish(folder string) error {
	r.judge()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "report.json"), append(text, '\n'), 0o600); err != nil {
		return err
	}
	return r.draw(filepath.Join(folder, "timeline.html"))
}

// judge says what did not hold, and the verdict, one line.
func (r *report) judge() {
	var sum outcome // of the jobs that have to be clean
	var allowed, once, clean, controls int
	var spared []string // control jobs that came out clean
	for _, o := range r.Jobs {
		if o.Job.Control {
			controls++
			if o.wrong() == 0 {
				spared = append(spared, o.Job.Name)
			}
			continue
		}
		clean++
		sum.Lost += o.Lost + o.NeverRun
		sum.Phantom += o.Phantom
		sum.OutOfOrder += o.OutOfOrder
		sum.Aborted += o.Aborted
		sum.CaughtUp = max(sum.CaughtUp, o.CaughtUp)
		if o.Job.atLeastOnce() {
			sum.Duplicates += o.Duplicates
			allowed += o.Allowed
		} else {
			once += o.Duplicates
		}
		if o.wrong() > 0 {
			r.wrongf("%s: %d never run, %d lost, %d phantom, %d out of order, %d aborted reads, %d duplicates that nothing excuses",
				o.Job.Name, o.NeverRun, o.Lost, o.Phantom, o.OutOfOrder, o.Aborted, o.Unexcused)
		}
		if o.CaughtUp > caughtUpWithin.Seconds() {
			r.wrongf("%s: lag 0 only after %.1f s", o.Job.Name, o.CaughtUp)
		}
	}
	if len(spared) > 0 && (len(spared) == controls || r.Seconds >= longRun.Seconds()) {
		r.wrongf("%s came out clean, and must not: the faults or the checker are worth nothing", strings.Join(spared, " and "))
	}
	r.Wrong = append(r.Wrong, r.Behind...)
	for _, name := range r.Late {
		r.wrongf("%s did not end when it was asked to", name)
	}
	for _, u := range r.Ended {
		if !slices.ContainsFunc(r.Jobs, func(o *outcome) bool { return o.Job.Control && o.Job.Name == u.Job }) {
			r.wrongf("%s ended by itself", u.Member)
		}
	}
	r.Held = len(r.Wrong) == 0
	r.Verdict = fmt.Sprintf("seed %d: %d faults, %d records, %d jobs: %d lost, %d phantom, %d out of order, %d aborted reads; exactly once: "+
		"%d duplicates; at least once: %d duplicates, %d allowed; lag 0 after %.1f s; %d of %d control jobs dirty", r.Seed, len(r.Faults), r.Records, clean,
		sum.Lost, sum.Phantom, sum.OutOfOrder, sum.Aborted, once, sum.Duplicates, allowed, sum.CaughtUp, controls-len(spared), controls)
	if r.Held {
		r.Verdict = "HELD: " + r.Verdict
	} else {
		r.Verdict = "BROKEN: " + r.Verdict + ": " + strings.Join(r.Wrong, "; ")
	}
}

func (r *report) wrongf(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}
