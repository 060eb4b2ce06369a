package main

import (
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice/bench/internal/measure"
)

// report is what is printed. Rates are records a second.
type report struct {
	At      time.Time            `json:"at"`
	Machine measure.Machine      `json:"machine"`
	Records int64                `json:"records"`
	Bytes   int                  `json:"record_bytes"`
	Parts   int                  `json:"partitions"`
	Linger  string               `json:"linger"`
	Arms    map[string]armReport `json:"arms"`
	Ratios  map[string]ratio     `json:"ratios"`
}

type armReport struct {
	Rate      measure.Spread `json:"rate"`
	CPUMicros measure.Spread `json:"cpu_microseconds_a_record"`
	RSSBytes  measure.Spread `json:"max_rss_bytes"`
}

// ratio compares what ran in the same round, so that a slow minute slows both.
type ratio struct {
	Rate measure.Spread `json:"rate"`
	CPU  measure.Spread `json:"cpu"`
}

func (s *stage) report(results map[string][]outcome) report {
	s.machine.LoadAfter = measure.Load()
	r := report{
		At: time.Now().UTC().Truncate(time.Second), Machine: s.machine,
		Records: s.records, Bytes: keyBytes + valueBytes, Parts: s.partitions,
		Linger: s.linger.String(), Arms: map[string]armReport{}, Ratios: map[string]ratio{},
	}
	rate := func(o outcome) float64 { return o.rate }
	cpu := func(o outcome) float64 { return micros(o, s.records) }
	rss := func(o outcome) float64 { return float64(o.rss) }
	for name, runs := range results {
		r.Arms[name] = armReport{measure.Of(0, runs, rate), measure.Of(3, runs, cpu), measure.Of(0, runs, rss)}
	}
	ours := results[armSluice]
	for _, peer := range []string{armFranz, armSarama} {
		if theirs := results[peer]; len(ours) > 0 && len(theirs) > 0 {
			r.Ratios[armSluice+"/"+peer] = ratio{
				measure.Ratio(3, ours, theirs, rate), measure.Ratio(3, ours, theirs, cpu),
			}
		}
	}
	return r
}

// write prints the report, to a file as well if one is named. The ratios are told on standard error, too.
func (r report) write(out io.Writer, file string) error {
	err := measure.Write(out, file, r)
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		x := r.Ratios[name]
		progressf("%-16s rate %5.3f (%.3f to %.3f), CPU %5.3f (%.3f to %.3f)",
			name, x.Rate.Median, x.Rate.Min, x.Rate.Max, x.CPU.Median, x.CPU.Min, x.CPU.Max)
	}
	return err
}
