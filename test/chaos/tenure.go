package main

import (
	"slices"
	"time"
)

// execution is one run of a record's handler.
type execution struct {
	at       coordinate
	entry    entry
	begin    time.Time
	end      time.Time // zero: it never finished the record
	finished int       // commits that were told before it ended
	tenure   *tenure
}

// tenure is one process' time with one partition.
type tenure struct {
	process   string
	partition int32
	from      time.Time
	until     time.Time
	how       string // it ended: released, lost, or killed
	overran   bool   // a handler ran on when the drain's time was up
	failed    bool   // a commit failed, and none was told since
	runs      []*execution

	committed int64 // the offset of the last commit; -1: none
	commits   int   // that were told
}

// tenures follows a journal. The lines behind its partition's release still belong to a tenure: the zombie's handlers.
func tenures(process string, lines []line) (all []*tenure) {
	now := make(map[int32]*tenure)
	under := make(map[coordinate]*execution)
	whole := len(lines) > 0 && lines[len(lines)-1].kind == 'X'
	of := func(l line) *tenure {
		t := now[l.partition]
		if t == nil {
			t = &tenure{process: process, partition: l.partition, from: l.at, committed: -1}
			now[l.partition] = t
			all = append(all, t)
		}
		return t
	}
	for _, l := range lines {
		at := coordinate{l.partition, l.offset}
		switch l.kind {
		case 'A':
			delete(now, l.partition)
			of(l)
		case 'B':
			e := &execution{at: at, entry: entry{l.word, l.number}, begin: l.at, tenure: of(l)}
			e.tenure.runs = append(e.tenure.runs, e)
			under[at] = e
		case 'E':
			if e := under[at]; e != nil {
				e.end, e.finished = l.at, e.tenure.commits
			}
		case 'R':
			t := of(l)
			t.until, t.how = l.at, l.word
		case 'O':
			of(l).overran = true
		case 'F':
			for _, t := range now {
				t.failed = true
			}
		case 'C':
			for partition, offset := range l.offsets {
				if t := now[partition]; t != nil {
					t.committed, t.failed = offset, false
					t.commits++
				}
			}
		}
	}
	for _, t := range all {
		if t.how == "" {
			t.how, t.until = "killed", lines[len(lines)-1].at
			if whole {
				t.how = "kept to the end"
			}
		}
	}
	return all
}

// allowed are the runs that may be repeated by somebody else, since no commit that the member knows of speaks of them: what was under
// way, what ran until the member learnt of its loss, and what finished after the last commit was sent. A run that ended before the
// last but one commit was told is spoken of in the last one, also above its offset.
func (t *tenure) allowed() []*execution {
	return slices.DeleteFunc(slices.Clone(t.runs), func(e *execution) bool {
		return e.at.offset < t.committed || !e.end.IsZero() && e.finished < t.commits-1
	})
}

// cause says why runs of a tenure may be repeated; empty: nothing happened to it.
func (t *tenure) cause() string {
	switch {
	case t.how == "killed" || t.how == "lost":
		return t.how
	case t.overran:
		return "overran"
	case t.failed:
		return "commit failed"
	}
	return ""
}
