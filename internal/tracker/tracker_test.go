package tracker_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/internal/tracker"
)

// model is the naive tracker: every offset in a map.
type model struct {
	next     int64
	start    int64
	taken    map[int64]bool // offset to finished
	epochs   map[int64]int32
	startEpo int32
}

func (m *model) take(offset int64, epoch int32) bool {
	if offset < m.next {
		return false
	}
	m.taken[offset], m.epochs[offset], m.next = false, epoch, offset+1
	return true
}

func (m *model) finish(offset int64) bool {
	done, ok := m.taken[offset]
	if !ok || done {
		return false
	}
	m.taken[offset] = true
	return true
}

func (m *model) frontier() (int64, int32) {
	epoch := m.startEpo
	for o := m.start; o < m.next; o++ {
		done, ok := m.taken[o]
		if ok && !done {
			return o, epoch
		}
		if ok {
			epoch = m.epochs[o]
		}
	}
	return m.next, epoch
}

func (m *model) unfinished() int {
	n := 0
	for _, done := range m.taken {
		if !done {
			n++
		}
	}
	return n
}

func check(t rapid.TB, tr *tracker.Tracker, m *model) {
	t.Helper()
	gotOffset, gotEpoch := tr.Frontier()
	wantOffset, wantEpoch := m.frontier()
	if gotOffset != wantOffset || gotEpoch != wantEpoch {
		t.Fatalf("frontier (%d, epoch %d), the model says (%d, epoch %d)", gotOffset, gotEpoch, wantOffset, wantEpoch)
	}
	ahead := 0
	for o, done := range m.taken {
		if done && o > wantOffset {
			ahead++
		}
	}
	if tr.FinishedAhead() != ahead {
		t.Fatalf("%d are ahead, the model says %d", tr.FinishedAhead(), ahead)
	}
	if tr.Next() != m.next || tr.Unfinished() != m.unfinished() {
		t.Fatalf("next %d, unfinished %d; the model says %d, %d", tr.Next(), tr.Unfinished(), m.next, m.unfinished())
	}
}

func TestTrackerAgreesWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 50).Draw(t, "start")
		tr := tracker.New(start, -1)
		m := &model{start: start, next: start, taken: map[int64]bool{}, epochs: map[int64]int32{}, startEpo: -1}
		epoch := int32(0)
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				offset := m.next + rapid.SampledFrom([]int64{0, 0, 0, 1, 5, -1, -3}).Draw(t, "step")
				epoch += rapid.Int32Range(0, 1).Draw(t, "epoch")
				if got, want := tr.Take(offset, epoch), m.take(offset, epoch); got != want {
					t.Fatalf("Take(%d) = %v, the model says %v", offset, got, want)
				}
			},
			"finish": func(t *rapid.T) {
				offset := rapid.Int64Range(start-2, m.next+2).Draw(t, "offset")
				if got, want := tr.Finish(offset), m.finish(offset); got != want {
					t.Fatalf("Finish(%d) = %v, the model says %v", offset, got, want)
				}
			},
			"finish the frontier": func(t *rapid.T) {
				offset, _ := m.frontier()
				if got, want := tr.Finish(offset), m.finish(offset); got != want {
					t.Fatalf("Finish(%d) = %v, the model says %v", offset, got, want)
				}
			},
			"": func(t *rapid.T) { check(t, tr, m) },
		})
	})
}

func TestFrontierNeverPassesAnUnfinishedRecord(t *testing.T) {
	tr := tracker.New(10, -1)
	for o := int64(10); o < 20; o++ {
		tr.Take(o, 0)
	}
	for o := int64(19); o > 10; o-- {
		tr.Finish(o)
		if f, _ := tr.Frontier(); f != 10 {
			t.Fatalf("invariant 1: frontier is %d while 10 is unfinished", f)
		}
	}
	tr.Finish(10)
	if f, _ := tr.Frontier(); f != 20 {
		t.Fatalf("frontier is %d after all was finished, want 20", f)
	}
}

func TestGapsCostNoMemory(t *testing.T) {
	allocs := testing.AllocsPerRun(5, func() {
		tr := tracker.New(0, -1)
		tr.Take(1<<40, 0)
		tr.Take(1<<50, 0)
		tr.Finish(1 << 40)
		if f, _ := tr.Frontier(); f != 1<<50 {
			t.Fatalf("frontier %d", f)
		}
	})
	if allocs > 4 {
		t.Fatalf("%v allocations for two records", allocs)
	}
}

// The fuzzer's bytes are a program: take with a gap, or finish somewhere.
func FuzzTracker(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 0x80, 0x81})
	f.Fuzz(func(t *testing.T, program []byte) {
		tr := tracker.New(3, -1)
		m := &model{start: 3, next: 3, taken: map[int64]bool{}, epochs: map[int64]int32{}, startEpo: -1}
		for _, b := range program[:min(len(program), 500)] {
			if b < 0x80 {
				offset := m.next + int64(b%7) - 1
				if tr.Take(offset, int32(b)) != m.take(offset, int32(b)) {
					t.Fatalf("Take(%d) disagrees with the model", offset)
				}
			} else {
				offset := int64(b & 0x7f)
				if tr.Finish(offset) != m.finish(offset) {
					t.Fatalf("Finish(%d) disagrees with the model", offset)
				}
			}
			check(t, tr, m)
		}
	})
}

func BenchmarkInOrder(b *testing.B) {
	tr := tracker.New(0, -1)
	offset := int64(0)
	for b.Loop() {
		tr.Take(offset, 0)
		tr.Finish(offset)
		offset++
	}
}
