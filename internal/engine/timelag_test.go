package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-go/sluice/internal/tracker"
)

// promised is what the documents say a time lag may be off by, in milliseconds.
const promised = 500

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
			off := max(promised, 4*(highest-lowest)/maxStamps)
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
		if got := s.at(frontier); apart(got, at[frontier]) >= promised {
			t.Fatalf("the record at %d is of %d, told %d", frontier, at[frontier], got)
		}
	}
}

// What the lag is where the record at the frontier was not polled, or has no good time.
func TestTimeLagOfAnAssignment(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := &assignment{route: &Route{Delays: []time.Duration{time.Minute}}, logEnd: -1}
	poll := func(offset, end int64, written time.Time) {
		frontier, _ := a.frontier()
		a.stamps.forget(frontier)
		a.tracker.Take(offset, -1)
		a.stamps.note(offset, a.writtenAt(written.UnixMilli(), now.UnixMilli()))
		a.logEnd = end
		a.caughtUp(now)
	}
	is := func(what string, want time.Duration) {
		t.Helper()
		if got := a.timeLag(now); (got < 0) != (want < 0) || apart(int64(got), int64(want)) > int64(time.Millisecond) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	is("its start is not known", -1)
	a.tracker = tracker.New(10, -1)
	is("its end is not known", -1)
	a.logEnd = 10
	is("nothing is there", 0)
	a.sawEnd(12, now)
	now = now.Add(time.Minute)
	is("something is there that was not polled", time.Minute)
	poll(10, 12, now.Add(-time.Hour))
	is("it was polled", time.Hour)
	a.tracker.Finish(10)
	is("it is finished, and there is more, which is no younger than it need be", time.Hour)
	poll(11, 12, now.Add(-10*time.Minute))
	is("the next one", 10*time.Minute)
	a.tracker.Finish(11)
	is("all is finished", 0)
	poll(12, 13, now.Add(time.Hour))
	is("a clock that is ahead", 0)
	a.tracker.Finish(12)
	a.logEnd = 14 // in a fetch without records
	is("more, since just now", 0)
	now = now.Add(time.Second)
	is("more, for a second", time.Second)
	poll(13, 14, time.UnixMilli(-1))
	now = now.Add(time.Hour)
	is("no time: since it was polled", time.Hour)
	a.tracker.Finish(13)
	a.work.Delays = 1
	poll(14, 15, now.Add(-time.Hour))
	is("in a retry topic, since it was due", 59*time.Minute)
	a.tracker.Finish(14)
	poll(15, 16, now.Add(-time.Second))
	is("it is not due yet", 0)
}
