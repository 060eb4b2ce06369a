package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
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
		if d.Path == "github.com/IBM/sarama" || d.Path == "github.com/twmb/franz-go" {
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

// spread is how a number varies over the rounds.
type spread struct {
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

// spreadOf rounds to so many digits after the point. There is at least one value.
func spreadOf(digits int, values []float64) spread {
	scale := math.Pow10(digits)
	s := spread{Rounds: make([]float64, len(values))}
	for i, v := range values {
		s.Rounds[i] = math.Round(v*scale) / scale
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	s.Median = sorted[middle]
	if len(sorted)%2 == 0 {
		s.Median = (sorted[middle-1] + sorted[middle]) / 2
	}
	s.Median = math.Round(s.Median*scale) / scale
	s.Min, s.Max = slices.Min(s.Rounds), slices.Max(s.Rounds)
	return s
}

// report is what is printed. Rates are records a second.
type report struct {
	At      time.Time            `json:"at"`
	Machine machine              `json:"machine"`
	Records int64                `json:"records"`
	Bytes   int                  `json:"record_bytes"`
	Parts   int                  `json:"partitions"`
	Linger  string               `json:"linger"`
	Arms    map[string]armReport `json:"arms"`
	Ratios  map[string]ratio     `json:"ratios"`
}

type armReport struct {
	Rate      spread `json:"rate"`
	CPUMicros spread `json:"cpu_microseconds_a_record"`
	RSSBytes  spread `json:"max_rss_bytes"`
}

// ratio compares what ran in the same round, so that a slow minute slows both.
type ratio struct {
	Rate spread `json:"rate"`
	CPU  spread `json:"cpu"`
}

func (s *stage) report(results map[string][]outcome) report {
	s.machine.LoadAfter = load()
	r := report{
		At: time.Now().UTC().Truncate(time.Second), Machine: s.machine,
		Records: s.records, Bytes: keyBytes + valueBytes, Parts: s.partitions,
		Linger: s.linger.String(), Arms: map[string]armReport{}, Ratios: map[string]ratio{},
	}
	rate := func(o outcome) float64 { return o.rate }
	cpu := func(o outcome) float64 { return micros(o, s.records) }
	rss := func(o outcome) float64 { return float64(o.rss) }
	for name, runs := range results {
		r.Arms[name] = armReport{spreadOf(0, column(runs, rate)), spreadOf(3, column(runs, cpu)), spreadOf(0, column(runs, rss))}
	}
	ours := results[armSluice]
	for _, peer := range []string{armFranz, armSarama} {
		if theirs := results[peer]; len(ours) > 0 && len(theirs) > 0 {
			r.Ratios[armSluice+"/"+peer] = ratio{
				spreadOf(3, ratios(column(ours, rate), column(theirs, rate))), spreadOf(3, ratios(column(ours, cpu), column(theirs, cpu))),
			}
		}
	}
	return r
}

func column(runs []outcome, of func(outcome) float64) []float64 {
	values := make([]float64, len(runs))
	for i, o := range runs {
		values[i] = of(o)
	}
	return values
}

func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
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
		progressf("%-16s rate %5.3f (%.3f to %.3f), CPU %5.3f (%.3f to %.3f)",
			name, x.Rate.Median, x.Rate.Min, x.Rate.Max, x.CPU.Median, x.CPU.Min, x.CPU.Max)
	}
	return err
}
