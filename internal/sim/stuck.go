package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-go/sluice"
)

// stick decides what becomes of records that are stuck.
func (s *scenario) stick(d dice) {
	s.stuck = sluice.Stuck{
		After: pick(d, 500*time.Millisecond, 2*time.Second, 4*time.Second),
		Then:  pick(d, sluice.StuckWarn, sluice.StuckPark, sluice.StuckHalt),
	}
	if _, ok := s.failure.(sluice.DeadLetter); ok && d.chance(50) {
		s.stuck.Then = sluice.StuckDeadLetter
	}
	quits := s.stuck.Then != sluice.StuckWarn
	if quits && s.breaker < 0 && (s.plain || d.chance(50)) { // without a breaker, nobody could tell that no record is to blame
		s.breaker = pick(d, 0, 0, 5)
	}
	if !s.stays() {
		return
	}
	for _, f := range s.feeds { // a record is over some day, however often it begins anew
		for i, r := range f.records {
			if r.kind == failsAlways {
				f.records[i].kind, f.records[i].times = fails, 6
			}
		}
	}
}

// stays tells whether a record that is stuck waits for a restart, or for a move of its partition.
func (s *scenario) stays() bool {
	return s.stuck.Then == sluice.StuckPark || s.stuck.Then == sluice.StuckHalt
}

// freshStart is how often every process is stopped, and started again, after the last fault, where records stay; later while handlers run,
// as a batch may take longer.
const freshStart = 20 * time.Second

// works tells whether handlers run.
func (w *world) works() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.alive {
		if p.running > 0 {
			return true
		}
	}
	return false
}

// freshen stops every process: whoever supervises it starts it again.
func (w *world) freshen() {
	w.mu.Lock()
	alive := slices.Collect(maps.Values(w.alive))
	w.mu.Unlock()
	for _, p := range alive {
		if p.slot.wanted {
			p.stop()
		}
	}
}

// fails notes that a call for a record failed, and gives it up when it is stuck by now, or may be.
func (c *call) fails(r *record) {
	t, s := c.t, c.p.w.scenario
	t.failed[r]++
	first, ok := t.since[r]
	if !ok {
		first = time.Now()
		t.since[r] = first
	}
	if s.stuck.Then == sluice.StuckDeadLetter && time.Since(first) >= s.stuck.After {
		c.p.give(r, t, false)
	}
}
