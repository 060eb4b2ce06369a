package monitor

import (
	"slices"
	"time"
)

const (
	slots  = 12 // a window has as many
	habits = 4  // pauses that are remembered
)

// slot is a twelfth of a window: where things stood at its end, and the lowest lag in it.
type slot struct {
	at     int64 // when it was last written to, in nanoseconds since 1970
	commit int64
	lag    int64
	low    int64
	moved  bool // the commit moved on in it
}

// pause is a time without progress, though there was something to read, after which the group went on.
type pause struct {
	length time.Duration
	ended  int64
	read   bool // a member read all the time, and committed at the end what it had read
}

// window is what was seen lately of a group on a partition. Times are in nanoseconds since 1970; 0 is never.
type window struct {
	slots   []slot // oldest first; the last one is being filled
	opened  int64  // when the last slot was opened
	watched int64  // since when
	moved   int64  // when the commit was last seen to have moved on
	stuck   int64  // since when there is something to read and the commit has not moved
	absent  int64  // since when nobody reads; 0 while somebody does
	joined  int64  // when somebody came who reads, after nobody had for as long as a window
	turned  int64  // when the commit went back
	peak    int64  // where it was before, as long as it is not there again
	pauses  [habits]pause
}

// see notes a commit, how many records the group could read, and who does, as one round saw them. What retention deletes is no longer to be
// read, and is no progress either.
func (w *window) see(now time.Time, commit, lag int64, who readers, r Rules) {
	at := now.UnixNano()
	switch {
	case who == aReader:
		if w.absent != 0 && at-w.absent >= int64(r.Window) {
			w.joined = at
		}
		w.absent = 0
	case who != unknownReaders && w.absent == 0:
		w.absent = at
	}
	if w.watched == 0 {
		w.watched = at
	} else {
		last := w.slots[len(w.slots)-1]
		switch {
		case commit > last.commit:
			w.goesOn(at, commit-last.commit, lag, r)
			w.moved, w.stuck = at, 0
		case commit < last.commit:
			w.peak, w.turned, w.stuck = max(w.peak, last.commit), at, 0
		}
	}
	if commit >= w.peak || at-w.turned > int64(r.Window) {
		w.turned, w.peak = 0, 0
	}
	switch {
	case lag <= r.AllowedLag:
		w.stuck = 0
	case w.stuck == 0:
		w.stuck = at
	}
	w.put(slot{at: at, commit: commit, lag: lag, low: lag, moved: w.moved == at}, r)
}

// leaveOut has the time since the last look not count, as nothing was seen in it.
func (w *window) leaveOut(now time.Time) {
	if len(w.slots) == 0 {
		return
	}
	gap := now.UnixNano() - w.slots[len(w.slots)-1].at
	for _, since := range []*int64{&w.watched, &w.stuck, &w.absent, &w.joined, &w.turned} {
		if *since != 0 {
			*since += gap
		}
	}
}

// put writes to the slot of the time, and lets go what is older than the window.
func (w *window) put(s slot, r Rules) {
	if w.opened == 0 || s.at-w.opened >= int64(r.Window)/slots {
		w.slots, w.opened = append(w.slots, s), s.at
	} else {
		last := &w.slots[len(w.slots)-1]
		s.low, s.moved = min(s.low, last.low), s.moved || last.moved
		*last = s
	}
	old := 0
	for old < len(w.slots)-1 && s.at-w.slots[old].at > int64(r.Window) {
		old++
	}
	w.slots = slices.Delete(w.slots, 0, old)
}

// goesOn remembers the pause that ends, if it was long, was seen to begin, and is one that may be a habit: nobody was a member, or one read
// on and commits seldom, as who writes a file an hour does. Such a commit leaves little of what had piled up; one that goes on after
// having hung begins with what had.
func (w *window) goesOn(at, handled, lag int64, r Rules) {
	length := time.Duration(at - w.stuck)
	if w.stuck == 0 || w.moved == 0 || length <= r.Window {
		return
	}
	read := w.absent == 0 && w.joined < w.stuck
	if read && lag > handled/10 {
		return
	}
	copy(w.pauses[1:], w.pauses[:])
	w.pauses[0] = pause{length, at, read}
}

// habit is how long the group pauses every now and then, without members or while one reads: the second longest of its last pauses of the
// kind, as one outage is no habit. Where there was one only, that is alone. Pauses that are long past, measured by their length, are no
// habit any more.
func (w *window) habit(read bool) (habit, alone time.Duration) {
	for _, p := range w.pauses {
		switch {
		case p.read != read || w.lasted(p.ended) > 8*p.length:
		case p.length > alone:
			habit, alone = alone, p.length
		case p.length > habit:
			habit = p.length
		}
	}
	return habit, alone
}

// stands says whether the group was at this commit already at the last look, with something to read.
func (w *window) stands(commit int64) bool {
	return len(w.slots) > 0 && w.stuck != 0 && w.slots[len(w.slots)-1].commit == commit
}

// lasted is how long something has lasted at the last look.
func (w *window) lasted(since int64) time.Duration {
	return time.Duration(w.slots[len(w.slots)-1].at - since)
}

// stood is how long there has been something to read without progress.
func (w *window) stood() time.Duration {
	if w.stuck == 0 {
		return 0
	}
	return w.lasted(w.stuck)
}

// complete is how much of a window was watched, from 0 to 1.
func (w *window) complete(r Rules) float64 {
	if len(w.slots) == 0 {
		return 0
	}
	return min(float64(w.lasted(w.watched))/float64(r.Window), 1)
}

// lows are the lowest lags of the window's three thirds, oldest first. Only slots in which the commit moved count: in between, lag grows
// by itself. ok is false before the window is complete, and where the commit did not move in all thirds.
func (w *window) lows(r Rules) (lows [3]int64, ok bool) {
	if w.complete(r) < 1 {
		return lows, false
	}
	n := len(w.slots)
	for i := range lows {
		lows[i] = -1
		for _, s := range w.slots[i*n/3 : (i+1)*n/3] {
			if s.moved && (lows[i] < 0 || s.low < lows[i]) {
				lows[i] = s.low
			}
		}
		if lows[i] < 0 {
			return lows, false
		}
	}
	return lows, true
}

// drain is how long it takes until the group has caught up, if it goes on as in the last quarter of the window; ok is false where it does
// not catch up at all.
func (w *window) drain() (d time.Duration, ok bool) {
	n := len(w.slots)
	if n < 2 {
		return 0, false
	}
	from, to := w.slots[max(n-1-slots/4, 0)], w.slots[n-1]
	if to.lag == 0 {
		return 0, true
	}
	if to.lag >= from.lag || to.commit <= from.commit {
		return 0, false
	}
	return time.Duration(float64(to.lag) * float64(to.at-from.at) / float64(from.lag-to.lag)), true
}
