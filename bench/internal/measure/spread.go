// Package measure is what the benchmarks share: what they run on, what a process cost, and how figures vary over the rounds.
package measure

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"slices"
)

// Spread is how a number varies over the rounds.
type Spread struct {
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

// SpreadOf rounds to so many digits after the point.
func SpreadOf(digits int, values []float64) Spread {
	scale := math.Pow10(digits)
	s := Spread{Rounds: make([]float64, len(values))}
	for i, v := range values {
		s.Rounds[i] = math.Round(v*scale) / scale
	}
	if len(values) == 0 {
		return s
	}
	s.Median = math.Round(median(values)*scale) / scale
	s.Min, s.Max = slices.Min(s.Rounds), slices.Max(s.Rounds)
	return s
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Of is the spread of one number of every run.
func Of[R any](digits int, runs []R, number func(R) float64) Spread {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = number(r)
	}
	return SpreadOf(digits, values)
}

// Ratio is the spread of a[i] / b[i]: what ran in the same round is compared, so that a slow minute slows both.
func Ratio[R any](digits int, a, b []R, number func(R) float64) Spread {
	values := make([]float64, min(len(a), len(b)))
	for i := range values {
		values[i] = number(a[i]) / number(b[i])
	}
	return SpreadOf(digits, values)
}

// Write prints a report as JSON, to a file as well if one is named.
func Write(out io.Writer, file string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	_, err = out.Write(text)
	if file != "" {
		err = errors.Join(err, os.WriteFile(file, text, 0o600))
	}
	return err
}
