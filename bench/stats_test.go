package main

import (
	"slices"
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

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{9, 1, 5, 6}, 5.5},
	} {
		before := slices.Clone(c.values)
		if got := median(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("%v is now %v: the order of the rounds is lost", before, c.values)
		}
	}
}

func TestSpread(t *testing.T) {
	s := spreadOf(1, []float64{3.14, 1.06, 2})
	if !slices.Equal(s.Rounds, []float64{3.1, 1.1, 2}) || s.Median != 2 || s.Min != 1.1 || s.Max != 3.1 {
		t.Errorf("%+v", s)
	}
	if s := spreadOf(1, nil); s.Rounds == nil || s.Median != 0 {
		t.Errorf("of nothing: %+v; rounds must be a list in JSON", s)
	}
}

// The median of the ratios is not the ratio of the medians: rounds are compared with themselves.
func TestRatios(t *testing.T) {
	a, b := []float64{10, 200, 30}, []float64{10, 100, 10}
	got := ratios(a, b)
	if !slices.Equal(got, []float64{1, 2, 3}) {
		t.Errorf("%v", got)
	}
	if got := median(got); got != 2 {
		t.Errorf("median %v", got)
	}
	if got := ratios(a, b[:1]); len(got) != 1 {
		t.Errorf("a round that one side lacks gives no ratio: %v", got)
	}
}

func TestReportCompares(t *testing.T) {
	s := &stage{options: options{rounds: 2, partitions: 6}}
	r := s.report(map[string][]outcome{
		armSluice: {
			{records: 100, rate: 50, wall: 40, reported: 45, cpu: time.Second},
			{records: 100, rate: 60, wall: 40, reported: 45, rss: 7},
		},
		armGuide: {{records: 11, rate: 5, wall: 4}, {records: 10, rate: 3, wall: 4}},
	})
	if len(r.Ratios) != 1 {
		t.Fatalf("ratios with arms that did not run: %v", r.Ratios)
	}
	x := r.Ratios["sluice/guide"]
	if x.Median != 15 || x.Min != 10 || x.Max != 20 || x.Process.Median != 10 {
		t.Errorf("%+v", x)
	}
	sluice, guide := r.Arms[armSluice], r.Arms[armGuide]
	if sluice.Reported == nil || sluice.Reported.Median != 45 || sluice.MaxRSSBytes != 7 || sluice.CPUMicros.Max != 10_000 {
		t.Errorf("%+v", sluice)
	}
	if guide.Reported != nil || guide.Records != 10 {
		t.Errorf("%+v", guide)
	}
}
