package monitor

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// mostSamples are what a history holds. Where it is full, the sample that is missed least is left out: what is further back is known less
// exactly, until a sounding says more.
const mostSamples = 32

// sample is a time span in which a log's end stood: it had come to end by first, and had not passed it at last. Both are in nanoseconds
// since 1970; last is 0 where it is not known that the end stood at all. An idle partition is one sample.
type sample struct {
	end         int64
	first, last int64
}

// history is where a log's end was, over time. Ends grow strictly from sample to sample, and times do not go back. The zero value is
// ready to use.
type history struct{ samples []sample }

// observe notes an end that was asked for and answered at these times. Where the log has become shorter, what is above its end is
// forgotten.
func (h *history) observe(asked, answered time.Time, end int64) {
	n := len(h.samples)
	for n > 0 && h.samples[n-1].end > end {
		n--
	}
	h.samples = h.samples[:n]
	if n > 0 && h.samples[n-1].end == end {
		h.samples[n-1].last = max(h.samples[n-1].last, asked.UnixNano())
		return
	}
	s := sample{end: end, first: answered.UnixNano(), last: asked.UnixNano()}
	if n > 0 {
		before := max(h.samples[n-1].first, h.samples[n-1].last)
		s.first, s.last = max(s.first, before), max(s.last, before) // a clock that was set back
	}
	h.room()
	h.samples = append(h.samples, s)
}

// sound notes what ListOffsets said of a time: the first record that is not older is at offset, and was written at stamp. A record's time
// is what its producer says, so what contradicts our own looks is left out; ok says whether it was of use.
func (h *history) sound(at, stamp time.Time, offset int64) (ok bool) {
	from, to := at.UnixNano(), nanoseconds(stamp)
	if to < from {
		return false
	}
	return h.insert(sample{end: offset, first: from, last: to}) && h.insert(sample{end: offset + 1, first: to, last: to}) ||
		h.soundBefore(from, offset) // its own time is wrong, as one in the future, but those before it are older than what was asked for
}

// soundBefore notes that the records below an offset were there at a time. How long the log's end stood there is known from the sample
// before only.
func (h *history) soundBefore(at, offset int64) bool {
	s := sample{end: offset, first: at}
	if i, _ := slices.BinarySearchFunc(h.samples, offset, byEnd); i > 0 {
		s.last = h.samples[i-1].last
	}
	return h.insert(s)
}

// nanoseconds are those since 1970, as many as there are.
func nanoseconds(t time.Time) int64 {
	if t.After(time.Unix(0, math.MaxInt64)) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// soundEnd notes that no record is as new as that: the log's end was then where it is now.
func (h *history) soundEnd(at time.Time) (ok bool) {
	n := len(h.samples)
	return n > 0 && h.insert(sample{end: h.samples[n-1].end, first: at.UnixNano(), last: h.samples[n-1].last})
}

// insert puts a sample between those that are there, if it fits.
func (h *history) insert(s sample) bool {
	h.room()
	i, found := slices.BinarySearchFunc(h.samples, s.end, byEnd)
	if i == len(h.samples) { // beyond what we have seen ourselves: the next look tells
		return false
	}
	if i > 0 && max(h.samples[i-1].first, h.samples[i-1].last) > s.first {
		return false
	}
	if found {
		if i+1 < len(h.samples) && s.last > h.samples[i+1].first {
			return false
		}
		h.samples[i].first, h.samples[i].last = min(h.samples[i].first, s.first), max(h.samples[i].last, s.last)
		return true
	}
	if max(s.first, s.last) > h.samples[i].first {
		return false
	}
	h.samples = slices.Insert(h.samples, i, s)
	return true
}

func byEnd(s sample, end int64) int { return cmp.Compare(s.end, end) }

// room makes room for one sample. Without the one that goes, the least is lost: what was between its neighbours is known less exactly, and
// the less that matters the longer ago it was.
func (h *history) room() {
	n := len(h.samples)
	if n < mostSamples {
		return
	}
	newest, drop, least := h.samples[n-1].last, 1, math.Inf(1)
	for i := 1; i < n-1; i++ {
		width, age := h.samples[i+1].first-h.samples[i-1].last, newest-h.samples[i].last+int64(precise)
		if loss := float64(width) / float64(age); loss < least {
			drop, least = i, loss
		}
	}
	h.samples = slices.Delete(h.samples, drop, drop+1)
}

// span is when a record was written: after early, not after late. open says that early is not known, and that late is when we first
// saw the record.
type span struct {
	early, late time.Time
	open        bool
	share       float64 // where in the span the record lies if the log grew evenly: 0 at early, 1 at late
}

// written says when the record at an offset was written; ok is false where there is none yet, or nothing was seen at all.
func (h *history) written(offset int64) (w span, ok bool) {
	i, _ := slices.BinarySearchFunc(h.samples, offset+1, byEnd)
	if i == len(h.samples) {
		return span{}, false
	}
	right := h.samples[i]
	w.late = time.Unix(0, right.first)
	if i == 0 || h.samples[i-1].last == 0 {
		w.early, w.open = w.late, true
		return w, true
	}
	left := h.samples[i-1]
	w.early = time.Unix(0, min(left.last, right.first))
	w.share = (float64(offset-left.end) + 0.5) / float64(right.end-left.end)
	return w, true
}
