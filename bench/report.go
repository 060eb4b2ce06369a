package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice/bench/internal/measure"
)

// results are the runs of each arm, by its name, on each database.
type results map[*home]map[string][]outcome

// rounds runs each arm in turn, several times; every round begins with another arm, so that none always follows the same.
func (s *stage) rounds(ctx context.Context) (results, error) {
	all := results{}
	for _, h := range s.homes {
		// The broker compiles its code while it works; what comes first must not pay for the others.
		progressf("%s: warming up, not counted", h.name)
		for _, a := range arms() {
			if a.name == armHand {
				if _, err := s.once(ctx, h, a); err != nil {
					return nil, fmt.Errorf("warm-up: %w", err)
				}
			}
		}
		all[h] = map[string][]outcome{}
	}
	for round := range s.options.rounds {
		for _, h := range s.homes {
			if err := s.round(ctx, h, round, all[h]); err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", h.name, round+1, err)
			}
		}
	}
	return all, nil
}

func (s *stage) round(ctx context.Context, h *home, round int, into map[string][]outcome) error {
	var chosen []arm
	for _, a := range arms() {
		if a.knows(h) && (s.only == nil || slices.Contains(s.only, a.name)) {
			chosen = append(chosen, a)
		}
	}
	for i := range chosen {
		a := chosen[(i+round)%len(chosen)]
		o, err := s.once(ctx, h, a)
		if errors.Is(err, errLeftOut) {
			progressf("round %d/%d: %-8s %-20s %v", round+1, s.options.rounds, h.name, a.name, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("arm %s: %w", a.name, err)
		}
		progressf("round %d/%d: %-8s %-20s %8.0f records/s, %8.0f over the process' life, %5.2f s of CPU, %4d MB",
			round+1, s.options.rounds, h.name, a.name, o.rate, o.wall, o.cpu.Seconds(), o.rss>>20)
		into[a.name] = append(into[a.name], o)
	}
	return nil
}

// report is what is printed. Rates are records a second.
type report struct {
	At        time.Time                 `json:"at"`
	Machine   measure.Machine           `json:"machine"`
	Rounds    int                       `json:"rounds"`
	Parts     int                       `json:"partitions"`
	Databases map[string]databaseReport `json:"databases"`
}

type databaseReport struct {
	Version string               `json:"version"`
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

func (s *stage) report(all results) report {
	s.machine.LoadAfter = measure.Load()
	r := report{
		At: time.Now().UTC().Truncate(time.Second), Machine: s.machine, Rounds: s.options.rounds, Parts: s.partitions,
		Databases: map[string]databaseReport{},
	}
	for h, arms := range all {
		r.Databases[h.name] = newDatabaseReport(h.is, arms)
	}
	return r
}

func newDatabaseReport(version string, all map[string][]outcome) databaseReport {
	r := databaseReport{Version: version, Arms: map[string]armReport{}, Ratios: map[string]ratio{}}
	for name, runs := range all {
		r.Arms[name] = newArmReport(runs)
	}
	for _, ours := range []string{armSluice, armUpsert} {
		for _, peer := range []string{armGuide, armDebezium, armTuned, armHand, armParallel} {
			a, b := all[ours], all[peer]
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
	for _, d := range slices.Sorted(maps.Keys(r.Databases)) {
		for _, name := range slices.Sorted(maps.Keys(r.Databases[d].Ratios)) {
			x := r.Databases[d].Ratios[name]
			progressf("%-8s %-36s %6.2f (%.2f to %.2f)", d, name, x.Median, x.Min, x.Max)
		}
	}
	return err
}
