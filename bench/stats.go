package main

import (
	"math"
	"slices"
	"time"
)

// pace sees how many records are committed, again and again.
type pace struct {
	first, last time.Time // when the first ones were seen, and when the number last grew
	began, n    int64     // how many were seen then
}

func (p *pace) saw(at time.Time, n int64) {
	switch {
	case n <= p.n:
		return
	case p.n == 0:
		p.first, p.began = at, n
	}
	p.last, p.n = at, n
}

// rate is records a second between the first that were seen and the last, or 0: they were not all seen, or all at once.
func (p *pace) rate(records int64) float64 {
	if p.n < records || p.began >= p.n {
		return 0
	}
	return float64(p.n-p.began) / p.last.Sub(p.first).Seconds()
}

// spread is how a number varies over the rounds.
type spread struct {
	Rounds []float64 `json:"rounds"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
}

// spreadOf rounds to so many digits after the point.
func spreadOf(digits int, values []float64) spread {
	scale := math.Pow10(digits)
	s := spread{Rounds: make([]float64, len(values))}
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

// ratios are a[i] / b[i]: what ran in the same round is compared, so that a slow minute slows both.
func ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}
