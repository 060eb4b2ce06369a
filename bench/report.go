package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

type machine struct {
	CPUs     int               `json:"cpus"`
	Platform string            `json:"platform"`
	Go       string            `json:"go"`
	Kafka    string            `json:"kafka"`
	MariaDB  string            `json:"mariadb"`
	Clients  map[string]string `json:"clients"`

	// Processes that ran or waited, a minute's mean; the first number tells what else the machine had to do.
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

func newMachine() machine {
	m := machine{
		CPUs: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Clients: map[string]string{}, LoadBefore: load(),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/IBM/sarama", "github.com/twmb/franz-go", "github.com/go-sql-driver/mysql":
			m.Clients[d.Path] = d.Version
		}
	}
	return m
}

// load is 0 where the system does not tell.
func load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

// rssUnit is what the system counts a process' memory in.
func rssUnit() int64 {
	if runtime.GOOS == "darwin" {
		return 1
	}
	return 1024
}

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
	Machine machine              `json:"machine"`
	Rounds  int                  `json:"rounds"`
	Parts   int                  `json:"partitions"`
	Arms    map[string]armReport `json:"arms"`
	Ratios  map[string]ratio     `json:"ratios"`
}

// armReport has the rate from the first records that were seen committed to the last, then that of the process' whole life
// (start, joining the group, leaving it), then what the arm says itself.
type armReport struct {
	Records int64 `json:"records"` // of a round: the fewest
	spread
	Process     spread  `json:"process"`
	Reported    *spread `json:"reported,omitempty"`
	CPUSeconds  spread  `json:"cpu_seconds"`
	CPUMicros   spread  `json:"cpu_microseconds_a_record"`
	MaxRSSBytes int64   `json:"max_rss_bytes"`
}

// ratio compares rates of the same round, and the rates of the whole processes.
type ratio struct {
	spread
	Process spread `json:"process"`
}

func (s *stage) report(results map[string][]outcome) report {
	s.machine.LoadAfter = load()
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
					spread:  spreadOf(2, ratios(column(a, rate), column(b, rate))),
					Process: spreadOf(2, ratios(column(a, wall), column(b, wall))),
				}
			}
		}
	}
	return r
}

func newArmReport(runs []outcome) armReport {
	a := armReport{
		Records: runs[0].records, spread: spreadOf(0, column(runs, rate)), Process: spreadOf(0, column(runs, wall)),
		CPUSeconds: spreadOf(3, column(runs, func(o outcome) float64 { return o.cpu.Seconds() })),
		CPUMicros:  spreadOf(2, column(runs, func(o outcome) float64 { return o.cpu.Seconds() * 1e6 / float64(o.records) })),
	}
	for _, o := range runs {
		a.Records = min(a.Records, o.records)
		a.MaxRSSBytes = max(a.MaxRSSBytes, o.rss)
	}
	if told := column(runs, func(o outcome) float64 { return o.reported }); slices.Min(told) > 0 {
		s := spreadOf(0, told)
		a.Reported = &s
	}
	return a
}

func rate(o outcome) float64 { return o.rate }
func wall(o outcome) float64 { return o.wall }

func column(runs []outcome, of func(outcome) float64) []float64 {
	values := make([]float64, len(runs))
	for i, o := range runs {
		values[i] = of(o)
	}
	return values
}

// write prints the report, to a file as well if one is named. The ratios are told on standard error, too.
func (r report) write(out io.Writer, file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	_, err = out.Write(text)
	if file != "" {
		err = errors.Join(err, os.WriteFile(file, text, 0o600))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		x := r.Ratios[name]
		progressf("%-36s %6.2f (%.2f to %.2f)", name, x.Median, x.Min, x.Max)
	}
	return err
}
