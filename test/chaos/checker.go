package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	Aborted    int `json:"aborted"`      // seen, of transactions that were aborted
	OutOfOrder int `json:"out_of_order"` // by first runs, within a key

	Duplicates int            `json:"duplicates"` // runs, or rows, beyond a record's first
	Allowed    int            `json:"allowed"`    // runs that could be repeated
	Causes     map[string]int `json:"causes"`     // the allowed ones, by what had become of the member
	Unexcused  int            `json:"unexcused"`  // duplicates beyond what was allowed of that very record

	Examples []string `json:"examples"` // of what is wrong
	Owners   []owner  `json:"owners"`
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

func (o *outcome) complainf(count *int, format string, args ...any) {
	if *count++; len(o.Examples) < examples {
		o.Examples = append(o.Examples, fmt.Sprintf(format, args...))
	}
}

// wrong counts what must not be.
func (o *outcome) wrong() int {
	return o.NeverRun + o.Lost + o.Phantom + o.Aborted + o.OutOfOrder + o.Unexcused
}

// check reads what a job has put out and compares it with the ledger. Members' journals tell who had which partition, and are the
// output of the jobs at least once.
func (w *world) check(ctx context.Context, f *fleet) (*outcome, error) {
	var all []*tenure
	for _, name := range f.names {
		lines, err := readJournal(f.journal(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was killed before it had begun
		}
		if err != nil {
			return nil, err
		}
		all = append(all, tenures(name, lines)...)
	}
	o := &outcome{Job: f.job, Causes: map[string]int{}}
	for _, t := range all {
		o.Owners = append(o.Owners, owner{t.process, t.partition, t.from, t.until, t.how})
	}
	if f.job.atLeastOnce() {
		o.judgeRuns(w.ledger.acked, all)
		return o, nil
	}
	outputs, err := f.outputs(ctx, w.ledger)
	if err != nil {
		return nil, err
	}
	due := w.ledger.acked
	if f.job.Control { // nobody waited until it had them all
		committed, err := w.committed(ctx, f)
		if err != nil {
			return nil, err
		}
		due = maps.Clone(due)
		maps.DeleteFunc(due, func(at coordinate, _ entry) bool { return at.offset >= committed[at.partition] })
	}
	o.judgeOutputs(w.ledger.acked, due, outputs)
	return o, nil
}

// judgeRuns compares what handlers did with what was acknowledged.
func (o *outcome) judgeRuns(acked map[coordinate]entry, all []*tenure) {
	runs := make(map[coordinate][]*execution)
	excused := make(map[*execution]bool)
	for _, t := range all {
		for _, e := range t.runs {
			runs[e.at] = append(runs[e.at], e)
		}
		allowed := t.allowed()
		if len(allowed) == 0 || t.cause() == "" {
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
			o.complainf(&o.NeverRun, "%v at %v was never run", e, at)
		}
	}
	firsts := make(map[string]map[int64]*execution) // of a key and number
	for at, each := range runs {
		e, ok := o.known(acked, at, each[0].entry, each[0].tenure.process)
		if !ok {
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
		if !slices.ContainsFunc(each, func(e *execution) bool { return !e.end.IsZero() }) {
			o.complainf(&o.Lost, "%v at %v was begun by %s and never finished", e, at, first.tenure.process)
		}
	}
	for key, numbers := range firsts {
		o.ordered(key, numbers, runs)
	}
}

// known tells whether a record that was seen is one of the ledger.
func (o *outcome) known(acked map[coordinate]entry, at coordinate, seen entry, by string) (entry, bool) {
	e, ok := acked[at]
	switch {
	case seen.key == abortedKey:
		o.complainf(&o.Aborted, "a record of an aborted transaction at %v was seen by %s", at, by)
	case !ok || e != seen:
		o.complainf(&o.Phantom, "%v at %v was seen by %s, the ledger has %v", seen, at, by, e)
	default:
		return e, true
	}
	return e, false
}

// judgeOutputs compares what a job has written, in that order, with what was acknowledged: each record that was due once.
func (o *outcome) judgeOutputs(acked, due map[coordinate]entry, outputs []output) {
	first := make(map[coordinate]output, len(outputs))
	last := make(map[string]int64)
	for _, w := range outputs {
		e, ok := o.known(acked, w.at, w.entry, w.member)
		if !ok {
			continue
		}
		o.Runs++
		if before, ok := first[w.at]; ok {
			o.Duplicates++
			o.complainf(&o.Unexcused, "%v at %v was written by %s and by %s", e, w.at, before.member, w.member)
			continue
		}
		first[w.at] = w
		if before, ok := last[e.key]; ok && e.number < before {
			o.complainf(&o.OutOfOrder, "%v at %v was written by %s after number %d of that key", e, w.at, w.member, before)
		}
		last[e.key] = e.number
	}
	for at, e := range due {
		if _, ok := first[at]; !ok {
			o.complainf(&o.Lost, "%v at %v was never written", e, at)
		}
	}
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
		o.complainf(&o.Unexcused, "%v at %v was repeated: %v", each[0].entry, each[0].at, who)
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
			o.complainf(&o.OutOfOrder, "%s: %d was begun by %s at %s, before %d was finished (begun by %s at %s)", key, n,
				first.tenure.process, first.begin.Format("15:04:05.000000"), n-1, before.tenure.process, before.begin.Format("15:04:05.000000"))
		}
	}
}
