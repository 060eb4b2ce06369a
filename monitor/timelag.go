package monitor

import "time"

// precise is how exactly the time of a record is wanted: soundings go on until it is known to that.
const precise = time.Second

// TimeLag is the age of the oldest record that a group has not handled.
type TimeLag struct {
	// Known is false where there is no commit, or no look at the log.
	Known bool

	// Behind is the age; 0 when the group has caught up.
	Behind time.Duration

	// Within is how far the truth may be from Behind, to either side, as far as the records' own times are true.
	Within time.Duration

	// AtLeast says that the record was there already when it was first looked for: it is as old as Behind, and may be older. Within is 0
	// then.
	AtLeast bool
}

// worse is the time lag of two partitions: the larger one that is known, and at least that where one of them may be larger.
func (l TimeLag) worse(than TimeLag) TimeLag {
	if than.Known && (!l.Known || than.Behind > l.Behind) {
		l, than = than, l
	}
	l.AtLeast = l.AtLeast || than.AtLeast
	return l
}

// timeLagOf is the age at now of the first record from commit on that its log still holds. end is where the group can read to.
func timeLagOf(h *history, now time.Time, commit, start, end int64) TimeLag {
	oldest := max(commit, start)
	if oldest >= end {
		return TimeLag{Known: true}
	}
	w, ok := h.written(oldest)
	if !ok {
		return TimeLag{}
	}
	if w.open {
		return TimeLag{Known: true, Behind: max(now.Sub(w.late), 0), AtLeast: true}
	}
	width := w.late.Sub(w.early)
	into := time.Duration(w.share * float64(width))
	return TimeLag{
		Known:  true,
		Behind: max(now.Sub(w.early.Add(into)), 0),
		Within: max(into, width-into),
	}
}

// soundingFor is the time at which a log is to be sounded at now, to know better when a record was written; ok is false when it is known.
// tries says how often it was sounded for that record in this round.
func soundingFor(w span, now time.Time, tries int) (at time.Time, ok bool) {
	if w.open { // four times as far back, and a minute: a week is reached with the seventh
		at = w.late.Add(-3*now.Sub(w.late) - time.Minute)
		return at, at.UnixNano() > 0
	}
	width := w.late.Sub(w.early)
	if width <= precise {
		return time.Time{}, false
	}
	var into time.Duration
	switch tries % soundingPasses {
	case 0: // as if the log had grown evenly
		into = time.Duration(w.share * float64(width))
	case 2: // records are written together, at the beginning
		into = precise
	case 3: // or at the end
		into = width - precise
	default: // half of it goes away in any case
		into = width / 2
	}
	return w.early.Add(max(time.Millisecond, min(into, width-time.Millisecond))), true
}
