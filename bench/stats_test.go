package main

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	start := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		seen []int64 // a second apart
		want float64
	}{
		{"steady", []int64{0, 0, 10, 20, 30, 40}, 10},
		{"the wait before the first and after the last counts for nothing", []int64{0, 0, 0, 10, 40, 40, 40}, 30},
		{"what the first look sees was written before it", []int64{30, 40}, 10},
		{"not all", []int64{10, 20, 39}, 0},
		{"all at once", []int64{0, 40}, 0},
		{"never looked", nil, 0},
		{"never any", []int64{0, 0}, 0},
	} {
		var p pace
		for i, n := range c.seen {
			p.saw(start.Add(time.Duration(i)*time.Second), n)
		}
		if got := p.rate(40); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
