package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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
	Records int          `json:"records"` // acknowledged
	Jobs    []*outcome   `json:"jobs"`
	Faults  []fault      `json:"faults"`
	Behind  []string     `json:"behind"` // jobs that did not get to lag 0
	Late    []string     `json:"late"`   // members that did not end when they were asked to
	Ended   []unexpected `json:"ended"`  // members that ended by themselves
	Samples []sample     `json:"samples"`
}

const caughtUpWithin = 30 * time.Second

// finish says the verdict and writes the report into a folder.
func (r *report) finish(folder string) error {
	var wrong []string
	slowest := 0.0
	var lost, phantom, disorder, duplicates, allowed int
	for _, o := range r.Jobs {
		lost += o.Lost + o.NeverRun
		phantom += o.Phantom
		disorder += o.OutOfOrder
		duplicates += o.Duplicates
		allowed += o.Allowed
		slowest = max(slowest, o.CaughtUp)
		if o.wrong() > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d never run, %d lost, %d phantom, %d out of order, %d duplicates that nothing excuses",
				o.Job.Name, o.NeverRun, o.Lost, o.Phantom, o.OutOfOrder, o.Unexcused))
		}
		if o.CaughtUp > caughtUpWithin.Seconds() {
			wrong = append(wrong, fmt.Sprintf("%s: lag 0 after %.1f s", o.Job.Name, o.CaughtUp))
		}
	}
	wrong = append(wrong, r.Behind...)
	for _, name := range r.Late {
		wrong = append(wrong, name+" did not end when it was asked to")
	}
	for _, u := range r.Ended {
		wrong = append(wrong, u.Member+" ended by itself")
	}
	r.Held = len(wrong) == 0
	text := fmt.Sprintf("seed %d: %d faults, %d records, %d jobs: %d lost, %d phantom, %d out of order, %d duplicates of %d allowed, "+
		"lag 0 after %.1f s", r.Seed, len(r.Faults), r.Records, len(r.Jobs), lost, phantom, disorder, duplicates, allowed, slowest)
	if r.Held {
		r.Verdict = "HELD: " + text
	} else {
		r.Verdict = "BROKEN: " + text + "; " + strings.Join(wrong, "; ")
	}
	file, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "report.json"), append(file, '\n'), 0o600)
}
