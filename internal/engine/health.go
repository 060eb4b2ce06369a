package engine

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Health is what package sluice makes its Health of.
type Health struct {
	Joined   bool
	Protocol string
	Problems []string
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
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.parts {
		if time.Since(a.fetchFailed) > fetchMemory { // an idle partition has no good fetch to show that it is over
			delete(a.problems, fetchProblem)
		}
		if p := a.problemText(); p != "" {
			h.Problems = append(h.Problems, a.part.String()+": "+p)
		}
	}
	for p, what := range e.lost {
		h.Problems = append(h.Problems, p.String()+": "+what)
	}
	slices.Sort(h.Problems)
	return h
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
