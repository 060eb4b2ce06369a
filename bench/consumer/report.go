package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type report struct {
	At      time.Time   `json:"at"`
	Machine machine     `json:"machine"`
	Jobs    []jobReport `json:"jobs"`
}

type machine struct {
	CPUs     int    `json:"cpus"`
	Platform string `json:"platform"`
	Go       string `json:"go"`
	Client   string `json:"franz_go"`

	// Processes that ran or waited, a minute's mean; the first number tells what else the machine had to do.
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

type jobReport struct {
	Name    string                       `json:"name"`
	Rounds  int                          `json:"rounds"`
	Arms    map[string]map[string]spread `json:"arms"`
	LeftOut map[string]string            `json:"left_out,omitempty"`
	Figures []figureReport               `json:"figures"`
}

type figureReport struct {
	Name string `json:"name"`
	spread

	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	Holds   bool    `json:"holds"`
}

// spread is how a number varies over the rounds.
type spread struct {
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

// spreadOf sums up at least one value.
func spreadOf(all []float64) spread {
	s := spread{Rounds: make([]float64, len(all))}
	for i, v := range all {
		s.Rounds[i] = rounded(v)
	}
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	s.Median = sorted[middle]
	if len(sorted)%2 == 0 {
		s.Median = (sorted[middle-1] + sorted[middle]) / 2
	}
	s.Median, s.Min, s.Max = rounded(s.Median), rounded(sorted[0]), rounded(sorted[len(sorted)-1])
	return s
}

// digits after the point that are worth telling.
func digits(v float64) int {
	switch v = math.Abs(v); {
	case v == math.Trunc(v), v >= 1000:
		return 0
	case v >= 10:
		return 1
	default:
		return 3
	}
}

func rounded(v float64) float64 {
	scale := math.Pow10(digits(v))
	return math.Round(v*scale) / scale
}

// get is a value of an arm in a round; NaN where there is none.
func get(round map[string]values, arm, name string) float64 {
	if v, ok := round[arm][name]; ok {
		return v
	}
	return math.NaN()
}

// report sums up the rounds of a job. Figures of arms that were left out are left out.
func (j job) report(rounds []map[string]values, leftOut map[string]string) jobReport {
	r := jobReport{Name: j.name, Rounds: len(rounds), Arms: map[string]map[string]spread{}, LeftOut: leftOut}
	for _, a := range j.arms {
		all := map[string][]float64{}
		for _, round := range rounds {
			for name, v := range round[a.name] {
				all[name] = append(all[name], v)
			}
		}
		if len(all) == 0 {
			continue
		}
		r.Arms[a.name] = map[string]spread{}
		for name, vs := range all {
			r.Arms[a.name][name] = spreadOf(vs)
		}
	}
	for _, f := range j.figures {
		var all []float64
		for _, round := range rounds {
			if v := f.of(round); !math.IsNaN(v) {
				all = append(all, v)
			}
		}
		if len(all) == 0 {
			continue
		}
		one := figureReport{Name: f.name, spread: spreadOf(all), AtLeast: f.atLeast, AtMost: f.atMost}
		one.Holds = (f.atLeast == 0 || one.Median >= f.atLeast) && (f.atMost == 0 || one.Median <= f.atMost)
		r.Figures = append(r.Figures, one)
	}
	return r
}

func newReport() report {
	m := machine{CPUs: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), LoadBefore: load()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/twmb/franz-go" {
				m.Client = d.Version
			}
		}
	}
	return report{At: time.Now().UTC().Truncate(time.Second), Machine: m}
}

// load is 0 where the system does not tell.
func load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}

// write prints the report, to a file as well if one is named, and a table of the figures on standard error.
func (r report) write(out io.Writer, file string) error {
	r.Machine.LoadAfter = load()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	_, err = out.Write(text)
	if file != "" {
		err = errors.Join(err, os.WriteFile(file, text, 0o600))
	}
	return errors.Join(err, r.table(os.Stderr))
}

func (r report) table(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "job\tfigure\tmedian\tspread\tbound\t")
	for _, j := range r.Jobs {
		for _, f := range j.Figures {
			bound, verdict := "", ""
			switch {
			case f.AtLeast > 0:
				bound = fmt.Sprintf("at least %v", f.AtLeast)
			case f.AtMost > 0:
				bound = fmt.Sprintf("at most %v", f.AtMost)
			}
			if !f.Holds {
				verdict = "MISSED"
			}
			fmt.Fprintf(t, "%s\t%s\t%v\t%v to %v\t%s\t%s\n", j.Name, f.Name, f.Median, f.Min, f.Max, bound, verdict)
		}
		for name, why := range j.LeftOut {
			fmt.Fprintf(t, "%s\t%s\t%s\t\t\t\n", j.Name, name, why)
		}
	}
	return t.Flush()
}
