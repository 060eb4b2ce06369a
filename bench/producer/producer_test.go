package main

import (
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-rounds", "5", "-arms", "sluice,sarama", "-linger", "5ms"})
	if err != nil || o.rounds != 5 || len(o.only) != 2 || o.records != 2_000_000 || o.linger != 5*time.Millisecond {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range []string{"-rounds 0", "-arms slucie", "-records -1", "-linger -1s", "more"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

func TestRecordsAreOfOneSize(t *testing.T) {
	if n := len(key(7)) + len(payload()); n != 256 {
		t.Errorf("a record has %d bytes", n)
	}
	if string(key(7)) == string(key(8)) {
		t.Error("two records have one key")
	}
}

func TestReportComparesWhatRanInTheSameRound(t *testing.T) {
	s := &stage{options: options{records: 1_000_000}}
	runs := func(rates ...float64) (out []outcome) {
		for _, r := range rates {
			out = append(out, outcome{rate: r, cpu: time.Duration(r) * time.Millisecond, rss: 1})
		}
		return out
	}
	r := s.report(map[string][]outcome{armSluice: runs(100, 300, 200), armFranz: runs(200, 100, 200)})
	if got := r.Ratios["sluice/franz"].Rate; got.Median != 1 || got.Min != 0.5 || got.Max != 3 {
		t.Errorf("%+v", got)
	}
	if got := r.Arms[armSluice]; got.Rate.Median != 200 || got.CPUMicros.Max != 0.3 {
		t.Errorf("%+v", got)
	}
	if _, ok := r.Ratios["sluice/sarama"]; ok {
		t.Error("an arm that did not run is compared")
	}
}

func TestAnArmThatLosesARecordFails(t *testing.T) {
	var all, one tally
	j := job{Records: 2}
	for range 2 {
		all.done(nil, nil)
	}
	one.done(nil, nil)
	if err := all.result(j, nil); err != nil {
		t.Error(err)
	}
	if err := one.result(j, nil); err == nil || !strings.Contains(err.Error(), "1 of 2 records") {
		t.Errorf("%v", err)
	}
}
