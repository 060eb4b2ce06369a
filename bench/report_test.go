package main

import (
	"testing"
	"time"
)

func TestReportCompares(t *testing.T) {
	r := newDatabaseReport("11", map[string][]outcome{
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
