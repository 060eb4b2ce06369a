package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice/bench/internal/measure"
)

// rounds runs each arm in turn, several times; every round begins with another arm, so that none always follows the same.
func (s *stage) rounds(ctx context.Context) (map[string][]outcome, error) {
	var chosen []arm
	for _, a := range arms() {
		if s.only == nil || slices.Contains(s.only, a.name) {
			chosen = append(chosen, a)
		}
	}
	// The broker compiles its code while it works; what comes first must not pay for the others.
	progressf("warming up, not counted")
	for _, a := range arms() {
		if a.name == armParallel {
			if _, err := s.once(ctx, a); err != nil {
				return nil, fmt.Errorf("warm-up: %w", err)
			}
		}
	}
	results := map[string][]outcome{}
	for round := range s.options.rounds {
		for i := range chosen {
			a := chosen[(i+round)%len(chosen)]
			o, err := s.once(ctx, a)
			if err != nil {
				return nil, fmt.Errorf("arm %s, round %d: %w", a.name, round+1, err)
			}
			progressf("round %d/%d: %-20s %8.0f records/s, %8.0f over the process' life, %5.2f s of CPU, %4d MB",
				round+1, s.options.rounds, a.name, o.rate, o.wall, o.cpu.Seconds(), o.rss>>20)
			results[a.name] = append(results[a.name], o)
		}
	}
	return results, nil
}

// report is what is printed. Rates are records a second.
type report struct {
	At      time.Time            `json:"at"`
	Machine measure.Machine      `json:"machine"`
	Rounds  int                  `json:"rounds"`
	Parts   int                  `json:"partitions"`
	Arms    map[string]armReport `json:"arms"`
	Ratios  map[string]ratio     `json:"ratios"`
}

// armReport has the rate from the first records that were seen committed to the last, then that of the process' whole life
// (start, joining the group, leaving it), then what the arm says itself.
type armReport struct {
	Records int64 `json:"records"` // of a round: the fewest
	measure.Spread
	Process     measure.Spread  `json:"process"`
	Reported    *measure.Spread `json:"reported,omitempty"`
	CPUSeconds  measure.Spread  `json:"cpu_seconds"`
	CPUMicros   measure.Spread  `json:"cpu_microseconds_a_record"`
	MaxRSSBytes int64           `json:"max_rss_bytes"`
}

// ratio compares rates of the same round, and the rates of the whole processes.
type ratio struct {
	measure.Spread
	Process measure.Spread `json:"process"`
}

func (s *stage) report(results map[string][]outcome) report {
	s.machine.LoadAfter = measure.Load()
	r := report{
		At: time.Now().UTC().Truncate(time.Second), Machine: s.machine, Rounds: s.options.rounds, Parts: s.partitions,
		Arms: map[string]armReport{}, Ratios: map[string]ratio{},
	}
	for name, runs := range results {
		r.Arms[name] = newArmReport(runs)
	}
	for _, ours := range []string{armSluice, armUpsert} {
		for _, peer := range []string{armGuide, armHand, armParallel} {
			a, b := results[ours], results[peer]
			if len(a) > 0 && len(b) > 0 {
				r.Ratios[ours+"/"+peer] = ratio{
					Spread:  measure.Ratio(2, a, b, rate),
					Process: measure.Ratio(2, a, b, wall),
				}
			}
		}
	}
	return r
}

func newArmReport(runs []outcome) armReport {
	a := armReport{
		Records: runs[0].records, Spread: measure.Of(0, runs, rate), Process: measure.Of(0, runs, wall),
		CPUSeconds: measure.Of(3, runs, func(o outcome) float64 { return o.cpu.Seconds() }),
		CPUMicros:  measure.Of(2, runs, func(o outcome) float64 { return o.cpu.Seconds() * 1e6 / float64(o.records) }),
	}
	for _, o := range runs {
		a.Records = min(a.Records, o.records)
		a.MaxRSSBytes = max(a.MaxRSSBytes, o.rss)
	}
	if told := measure.Of(0, runs, func(o outcome) float64 { return o.reported }); told.Min > 0 {
		a.Reported = &told
	}
	return a
}

func rate(o outcome) float64 { return o.rate }
func wall(o outcome) float64 { return o.wall }

// write prints the report, to a file as well if one is named. The ratios are told on standard error, too.
func (r report) write(out io.Writer, file string) error {
	err := measure.Write(out, file, r)
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		x := r.Ratios[name]
		progressf("%-36s %6.2f (%.2f to %.2f)", name, x.Median, x.Min, x.Max)
	}
	return err
}
