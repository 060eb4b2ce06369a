package tracker_test

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/internal/tracker"
)

const most = 4096

var topicID = [16]byte{1, 2, 3}

// restoredOf takes records of a new tracker that begins at a commit, and returns those that are finished by it.
func restoredOf(t rapid.TB, text string, base, end int64) []int64 {
	t.Helper()
	ahead, err := tracker.Decode(text, tracker.Base{Offset: base, TopicID: topicID})
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	tr := tracker.New(base, -1)
	tr.Restore(ahead)
	var offsets []int64
	for o := base; o < end; o++ {
		tr.Take(o, -1)
		if tr.Restored(o) {
			offsets = append(offsets, o)
		}
	}
	return offsets
}

// drawTracker is one whose records up to end are in some state; finished are those that are ahead.
func drawTracker(t *rapid.T) (tr *tracker.Tracker, base, end int64, finished []int64) {
	base = rapid.Int64Range(0, 1<<40).Draw(t, "base")
	tr = tracker.New(base, -1)
	var all []int64
	dense := rapid.SampledFrom([]int{1, 2, 10, 50, 90, 99}).Draw(t, "percent finished")
	longest := rapid.SampledFrom([]int{1, 3, 50, 1000}).Draw(t, "longest run")
	end = base + 1
	tr.Take(base, -1) // stuck
	for range rapid.IntRange(0, 60).Draw(t, "runs") {
		n := rapid.IntRange(1, longest).Draw(t, "run")
		done := rapid.IntRange(0, 99).Draw(t, "finished") < dense
		for range n {
			tr.Take(end, -1)
			if done {
				all = append(all, end)
			}
			end++
		}
	}
	finished = all
	for _, o := range rapid.Permutation(all).Draw(t, "order") {
		tr.Finish(o)
	}
	return tr, base, end, finished
}

func TestWhatIsEncodedIsRestored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr, base, end, finished := drawTracker(t)
		text := tr.Encode(topicID, tracker.MaxCharacters)
		if got := restoredOf(t, text, base, end); !slices.Equal(got, finished) {
			t.Fatalf("%q: restored %v, want %v", text, got, finished)
		}
	})
}

// Over the budget it is the longest prefix that any of the forms has room for.
func TestOverTheBudgetTheLongestPrefixIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr, base, end, finished := drawTracker(t)
		kept := 0
		for budget := range 120 {
			text := tr.Encode(topicID, budget)
			if len(text) > budget {
				t.Fatalf("%d characters with a budget of %d", len(text), budget)
			}
			got := restoredOf(t, text, base, end)
			if len(got) < kept || !slices.Equal(got, finished[:len(got)]) {
				t.Fatalf("budget %d: restored %v, which is no prefix of %v, or shorter than with less (%d)", budget, got, finished, kept)
			}
			kept = len(got)
			room := (budget-len("sluice1:"))*3/4 - 6
			if kept < len(finished) && smallest(base, finished[:kept+1]) <= room {
				t.Fatalf("budget %d: %d offsets are kept, and one more would fit", budget, kept)
			}
		}
	})
}

// smallest is how many bytes the smallest form of some offsets takes, worked out naively.
func smallest(base int64, offsets []int64) int {
	var gaps, runs []byte
	place := base
	for _, o := range offsets {
		gaps = binary.AppendUvarint(gaps, uint64(o-place))
		place = o + 1
	}
	place = base
	for i := 0; i < len(offsets); {
		j := i
		for j+1 < len(offsets) && offsets[j+1] == offsets[j]+1 {
			j++
		}
		runs = binary.AppendUvarint(runs, uint64(offsets[i]-place))
		runs = binary.AppendUvarint(runs, uint64(j-i))
		place = offsets[j] + 2
		i = j + 1
	}
	bits := int(offsets[len(offsets)-1]-base)/8 + 1
	return min(len(gaps), len(runs), bits)
}

// A member that restored a set, and crashed before it had taken all of it, hands all of it on: nothing finished is done again,
// and nothing else is left out, over several crashes. Offsets that were compacted away meanwhile do not matter.
func TestInvariant9WhatWasNotTakenYetIsHandedOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tr, base, end, finished := drawTracker(t)
		done := make(map[int64]bool)
		for _, o := range finished {
			done[o] = true
		}
		gone := make(map[int64]bool)
		for range 4 {
			ahead, err := tracker.Decode(tr.Encode(topicID, tracker.MaxCharacters), tracker.Base{Offset: base, TopicID: topicID})
			if err != nil {
				t.Fatalf("invariant 9: the set does not belong to its frontier, %d: %v", base, err)
			}
			tr = tracker.New(base, -1)
			tr.Restore(ahead)
			compact := rapid.IntRange(0, 30).Draw(t, "compacted")
			finish := rapid.IntRange(0, 100).Draw(t, "finished")
			random := rapid.Uint64().Draw(t, "which")
			roll := func(o int64) int { return int((uint64(o) + random) * 0x9e3779b97f4a7c15 >> 40 % 100) }
			stop := rapid.Int64Range(base, end).Draw(t, "stop")
			for o := base; o < stop; o++ {
				if gone[o] = gone[o] || roll(o) < compact; gone[o] {
					continue
				}
				tr.Take(o, -1)
				restored := tr.Restored(o)
				if restored != done[o] {
					t.Fatalf("invariant 9: offset %d restored: %v, want %v", o, restored, done[o])
				}
				if restored || roll(-o) < finish {
					tr.Finish(o)
					done[o] = true
				}
			}
			base, _ = tr.Frontier()
		}
	})
}

func TestInvariant1ASetIsGoodForItsCommitOnly(t *testing.T) {
	tr := tracker.New(10, 3)
	for o := int64(10); o < 20; o++ {
		tr.Take(o, 3)
	}
	tr.Finish(12)
	text := tr.Encode(topicID, most)
	good := tracker.Base{Offset: 10, TopicID: topicID}
	if _, err := tracker.Decode(text, good); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for what, base := range map[string]tracker.Base{
		"another offset": {Offset: 11, TopicID: topicID}, "offset 0": {TopicID: topicID}, "another topic": {Offset: 10},
	} {
		if _, err := tracker.Decode(text, base); err == nil {
			t.Errorf("invariant 1: the set of 10 was taken for that of %s", what)
		}
	}
	for i := range text {
		for _, c := range []byte{'A', 'B', '-', text[i] ^ 1} {
			bad := text[:i] + string(c) + text[i+1:]
			if _, err := tracker.Decode(bad, good); bad != text && err == nil {
				t.Errorf("%q was accepted in the place of %q", bad, text)
			}
		}
		if _, err := tracker.Decode(text[:i], good); i > 0 && err == nil {
			t.Errorf("%q was accepted", text[:i])
		}
	}
	if _, err := tracker.Decode("hello", good); err == nil || !strings.Contains(err.Error(), "not of this program") {
		t.Errorf("hello: %v", err)
	}
	if a, err := tracker.Decode("", good); err != nil || !a.Empty() {
		t.Errorf("no metadata: %v, %v", a, err)
	}
}

// The log was cut off below the set and written again: its offsets are other records'.
func TestInvariant1ARestoredOffsetOfALaterLeaderIsAnotherRecord(t *testing.T) {
	tr := tracker.New(10, 3)
	for o := int64(10); o < 20; o++ {
		tr.Take(o, 3)
	}
	for o := int64(12); o < 20; o++ {
		tr.Finish(o)
	}
	ahead, err := tracker.Decode(tr.Encode(topicID, most), tracker.Base{Offset: 10, TopicID: topicID})
	if err != nil {
		t.Fatal(err)
	}
	tr = tracker.New(10, 3)
	tr.Restore(ahead)
	for o := int64(10); o < 20; o++ {
		epoch := int32(3)
		if o >= 14 {
			epoch = 4
		}
		tr.Take(o, epoch)
		if got, want := tr.Restored(o), o == 12 || o == 13; got != want {
			t.Errorf("invariant 1: offset %d of leader epoch %d restored: %v, want %v", o, epoch, got, want)
		}
	}
	if text := tr.Encode(topicID, most); text != "" {
		t.Errorf("invariant 1: what was taken back is written again: %q", text)
	}
}

// One stuck record, and a million finished behind it: memory and text stay small.
func TestAStuckRecordCostsNoMemory(t *testing.T) {
	tr := tracker.New(0, 0)
	tr.Take(0, 0)
	allocs := testing.AllocsPerRun(1, func() {
		for range 1_000_000 {
			o := tr.Next()
			tr.Take(o, 0)
			tr.Finish(o)
		}
	})
	if allocs > 3 {
		t.Errorf("%v allocations for a million records behind a stuck one", allocs)
	}
	if text := tr.Encode(topicID, most); len(text) > 40 {
		t.Errorf("%d characters for one run", len(text))
	}
	if f, _ := tr.Frontier(); f != 0 || tr.Unfinished() != 1 {
		t.Fatalf("%v", tr)
	}
}

// Arbitrary text is refused or read, in bounded memory, and what is read is in order, and above the base.
func FuzzDecode(f *testing.F) {
	tr := tracker.New(7, 2)
	for o := range int64(200) {
		tr.Take(7+o, 2)
	}
	for _, step := range []int64{50, 7, 2, 1} { // gaps, bits, runs
		for o := 7 + step; o < 207; o += step {
			tr.Finish(o)
		}
		f.Add(tr.Encode(topicID, most), int64(7), true)
	}
	f.Add("hello", int64(0), false)
	f.Add("sluice1:AAAAAAAA", int64(1), false)
	f.Add("\x02\x01\xff\xff", int64(1), true)
	f.Fuzz(func(t *testing.T, text string, base int64, seal bool) {
		b := tracker.Base{Offset: base, TopicID: topicID}
		if seal {
			text = tracker.Seal([]byte(text), b)
		}
		ahead, err := tracker.Decode(text, b)
		if err != nil {
			return
		}
		last := base - 1
		for first, end := range tracker.Runs(ahead) {
			if first <= last || end < first {
				t.Fatalf("%q: %d to %d follows %d", text, first, end, last)
			}
			last = end
		}
		tr := tracker.New(base, -1)
		tr.Restore(ahead)
		if again := tr.Encode(topicID, tracker.MaxCharacters); last >= base && again == "" {
			t.Fatalf("%q says that up to %d is finished, and is not handed on", text, last)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for name, finish := range map[string]func(o int64) bool{
		"one run": func(int64) bool { return true }, "every other": func(o int64) bool { return o%2 == 0 },
		"every 20th": func(o int64) bool { return o%20 == 0 }, "scattered": func(o int64) bool { return o*2654435761>>7%3 > 0 },
	} {
		for _, n := range []int64{1000, 100_000} {
			b.Run(name+" of "+strconv.FormatInt(n, 10), func(b *testing.B) {
				tr := tracker.New(0, 0)
				for o := range n {
					tr.Take(o, 0)
					if o > 0 && finish(o) {
						tr.Finish(o)
					}
				}
				size := 0
				for b.Loop() {
					size = len(tr.Encode(topicID, most))
				}
				b.ReportMetric(float64(size), "characters")
			})
		}
	}
}

// A marker is a record of the log as well: one with a newer leader epoch says that the log was cut off and written anew, even where
// nobody asks whether it is restored. A set that outlived it would be written with the newer epoch, and then be taken for the new log's.
func TestANewerEpochOfAMarkerEndsWhatIsRestored(t *testing.T) {
	old := tracker.New(10, 4)
	for o := int64(10); o <= 15; o++ {
		old.Take(o, 5)
	}
	old.Finish(15)
	ahead, err := tracker.Decode(old.Encode(topicID, most), tracker.Base{Offset: 10, TopicID: topicID})
	if err != nil {
		t.Fatal(err)
	}
	tr := tracker.New(10, 4)
	tr.Restore(ahead)
	tr.Take(10, 6) // a marker: it is finished at once
	tr.Finish(10)
	if text := tr.Encode(topicID, most); text != "" {
		t.Errorf("the commit of the new log says %v", restoredOf(t, text, 11, 20))
	}
}
