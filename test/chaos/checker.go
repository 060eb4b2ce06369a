package main

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// outcome is what the checker says of one job.
type outcome struct {
	Job      job     `json:"job"`
	CaughtUp float64 `json:"caught_up_s"` // from the last fault to lag 0

	Runs       int `json:"runs"`
	NeverRun   int `json:"never_run"`    // acknowledged records that no handler saw
	Lost       int `json:"lost"`         // acknowledged records that no handler finished
	Phantom    int `json:"phantom"`      // seen, and never produced
	OutOfOrder int `json:"out_of_order"` // by first runs, within a key

	Duplicates int            `json:"duplicates"` // runs beyond a record's first
	Allowed    int            `json:"allowed"`    // runs that could be repeated
	Causes     map[string]int `json:"causes"`     // the allowed ones, by what had become of the member
	Unexcused  int            `json:"unexcused"`  // duplicates beyond what was allowed of that very record

	Examples []string `json:"examples"` // of what is wrong
	Rate     []point  `json:"rate"`
	Owners   []owner  `json:"owners"`
}

// point is how many first runs a job had in one second.
type point struct {
	At    time.Time `json:"at"`
	Count int       `json:"count"`
}

// owner is a stretch of time in which a process had a partition.
type owner struct {
	Process   string    `json:"process"`
	Partition int32     `json:"partition"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
	How       string    `json:"how"` // it ended
}

const examples = 10

func (o *outcome) complain(count *int, format string, args ...any) {
	if *count++; len(o.Examples) < examples {
		o.Examples = append(o.Examples, fmt.Sprintf(format, args...))
	}
}

// wrong counts what must not be.
func (o *outcome) wrong() int { return o.NeverRun + o.Lost + o.Phantom + o.OutOfOrder + o.Unexcused }

// check reads the journals of a fleet and compares them with the ledger.
func (f *fleet) check(l *ledger) (*outcome, error) {
	var all []*tenure
	for _, name := range f.names {
		lines, err := readJournal(f.journal(name))
		if err != nil {
			return nil, err
		}
		all = append(all, tenures(name, lines)...)
	}
	return judge(f.job, l.acked, all), nil
}

// judge compares what members did with what was acknowledged.
func judge(j job, acked map[coordinate]entry, all []*tenure) *outcome {
	o := &outcome{Job: j, Causes: map[string]int{}}
	runs := make(map[coordinate][]*execution)
	excused := make(map[*execution]bool)
	for _, t := range all {
		for _, e := range t.runs {
			runs[e.at] = append(runs[e.at], e)
		}
		o.Owners = append(o.Owners, owner{t.process, t.partition, t.from, t.until, t.how})
		allowed := t.allowed()
		if len(allowed) == 0 || t.how == "kept to the end" {
			continue
		}
		o.Allowed += len(allowed)
		o.Causes[t.cause()] += len(allowed)
		for _, e := range allowed {
			excused[e] = true
		}
	}
	for at, e := range acked {
		if runs[at] == nil {
			o.complain(&o.NeverRun, "%v at %v was never run", e, at)
		}
	}
	firsts := make(map[string]map[int64]*execution) // of a key and number
	seconds := make(map[int64]int)
	for at, each := range runs {
		e, ok := acked[at]
		if !ok || e != each[0].entry {
			o.complain(&o.Phantom, "%v at %v was seen by %s, the ledger has %v", each[0].entry, at, each[0].tenure.process, e)
			continue
		}
		slices.SortFunc(each, func(a, b *execution) int { return a.begin.Compare(b.begin) })
		o.Runs += len(each)
		o.Duplicates += len(each) - 1
		o.repeated(each, excused)
		first := each[0]
		if firsts[e.key] == nil {
			firsts[e.key] = make(map[int64]*execution)
		}
		firsts[e.key][e.number] = first
		seconds[first.begin.Unix()]++
		if !slices.ContainsFunc(each, func(e *execution) bool { return !e.end.IsZero() }) {
			o.complain(&o.Lost, "%v at %v was begun by %s and never finished", e, at, first.tenure.process)
		}
	}
	for key, numbers := range firsts {
		o.ordered(key, numbers, runs)
	}
	for _, second := range slices.Sorted(maps.Keys(seconds)) {
		o.Rate = append(o.Rate, point{time.Unix(second, 0), seconds[second]})
	}
	return o
}

// repeated judges a record's runs: all but one of them must be such as could be repeated, and none is repeated within a tenure.
func (o *outcome) repeated(each []*execution, excused map[*execution]bool) {
	unexcused := -1
	for i, e := range each {
		within := slices.ContainsFunc(each[:i], func(other *execution) bool { return other.tenure == e.tenure && !other.end.IsZero() })
		if !excused[e] || within {
			unexcused++
		}
	}
	for range unexcused {
		var who []string
		for _, e := range each {
			who = append(who, fmt.Sprintf("%s (%s, %s, excused %t)", e.tenure.process, e.begin.Format("15:04:05.000"), e.tenure.how, excused[e]))
		}
		o.complain(&o.Unexcused, "%v at %v was repeated: %v", each[0].entry, each[0].at, who)
	}
}

// ordered demands that the first run of each number of a key began after a run of the number before was finished.
func (o *outcome) ordered(key string, numbers map[int64]*execution, runs map[coordinate][]*execution) {
	for _, n := range slices.Sorted(maps.Keys(numbers)) {
		before, ok := numbers[n-1]
		if !ok {
			continue // the first, or what was never run, which is told already
		}
		first := numbers[n]
		if !slices.ContainsFunc(runs[before.at], func(e *execution) bool { return !e.end.IsZero() && !e.end.After(first.begin) }) {
			o.complain(&o.OutOfOrder, "%s: %d was begun by %s at %s, before %d was finished (begun by %s at %s)", key, n,
				first.tenure.process, first.begin.Format("15:04:05.000000"), n-1, before.tenure.process, before.begin.Format("15:04:05.000000"))
		}
	}
}
