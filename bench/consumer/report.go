package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/sluice-go/sluice/bench/internal/measure"
)

type report struct {
	At      time.Time       `json:"at"`
	Machine measure.Machine `json:"machine"`
	Jobs    []jobReport     `json:"jobs"`
}

type jobReport struct {
	Name    string                               `json:"name"`
	Rounds  int                                  `json:"rounds"`
	Arms    map[string]map[string]measure.Spread `json:"arms"`
	LeftOut map[string]string                    `json:"left_out,omitempty"`
	Figures []figureReport                       `json:"figures"`
}

type figureReport struct {
	Name string `json:"name"`
	measure.Spread

	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
	Holds   bool    `json:"holds"`
}

// spreadOf sums up at least one value.
func spreadOf(all []float64) measure.Spread { return measure.SpreadOf(places(slices.Max(all)), all) }

// digits after the point that are worth telling.
func digits(v float64) int {
	if v == math.Trunc(v) {
		return 0
	}
	return places(v)
}

// places is digits for numbers of which some may be whole.
func places(v float64) int {
	switch v = math.Abs(v); {
	case v >= 1000:
		return 0
	case v >= 10:
		return 1
	default:
		return 3
	}
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
	r := jobReport{Name: j.name, Rounds: len(rounds), Arms: map[string]map[string]measure.Spread{}, LeftOut: leftOut}
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
		r.Arms[a.name] = map[string]measure.Spread{}
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
		one := figureReport{Name: f.name, Spread: spreadOf(all), AtLeast: f.atLeast, AtMost: f.atMost}
		one.Holds = (f.atLeast == 0 || one.Median >= f.atLeast) && (f.atMost == 0 || one.Median <= f.atMost)
		r.Figures = append(r.Figures, one)
	}
	return r
}

func newReport() report {
	return report{At: time.Now().UTC().Truncate(time.Second), Machine: measure.NewMachine("github.com/twmb/franz-go")}
}

// write prints the report, to a file as well if one is named, and a table of the figures on standard error.
func (r report) write(out io.Writer, file string) error {
	r.Machine.LoadAfter = measure.Load()
	err := measure.Write(out, file, r)
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
