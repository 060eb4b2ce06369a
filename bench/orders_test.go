package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestOrdersAreWhatTheLoopsRead(t *testing.T) {
	for id := int64(1); id < 5000; id += 7 {
		o := newOrder(id)
		var got jsonOrder
		if err := json.Unmarshal(o.json(), &got); err != nil {
			t.Fatalf("%s: %v", o.json(), err)
		}
		want := jsonOrder{ID: id, User: o.User, Amount: json.Number(fmt.Sprintf("%d.%02d", o.Cents/100, o.Cents%100)), TS: o.Placed}
		if got != want {
			t.Fatalf("%s:\n got  %+v\n want %+v", o.json(), got, want)
		}
	}
}

func TestWanted(t *testing.T) {
	s := wanted(3)
	if s.rows != 3 || s.ids != 6 || s.cents != 37+74+111 || s.first != newOrder(1).Placed || s.last != newOrder(3).Placed {
		t.Errorf("%v", s)
	}
}

func TestVerifyFindsEveryDifference(t *testing.T) {
	const first, orders = 100, 1000
	if err := verify(wanted(first), first, first, orders); err != nil {
		t.Error(err)
	}
	if err := verify(wanted(first), first+5, first, orders); err != nil {
		t.Errorf("a partition that is ahead is right: %v", err)
	}
	for name, change := range map[string]func(*sums){
		"a row is missing":   func(s *sums) { s.rows-- },
		"a row too many":     func(s *sums) { s.rows++ },
		"another row":        func(s *sums) { s.ids++ },
		"another amount":     func(s *sums) { s.cents-- },
		"another first time": func(s *sums) { s.first = "" },
		"another last time":  func(s *sums) { s.last = newOrder(first - 1).Placed },
	} {
		got := wanted(first)
		change(&got)
		if err := verify(got, first, first, orders); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, all := range []int64{first - 1, orders + 1} {
		if err := verify(wanted(first), all, first, orders); err == nil {
			t.Errorf("%d rows in all of %d orders are accepted", all, orders)
		}
	}
}

func TestFlags(t *testing.T) {
	o, err := parse([]string{"-rounds", "5", "-arms", "sluice,guide"})
	if err != nil || o.rounds != 5 || len(o.only) != 2 || o.records != 600_000 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range []string{"-rounds 0", "-arms slucie", "-records 10 -guide-records 20", "more"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

func TestSummaryLine(t *testing.T) {
	got, err := reported([]byte(`{"records":3,"rows":3,"dead_lettered":0,"seconds":0.1,"records_per_second":30}` + "\n"))
	if err != nil || got != 30 {
		t.Errorf("%v, %v", got, err)
	}
	for _, line := range []string{"", "{}", "panic: no"} {
		if _, err := reported([]byte(line)); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}
