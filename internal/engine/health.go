package engine

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Health is what package sluice makes its Health of.
type Health struct {
	Joined   bool
	Protocol string
	Stuck    bool // a restart mends it, and nothing else does
	Problems []string
	Notes    []string // that are no problems
}

// fetchMemory is how long a failed fetch is a problem: a client that goes on failing tells so more often.
const fetchMemory = time.Minute

// Health tells how the engine does.
func (e *Engine) Health() Health {
	h := Health{Joined: e.joined.Load(), Protocol: e.protocolInUse()}
	if s := e.protocolProblem(); s != "" {
		h.Problems = append(h.Problems, s)
	}
	if s := e.groupError.Load(); s != nil {
		h.Problems = append(h.Problems, "the group: "+*s)
	}
	silent := time.Since(time.Unix(0, e.answered.Load()))
	if h.Joined && e.cfg.SilenceLimit > 0 && silent > e.cfg.SilenceLimit {
		h.Joined = false
		h.Problems = append(h.Problems, fmt.Sprintf("the group: its coordinator has not answered for %v", silent.Round(time.Second)))
	}
	now := time.Now()
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.parts {
		if time.Since(a.fetchFailed) > fetchMemory { // an idle partition has no good fetch to show that it is over
			delete(a.problems, fetchProblem)
		}
		if p := a.problemText(); p != "" {
			h.Problems = append(h.Problems, a.part.String()+": "+p)
		}
		if p := a.stallText(now); p != "" {
			h.Problems = append(h.Problems, p)
		}
		if n := a.unprovedText(now); n != "" {
			h.Notes = append(h.Notes, n)
		}
	}
	for _, rt := range e.cfg.Routes {
		if p := rt.outageProblem(); p != "" && e.worksOn(rt) {
			h.Problems = append(h.Problems, strings.Join(rt.Topics, ", ")+": "+p)
		}
	}
	for p, what := range e.lost {
		h.Problems = append(h.Problems, p.String()+": "+what)
	}
	for a := range e.working() {
		for _, r := range a.runs {
			if r.overruns() {
				h.Problems = append(h.Problems, e.overrunText(r, now))
			}
		}
	}
	for topic, t := range e.topicTrouble {
		h.Problems = append(h.Problems, topic+": "+t.text)
		h.Stuck = h.Stuck || t.remade
	}
	if p := e.standstillText(now); p != "" {
		h.Problems = append(h.Problems, p)
	}
	if len(e.assignments((*assignment).dirty)) == 0 { // what could not be committed is gone, and nothing will be committed that shows it
		e.commitFails = failing{}
	}
	if p := e.commitFails.text(now, "commits fail"); p != "" {
		h.Problems = append(h.Problems, p+"; a crash would run again what was finished since")
	}
	if p := e.beginFails.text(now, "no transaction can begin"); p != "" {
		h.Problems = append(h.Problems, p)
	}
	if e.membersNote != "" {
		h.Notes = append(h.Notes, e.membersNote)
	}
	h.Notes = append(h.Notes, e.batches.notes()...)
	slices.Sort(h.Problems)
	slices.Sort(h.Notes)
	return h
}

// failing is a trouble that is over with the first success.
type failing struct {
	since time.Time // zero: the last one succeeded
	err   error
}

func (f *failing) note(err error) {
	switch {
	case err == nil:
		*f = failing{}
	case f.since.IsZero():
		f.since = time.Now()
	}
	f.err = err
}

// commitPatience is how long commits may fail before health tells: a rebalance makes some fail.
const commitPatience = 30 * time.Second

func (f *failing) text(now time.Time, what string) string {
	if took := now.Sub(f.since); !f.since.IsZero() && took >= commitPatience {
		return fmt.Sprintf("%s for %v: %v", what, took.Round(time.Second), f.err)
	}
	return ""
}

// worksOn tells whether a partition of a route is ours.
func (e *Engine) worksOn(rt *Route) bool {
	for _, a := range e.parts {
		if a.route == rt {
			return true
		}
	}
	return false
}

// problemSample is how many problems of a partition are looked at: in an outage every record that waits has one.
const problemSample = 64

// problemText is the oldest problem of an assignment, of those that were looked at, and how many more it has; "" when all is well.
func (a *assignment) problemText() string {
	if len(a.problems) == 0 {
		return ""
	}
	first, seen := int64(math.MaxInt64), 0
	for offset := range a.problems {
		first = min(first, offset)
		if seen++; seen == problemSample {
			break
		}
	}
	text := a.problems[first]
	if more := len(a.problems) - 1; more > 0 {
		text += "; and " + itoa(int64(more)) + " more problems"
	}
	return text
}
