package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Stamps are right to half a second as long as there are few, and to a thousandth of the span or so where there are many, wherever the
// frontier is, also for clocks that go back.
func TestStamps(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(*rand.Rand) int64{ // milliseconds to the next record
		"a thousand a second": func(r *rand.Rand) int64 { return r.Int64N(3) },
		"one a minute":        func(*rand.Rand) int64 { return time.Minute.Milliseconds() },
		"bursts, an hour apart": func(r *rand.Rand) int64 {
			if r.IntN(1000) > 0 {
				return 0
			}
			return time.Hour.Milliseconds()
		},
		"clocks that go back": func(r *rand.Rand) int64 { return r.Int64N(2000) - 900 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(3, 4))
			const records = 20_000
			var s stamps
			at := make([]int64, records)
			now, lowest, highest := int64(1e12), int64(1e12), int64(1e12)
			for i := range at {
				now += next(random)
				at[i] = now
				lowest, highest = min(lowest, now), max(highest, now)
				s.note(int64(i), now)
			}
			if n := s.q.len(); n > maxStamps {
				t.Errorf("%d stamps", n)
			}
			off := max(stampStep.Milliseconds(), 4*(highest-lowest)/maxStamps)
			for f := int64(0); f < records; f += 7 {
				if got := s.at(f); apart(got, at[f]) > off {
					t.Fatalf("the record at %d is of %d, told %d: off by %d ms, allowed are %d", f, at[f], got, apart(got, at[f]), off)
				}
			}
			if s.last != now || s.q.len() > 1 {
				t.Errorf("the last is of %d, told %d; %d stamps are left", now, s.last, s.q.len())
			}
		})
	}
}

// With few records held a stamp is right to half a second, whatever lies between them.
func TestStampsOfFewRecords(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	var s stamps
	at := map[int64]int64{}
	now, frontier := int64(1e12), int64(0)
	for i := range int64(100_000) {
		now += random.Int64N(time.Minute.Milliseconds())
		at[i] = now
		s.note(i, now)
		if i-frontier > 500 {
			frontier += random.Int64N(400)
		}
		if got := s.at(frontier); apart(got, at[frontier]) >= stampStep.Milliseconds() {
			t.Fatalf("the record at %d is of %d, told %d", frontier, at[frontier], got)
		}
	}
}
