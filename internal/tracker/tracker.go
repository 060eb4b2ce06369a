// Package tracker keeps the frontier of one assignment: the lowest offset that is not finished, and so the only one that
// may be committed.
//
// Records are taken in offset order and finished in any order:
//
//	taken     10 11 12 15 16 17      13 and 14 are a gap: compacted, aborted, or a marker
//	finished  10 11       16
//	frontier        12               after 12: 15, as a gap counts as finished; after 15: 17
//
// What is finished above the frontier is ahead: here 16. Encode writes it into a text that travels with the commit of the
// frontier, and Decode and Restore read it back, so that it is not done again (see ahead.go).
//
// It is pure: no I/O, no clock, no lock. Memory is 16 bytes for each record that is not finished, and for each run of finished
// ones between them, however long and however far apart they are.
package tracker

import (
	"fmt"
	"math"
	"sort"
)

// Tracker is the frontier of one assignment. Make it with New. It is not safe for concurrent use.
type Tracker struct {
	entries []entry // taken records from the frontier on, in offset order; entries[:head] is free space
	head    int
	next    int64 // one past the newest record taken
	epoch   int32 // leader epoch of the record before the frontier
	open    int   // entries that are not finished
	ahead   int   // records above the frontier that are
	changes uint64

	restored *restored // what a commit said is finished, as far as it was not taken yet; nil for nothing
}

// restored is what is left of an ahead set.
type restored struct {
	first, last int64 // the run at hand
	rest        Ahead
}

type entry struct {
	offset   int64
	epoch    int32
	finished uint32 // records that are finished: this one, and those before it that it stands for; 0 while it is not
}

// New returns a tracker whose frontier is start. epoch is the leader epoch of the record before it, -1 when unknown.
func New(start int64, epoch int32) *Tracker {
	return &Tracker{next: start, epoch: epoch}
}

// Take adds a record. Offsets between the newest one and this are a gap, which counts as finished. It reports false, and
// changes nothing, when the offset was taken before or lies before the start.
//
// A record with a newer leader epoch than any that was known when what Restore took over was written says that the log may be another
// one: the others may have the offsets of records that were taken back, so all that is restored from there on is forgotten.
func (t *Tracker) Take(offset int64, epoch int32) bool {
	if offset < t.next {
		return false
	}
	if t.restored != nil && epoch > t.restored.rest.epoch {
		t.restored = nil
	}
	if len(t.entries) == cap(t.entries) {
		t.makeRoom()
	}
	t.entries = append(t.entries, entry{offset: offset, epoch: epoch})
	t.next = offset + 1
	t.open++
	return true
}

// makeRoom gives room back, where that is worth it: what the frontier has passed, and finished records that are followed by
// another one, as the last of a run says all that there is to say.
func (t *Tracker) makeRoom() {
	taken := t.entries[t.head:]
	switch {
	case t.head > len(t.entries)/2:
		n := copy(t.entries, taken)
		t.entries, t.head = t.entries[:n], 0
	case t.open < len(taken)/3:
		kept := t.entries[:0]
		for i, it := range taken {
			if it.finished > 0 && i < len(taken)-1 && taken[i+1].finished > 0 && it.finished < math.MaxUint32/2 {
				taken[i+1].finished += it.finished
			} else {
				kept = append(kept, it)
			}
		}
		t.entries, t.head = kept, 0
	}
}

// Skip moves past offsets that no longer exist: up to offset, they count as a gap.
func (t *Tracker) Skip(offset int64) { t.next = max(t.next, offset) }

// Finish marks a taken record as finished. It reports false, and changes nothing, when the offset was not taken or is
// finished already.
func (t *Tracker) Finish(offset int64) bool {
	if t.head < len(t.entries) && t.entries[t.head].offset == offset { // the common case: in order
		t.entries[t.head].finished = 1
		t.ahead++
		t.open--
		t.advance()
		return true
	}
	taken := t.entries[t.head:]
	if len(taken) == 0 || offset < taken[0].offset {
		return false
	}
	// Without gaps it lies as far behind the first as their offsets do, and with gaps before that.
	i := int(min(offset-taken[0].offset, int64(len(taken)-1)))
	if taken[i].offset != offset {
		i = sort.Search(i, func(i int) bool { return taken[i].offset >= offset })
	}
	if taken[i].offset != offset || taken[i].finished > 0 {
		return false
	}
	taken[i].finished = 1
	t.ahead++
	t.open--
	t.changes++
	return true
}

// advance moves the head over finished entries; the first one left, if any, is unfinished.
func (t *Tracker) advance() {
	for t.head < len(t.entries) && t.entries[t.head].finished > 0 {
		t.epoch = t.entries[t.head].epoch
		t.ahead -= int(t.entries[t.head].finished)
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

// Reach counts n unfinished records from the offset from on, and returns one past the last of them, with its leader epoch
// (-1 where there is none) and how many there were. With fewer than n the offset is Next.
func (t *Tracker) Reach(from int64, n int) (offset int64, epoch int32, found int) {
	taken := t.entries[t.head:]
	i := sort.Search(len(taken), func(i int) bool { return taken[i].offset >= from })
	offset, epoch = from, -1
	for ; i < len(taken); i++ {
		if taken[i].finished == 0 {
			if found == n {
				return offset, epoch, found
			}
			found++
		}
		offset, epoch = taken[i].offset+1, taken[i].epoch
	}
	return max(t.next, from), epoch, found
}

// Restore takes over what the commit of the start said is finished above it. Call it before the first Take.
func (t *Tracker) Restore(a Ahead) {
	if first, last, ok := a.next(); ok {
		t.restored = &restored{first: first, last: last, rest: a}
	}
}

// Restored tells whether the record that was taken last is finished by what Restore took over.
func (t *Tracker) Restored(offset int64) bool { return t.restored != nil && t.isRestored(offset) }

func (t *Tracker) isRestored(offset int64) bool {
	r, ok := t.restored, true
	for ok && r.last < offset { // the others are not in the log any more
		r.first, r.last, ok = r.rest.next()
	}
	if !ok {
		t.restored = nil
		return false
	}
	return r.first <= offset
}

// HasAhead tells whether anything may be ahead. With nothing, Encode has nothing to do.
func (t *Tracker) HasAhead() bool { return t.ahead > 0 || t.restored != nil }

// Changes grows whenever more is ahead of the same frontier.
func (t *Tracker) Changes() uint64 { return t.changes }

// newestEpoch is the highest leader epoch that the log is known to have had; -1 unknown.
func (t *Tracker) newestEpoch() int32 {
	epoch := t.epoch
	if n := len(t.entries); n > t.head {
		epoch = max(epoch, t.entries[n-1].epoch)
	}
	if t.restored != nil {
		epoch = max(epoch, t.restored.rest.epoch)
	}
	return epoch
}

// runs goes through what is ahead, run by run, in order: from after an unfinished record to the last finished one before the next
// (a gap in front of it counts as finished), and then through what is restored and was not taken yet.
func (t *Tracker) runs(yield func(first, last int64) bool) {
	taken := t.entries[t.head:]
	first, last := t.next, int64(-1) // the run at hand; none while last < first
	for i, finished := 0, len(taken)-t.open; i < len(taken) && finished > 0; i++ {
		switch it := taken[i]; {
		case it.finished > 0:
			last = it.offset
			finished--
		default:
			if last >= first && !yield(first, last) {
				return
			}
			first = it.offset + 1
		}
	}
	if t.restored != nil {
		rest, ok := *t.restored, true
		for ; ok; rest.first, rest.last, ok = rest.rest.next() {
			from := max(rest.first, t.next)
			switch {
			case rest.last < from:
			case last >= first && from <= last+1: // it goes on
				last = rest.last
			default:
				if last >= first && !yield(first, last) {
					return
				}
				first, last = from, rest.last
			}
		}
	}
	if last >= first {
		yield(first, last)
	}
}

// Next is one past the newest record taken.
func (t *Tracker) Next() int64 { return t.next }

// Unfinished is how many taken records are not finished.
func (t *Tracker) Unfinished() int { return t.open }

// FinishedAhead is how many taken records above the frontier are finished.
func (t *Tracker) FinishedAhead() int { return t.ahead }

func (t *Tracker) String() string {
	frontier, _ := t.Frontier()
	return fmt.Sprintf("frontier %d, next %d, %d unfinished", frontier, t.next, t.open)
}
