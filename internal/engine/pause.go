package engine

import "maps"

// pauses are the partitions that App.Pause stopped. They go by name, so that they outlive assignments.
type pauses map[string]topicPause

// topicPause is a topic's: what holds for its partitions, but for the exceptions.
type topicPause struct {
	all bool
	but map[int32]bool
}

func (ps pauses) has(p part) bool {
	t := ps[p.topic]
	if on, ok := t.but[p.partition]; ok {
		return on
	}
	return t.all
}

// set pauses or resumes some partitions, or, with none named, all of a topic.
func (ps pauses) set(topic string, partitions []int32, on bool) {
	t := ps[topic]
	if len(partitions) == 0 {
		t = topicPause{all: on}
	} else if t.but == nil {
		t.but = make(map[int32]bool)
	}
	for _, p := range partitions {
		t.but[p] = on
	}
	ps[topic] = t
}

// TakePauses has an engine begin with what was paused in the one that it comes after.
func (e *Engine) TakePauses(before *Engine) {
	before.mu.Lock()
	defer before.unlock()
	for topic, t := range before.pauses {
		e.pauses[topic] = topicPause{all: t.all, but: maps.Clone(t.but)}
	}
}

// Pause stops the intake of some partitions of a topic, or of all, until Resume, across rebalances: what waits goes on waiting, and
// what runs ends.
func (e *Engine) Pause(topic string, partitions ...int32) { e.setPaused(topic, partitions, true) }

// Resume ends a Pause.
func (e *Engine) Resume(topic string, partitions ...int32) { e.setPaused(topic, partitions, false) }

func (e *Engine) setPaused(topic string, partitions []int32, on bool) {
	e.mu.Lock()
	defer e.unlock()
	e.pauses.set(topic, partitions, on)
	for _, a := range e.assignments(func(a *assignment) bool { return a.held != e.pauses.has(a.part) }) {
		a.held = !a.held
		e.pauseChange = append(e.pauseChange, a.part)
		if a.state != open {
			continue
		}
		a.stop.Store(a.held)
		if !a.held {
			e.startAgain(a)
		}
	}
	e.kick()
}

// startAgain lets run what a pause kept waiting.
func (e *Engine) startAgain(a *assignment) {
	if a.route.CommitFirst && a.wantsGrant() {
		e.commitSoon()
	}
	switch {
	case a.ready.len() == 0:
	case a.route.HandleBatch != nil:
		e.batchDue(a, a.state == finishing)
	default:
		e.list(a)
	}
}

// waits tells whether a pause keeps what is ready from running. What was committed first is handled in a drain nevertheless.
func (a *assignment) waits() bool { return a.held && a.state != finishing }
