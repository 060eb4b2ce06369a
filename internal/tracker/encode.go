package tracker

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/bits"
)

// Encode writes what is finished above the frontier, for a commit of the frontier, in at most a number of characters: all of it,
// or the longest prefix that fits. It is empty when nothing is ahead, or nothing fits. It reads no more of the set than fits.
func (t *Tracker) Encode(topicID [16]byte, most int) string {
	if !t.HasAhead() {
		return ""
	}
	offset, _ := t.Frontier()
	base := Base{Offset: offset, TopicID: topicID}
	epoch := uint64(int64(t.newestEpoch()) + 1)
	room := (min(most, MaxCharacters)-len(prefix))*3/4 - checksumBytes - 1 - varintLen(epoch)
	if room <= 0 {
		return ""
	}
	form, size, end := t.choose(base.Offset, room)
	if end == base.Offset {
		return ""
	}
	b := make([]byte, checksumBytes, shortest+binary.MaxVarintLen32+size)
	b = binary.AppendUvarint(append(b, form), epoch)
	b = t.appendForm(b, base.Offset, form, size, end)
	binary.BigEndian.PutUint32(b, base.checksum(b[checksumBytes:]))
	return prefix + base64.RawURLEncoding.EncodeToString(b)
}

// choose finds the form that takes the most into some bytes, and of those the smallest; end is one past the last offset in it.
func (t *Tracker) choose(base int64, room int) (form byte, size int, end int64) {
	fits := [...]fit{formGaps: {end: base}, formRuns: {end: base}, formBits: {end: base}}
	for first, last := range t.runs {
		fits[formGaps].addGaps(first, last, room)
		fits[formRuns].addRun(first, last, base, room)
		fits[formBits].addBits(first, last, base, room)
		if fits[formGaps].full && fits[formRuns].full && fits[formBits].full {
			break
		}
	}
	for i := range fits {
		if f := fits[i]; f.end > end || f.end == end && f.size < size {
			form, size, end = byte(i), f.size, f.end
		}
	}
	return form, size, end
}

// fit is how much of the set one form takes.
type fit struct {
	size int   // bytes
	end  int64 // one past the last offset; the base where there is none
	full bool  // nothing more fits
}

func (f *fit) addGaps(first, last int64, room int) {
	if f.full {
		return
	}
	gap := varintLen(uint64(first - f.end))
	left := room - f.size - gap
	if left < 0 {
		f.full = true
		return
	}
	more := min(last-first, int64(left)) // a byte each
	f.size += gap + int(more)
	f.end, f.full = first+more+1, more < last-first
}

func (f *fit) addRun(first, last, base int64, room int) {
	if f.full {
		return
	}
	place := f.end + 1
	if f.size == 0 {
		place = base
	}
	gap := varintLen(uint64(first - place))
	left := room - f.size - gap
	if left <= 0 {
		f.full = true
		return
	}
	more := last - first
	if left < binary.MaxVarintLen64 {
		more = min(more, 1<<(7*left)-1) // the largest that is so short
	}
	f.size += gap + varintLen(uint64(more))
	f.end, f.full = first+more+1, more < last-first
}

func (f *fit) addBits(first, last, base int64, room int) {
	most := base + min(int64(room)*8, math.MaxInt64-base)
	if f.full || first >= most {
		f.full = true
		return
	}
	f.end, f.full = min(last+1, most), last >= most
	f.size = int((f.end - base + 7) / 8)
}

// appendForm writes the set up to end.
func (t *Tracker) appendForm(b []byte, base int64, form byte, size int, end int64) []byte {
	head, place := len(b), base
	if form == formBits {
		b = append(b, make([]byte, size)...)
	}
	for first, last := range t.runs {
		if first >= end {
			break
		}
		last = min(last, end-1)
		switch form {
		case formGaps:
			b = binary.AppendUvarint(b, uint64(first-place))
			b = append(b, make([]byte, last-first)...)
			place = last + 1
		case formRuns:
			b = binary.AppendUvarint(b, uint64(first-place))
			b = binary.AppendUvarint(b, uint64(last-first))
			place = last + 2
		case formBits:
			setBits(b[head:], first-base, last-base)
		}
	}
	return b
}

// setBits sets bits first to last.
func setBits(b []byte, first, last int64) {
	for i := first; i <= last; {
		if i%8 == 0 && last-i >= 7 {
			b[i/8] = 0xff
			i += 8
			continue
		}
		b[i/8] |= 1 << (i % 8)
		i++
	}
}

func varintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
