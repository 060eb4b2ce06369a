// Package tracker keeps the frontier of one assignment: the lowest offset that is not finished, and so the only one that
// may be committed.
//
// Records are taken in offset order and finished in any order:
//
//	taken     10 11 12 15 16 17      13 and 14 are a gap: compacted, aborted, or a marker
//	finished  10 11       16
//	frontier        12               after 12: 15, as a gap counts as finished; after 15: 17
//
// It is pure: no I/O, no clock, no lock. Memory is 16 bytes for each record between the frontier and the newest one taken,
// however far apart their offsets lie.
package tracker

import (
	"fmt"
	"sort"
)

// Tracker is the frontier of one assignment. Make it with New. It is not safe for concurrent use.
type Tracker struct {
	entries []entry // taken records from the frontier on, in offset order; entries[:head] is free space
	head    int
	next    int64 // one past the newest record taken
	epoch   int32 // leader epoch of the record before the frontier
	open    int   // entries that are not finished
}

type entry struct {
	offset int64
	epoch  int32
	done   bool
}

// New returns a tracker whose frontier is start. epoch is the leader epoch of the record before it, -1 when unknown.
func New(start int64, epoch int32) *Tracker {
	return &Tracker{next: start, epoch: epoch}
}

// Take adds a record. Offsets between the newest one and this are a gap, which counts as finished. It reports false, and
// changes nothing, when the offset was taken before or lies before the start.
func (t *Tracker) Take(offset int64, epoch int32) bool {
	if offset < t.next {
		return false
	}
	if len(t.entries) == cap(t.entries) && t.head > len(t.entries)/2 { // half of it is free: move, else grow
		n := copy(t.entries, t.entries[t.head:])
		t.entries, t.head = t.entries[:n], 0
	}
	t.entries = append(t.entries, entry{offset: offset, epoch: epoch})
	t.next = offset + 1
	t.open++
	return true
}

// Skip moves past offsets that no longer exist: up to offset, they count as a gap.
func (t *Tracker) Skip(offset int64) { t.next = max(t.next, offset) }

// Finish marks a taken record as finished. It reports false, and changes nothing, when the offset was not taken or is
// finished already.
func (t *Tracker) Finish(offset int64) bool {
	if t.head < len(t.entries) && t.entries[t.head].offset == offset { // the common case: in order
		t.entries[t.head].done = true
		t.open--
		t.advance()
		return true
	}
	taken := t.entries[t.head:]
	i := sort.Search(len(taken), func(i int) bool { return taken[i].offset >= offset })
	if i == len(taken) || taken[i].offset != offset || taken[i].done {
		return false
	}
	taken[i].done = true
	t.open--
	return true
}

// advance moves the head over finished entries; the first one left, if any, is unfinished.
func (t *Tracker) advance() {
	for t.head < len(t.entries) && t.entries[t.head].done {
		t.epoch = t.entries[t.head].epoch
		t.head++
	}
	if t.head == len(t.entries) {
		t.entries, t.head = t.entries[:0], 0
	}
}

// Frontier returns the lowest unfinished offset, and the leader epoch of the record before it (-1 unknown), as a commit
// wants them.
func (t *Tracker) Frontier() (offset int64, epoch int32) {
	if t.head < len(t.entries) {
		return t.entries[t.head].offset, t.epoch
	}
	return t.next, t.epoch
}

// Ahead counts n unfinished records from the offset from on, and returns one past the last of them, with its leader epoch
// (-1 where there is none) and how many there were. With fewer than n the offset is Next.
func (t *Tracker) Ahead(from int64, n int) (offset int64, epoch int32, found int) {
	taken := t.entries[t.head:]
	i := sort.Search(len(taken), func(i int) bool { return taken[i].offset >= from })
	offset, epoch = from, -1
	for ; i < len(taken); i++ {
		if !taken[i].done {
			if found == n {
				return offset, epoch, found
			}
			found++
		}
		offset, epoch = taken[i].offset+1, taken[i].epoch
	}
	return max(t.next, from), epoch, found
}

// Next is one past the newest record taken.
func (t *Tracker) Next() int64 { return t.next }

// Unfinished is how many taken records are not finished.
func (t *Tracker) Unfinished() int { return t.open }

// FinishedAhead is how many taken records above the frontier are finished.
func (t *Tracker) FinishedAhead() int { return len(t.entries) - t.head - t.open }

func (t *Tracker) String() string {
	frontier, _ := t.Frontier()
	return fmt.Sprintf("frontier %d, next %d, %d unfinished", frontier, t.next, t.open)
}
