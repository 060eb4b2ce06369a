package main

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-rounds", "3", "-jobs", "partition,idle", "-arms", "raw loop;by key"})
	if err != nil || o.rounds != 3 || len(o.only) != 2 || len(o.arms) != 2 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range [][]string{{"-rounds", "-1"}, {"-jobs", "partitoin"}, {"-arms", "raw"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

func TestReportComparesWhatRanInTheSameRound(t *testing.T) {
	j := job{
		name: "j", arms: []arm{{name: "ours"}, {name: "theirs"}, {name: "absent"}},
		figures: []figure{
			ratio("rate", rate, "ours", "theirs").least(0.95),
			ratio("CPU", cpuMicros, "ours", "theirs").most(1.15),
			ratio("against absent", rate, "ours", "absent"),
		},
	}
	round := func(ours, theirs float64) map[string]values {
		return map[string]values{"ours": {rate: ours, cpuMicros: 1.2}, "theirs": {rate: theirs, cpuMicros: 1}}
	}
	r := j.report([]map[string]values{round(100, 200), round(300, 100), round(200, 200)}, map[string]string{"absent": "left out"})
	if len(r.Figures) != 2 {
		t.Fatalf("%+v", r.Figures)
	}
	if f := r.Figures[0]; f.Median != 1 || f.Min != 0.5 || f.Max != 3 || !f.Holds {
		t.Errorf("%+v", f)
	}
	if f := r.Figures[1]; f.Median != 1.2 || f.Holds {
		t.Errorf("a bound that is missed holds: %+v", f)
	}
	if got := r.Arms["ours"][rate]; got.Median != 200 {
		t.Errorf("%+v", got)
	}
	var out bytes.Buffer
	if err := (report{Jobs: []jobReport{r}}).table(&out); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); strings.Count(text, "MISSED") != 1 || !strings.Contains(text, "left out") {
		t.Error(text)
	}
}

func TestMeasureCountsWhatLiesInTheWindow(t *testing.T) {
	var n int64
	v, err := span{WarmUp: 10 * time.Millisecond, Window: 50 * time.Millisecond}.measure(t.Context(), func() int64 { n += 10; return n })
	if err != nil || v[rate] <= 0 || math.IsInf(v[rate], 0) || math.IsNaN(v[cpuMicros]) {
		t.Errorf("%v, %v", v, err)
	}
	n = 0
	if v, err = (span{Records: 100}).measure(t.Context(), func() int64 { n += 10; return n }); err != nil || n < 100 || v[rate] <= 0 {
		t.Errorf("%v after %d, %v", v, n, err)
	}
}

// The longest gap of a phase is one of a partition that nobody gave or took meanwhile, in whole or in part within the phase.
func TestLongestGapIsOfPartitionsThatStay(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	gap := func(p int32, from, to int) seen {
		return seen{event{What: "gap", Partition: p, From: at(from), At: at(to)}, nil}
	}
	g := &group{events: []seen{
		{event{What: "assigned", Partition: 1, At: at(0)}, nil},
		gap(1, 50, 70),
		{event{What: "released", Partition: 2, At: at(150)}, nil},
		gap(2, 140, 160),
		gap(1, 190, 230),
		gap(3, 290, 315),
	}}
	for _, c := range []struct {
		from, to int
		want     float64
	}{{100, 300, 40}, {0, 60, 20}, {400, 500, 5}, {295, 300, 25}} {
		if got := g.longestGap(at(c.from), at(c.to)); got != c.want {
			t.Errorf("from %d to %d: %v ms, want %v", c.from, c.to, got, c.want)
		}
	}
}
