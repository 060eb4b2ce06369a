package monitor

import (
	"math"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/sluice-go/sluice/internal/bubble"
)

var epoch = time.Unix(1_800_000_000, 0)

// truth is a log of which it is known when each record was written.
type truth struct {
	written []time.Time
	stamped map[int]time.Time // records of which their producers say another time
}

func (l *truth) end(now time.Time) int64 {
	return int64(sort.Search(len(l.written), func(i int) bool { return l.written[i].After(now) }))
}

// answer is what ListOffsets says of a time.
func (l *truth) answer(h *history, now, at time.Time, start int64) {
	end := l.end(now)
	o := int64(sort.Search(int(end), func(i int) bool { return int64(i) >= start && !l.written[i].Before(at) }))
	for i, stamp := range l.stamped {
		if int64(i) < o && int64(i) >= start && !stamp.Before(at) {
			o = int64(i)
		}
	}
	if o == end {
		h.soundEnd(at)
		return
	}
	stamp, other := l.stamped[int(o)]
	if !other {
		stamp = time.UnixMilli(l.written[o].UnixMilli())
	}
	h.sound(at, stamp, o)
}

// stamp has a record say another time.
func (l *truth) stamp(offset int, at time.Time) *truth {
	l.stamped = map[int]time.Time{offset: at}
	return l
}

// evenly writes n records between two times, which are counted from the epoch.
func (l *truth) evenly(from, to time.Duration, n int) *truth {
	for i := range n {
		l.written = append(l.written, epoch.Add(from+(to-from)*time.Duration(i)/time.Duration(n)).Truncate(time.Millisecond))
	}
	return l
}

// look is a round: it sounds for a commit, as rounds do.
func look(h *history, l *truth, now time.Time, commit, start, end int64) TimeLag {
	oldest := max(commit, start)
	for pass := range soundingPasses {
		if w, ok := h.written(oldest); ok && oldest < end {
			if at, ok := soundingFor(w, now, pass); ok {
				l.answer(h, now, at.Truncate(time.Millisecond), start)
			}
		}
	}
	return timeLagOf(h, now, commit, start, end)
}

// The time lag is the truth within a second, whatever the log looks like, and whenever the monitor began to look.
func TestTimeLagIsTrue(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		log    *truth
		began  time.Duration                // when the monitor did
		length time.Duration                // until when it looks
		commit func(at time.Duration) int64 // of the group
		start  func(at time.Duration) int64 // of the log; nil: 0
		stable func(at time.Duration) int64 // where the first open transaction begins; nil: the end
	}{
		"steady, a group that is a minute behind": {
			log: new(truth).evenly(0, time.Hour, 36_000), length: time.Hour,
			commit: func(at time.Duration) int64 { return max(int64((at-time.Minute)/(100*time.Millisecond)), 0) },
		},
		"steady, a group that stands": {
			log: new(truth).evenly(0, time.Hour, 36_000), length: time.Hour, commit: func(time.Duration) int64 { return 12_345 },
		},
		"bursts between two looks": {
			log:    new(truth).evenly(0, time.Minute, 10).evenly(601*time.Second, 601100*time.Millisecond, 5_000).evenly(700*time.Second, time.Hour, 10),
			length: time.Hour, commit: func(time.Duration) int64 { return 2_500 },
		},
		"a record an hour": {
			log: new(truth).evenly(time.Hour, 25*time.Hour, 24), length: day, commit: func(at time.Duration) int64 { return int64(at/time.Hour) / 2 },
		},
		"idle for a day, then one record": {
			log: new(truth).evenly(0, time.Second, 1_000).evenly(day, day+time.Second, 1), length: day + time.Hour,
			commit: func(time.Duration) int64 { return 1_000 },
		},
		"a monitor that begins when the lag is a day": {
			log: new(truth).evenly(0, 25*time.Hour, 90_000), began: 25 * time.Hour, length: 26 * time.Hour,
			commit: func(time.Duration) int64 { return 3_600 },
		},
		"a monitor that begins when the lag is a week, of uneven growth": {
			log: new(truth).evenly(0, time.Hour, 50_000).evenly(3*day, 3*day+time.Minute, 50_000).evenly(6*day, 7*day, 100), began: 7 * day, length: 7*day + time.Hour,
			commit: func(time.Duration) int64 { return 49_000 },
		},
		"a backlog of a day is worked off": {
			log: new(truth).evenly(0, 25*time.Hour, 90_000), began: 24 * time.Hour, length: 26 * time.Hour,
			commit: func(at time.Duration) int64 { return 3_600 + int64((at-24*time.Hour)/time.Second)*30 },
		},
		"a record of next year": {
			log:   new(truth).evenly(0, time.Hour, 3_600).stamp(3_000, epoch.Add(365*day)),
			began: 25 * time.Hour, length: 26 * time.Hour, commit: func(time.Duration) int64 { return 100 },
		},
		"a record of another age": {
			log:   new(truth).evenly(0, 25*time.Hour, 90_000).stamp(3_700, time.UnixMilli(math.MaxInt64)),
			began: 25 * time.Hour, length: 26 * time.Hour, commit: func(time.Duration) int64 { return 3_600 },
		},
		"retention passes the commit": {
			log: new(truth).evenly(0, 2*time.Hour, 7_200), length: 2 * time.Hour, commit: func(time.Duration) int64 { return 100 },
			start: func(at time.Duration) int64 { return max(int64((at-time.Hour)/(10*time.Minute)), 0) * 600 },
		},
		"a group of open transactions' readers": {
			log: new(truth).evenly(0, time.Hour, 3_600), length: time.Hour,
			commit: func(at time.Duration) int64 { return min(int64(at/time.Second)/2, 900) },
			stable: func(at time.Duration) int64 { return min(int64(at/time.Second), 900) }, // it hangs
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h history
			worst, rounds := time.Duration(0), 0
			for at := test.began; at < test.length; at += 10 * time.Second {
				now, start := epoch.Add(at), int64(0)
				end := test.log.end(now)
				h.observe(now, now, end)
				if test.start != nil {
					start = test.start(at)
				}
				commit, readable := min(test.commit(at), end), end
				if test.stable != nil {
					readable = min(test.stable(at), end)
				}
				got := look(&h, test.log, now, commit, start, readable)
				var want time.Duration
				if oldest := max(commit, start); oldest < readable {
					want = now.Sub(test.log.written[oldest])
				}
				wrong := (got.Behind - want).Abs()
				rounds++
				honest := got.Known && (got.AtLeast && got.Behind <= want+time.Second || !got.AtLeast && wrong <= got.Within+time.Second)
				if !honest || rounds > 10 && (got.AtLeast || wrong > time.Second) {
					t.Fatalf("at %v (%d rounds): %+v, but it is %v", at, rounds, got, want)
				}
				if rounds <= 10 {
					continue
				}
				worst = max(worst, wrong)
			}
			t.Logf("wrong by %v at most", worst)
		})
	}
}

// Without soundings, a time lag is as true as it says.
func TestTimeLagKnowsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l truth
		at := time.Duration(0)
		for range rapid.IntRange(1, 300).Draw(t, "records") {
			at += time.Duration(rapid.IntRange(0, 30_000).Draw(t, "gap")) * time.Millisecond
			l.written = append(l.written, epoch.Add(at))
		}
		var h history
		now := epoch.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "began")) * time.Second)
		for range rapid.IntRange(1, 400).Draw(t, "rounds") {
			now = now.Add(10 * time.Second)
			h.observe(now.Add(-10*time.Millisecond), now, l.end(now))
			if rapid.IntRange(0, 3).Draw(t, "sound") == 0 && len(h.samples) > 0 && h.samples[0].end > 0 {
				offset := rapid.Int64Range(0, h.samples[len(h.samples)-1].end-1).Draw(t, "for")
				if w, ok := h.written(offset); ok {
					if at, ok := soundingFor(w, now, rapid.IntRange(0, 5).Draw(t, "tries")); ok {
						l.answer(&h, now, at.Truncate(time.Millisecond), 0)
					}
				}
			}
			for i := range h.samples {
				if s := h.samples[i]; i > 0 && (s.end <= h.samples[i-1].end || s.first < h.samples[i-1].first) || len(h.samples) > mostSamples {
					t.Fatalf("samples out of order: %+v", h.samples)
				}
			}
			end := l.end(now)
			if end == 0 {
				continue
			}
			commit := rapid.Int64Range(0, end-1).Draw(t, "commit")
			got, want := timeLagOf(&h, now, commit, 0, end), now.Sub(l.written[commit])
			switch {
			case !got.Known:
				t.Fatalf("record %d of %d was seen: %+v", commit, end, h.samples)
			case got.AtLeast && got.Behind > want+time.Millisecond, !got.AtLeast && (got.Behind-want).Abs() > got.Within+20*time.Millisecond:
				t.Fatalf("%+v, but it is %v: %+v", got, want, h.samples)
			}
		}
	})
}

func TestHistoryOfALogThatWentBack(t *testing.T) {
	t.Parallel()
	var h history
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	for s, end := range []int64{10, 20, 20, 30} {
		h.observe(at(s*10), at(s*10), end)
	}
	h.observe(at(40), at(40), 15) // an unclean election
	if w, ok := h.written(12); !ok || !w.early.Equal(at(0)) || !w.late.Equal(at(40)) {
		t.Errorf("%v %+v", ok, w)
	}
	if _, ok := h.written(15); ok {
		t.Error("a record that is not there any more")
	}
}

// While a log stands still, its history does not grow, and knows until when.
func TestHistoryOfAnIdleLog(t *testing.T) {
	t.Parallel()
	var h history
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	for s := range 100 {
		h.observe(at(s), at(s), 5)
	}
	h.observe(at(100), at(100), 6)
	if w, ok := h.written(5); !ok || len(h.samples) != 2 || !w.early.Equal(at(99)) || !w.late.Equal(at(100)) {
		t.Errorf("%v %+v of %+v", ok, w, h.samples)
	}
}

// Records' own times may be anything: what they say is taken only where it fits what we have seen ourselves.
func TestSoundingsThatContradict(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	for name, sound := range map[string]func(*history) bool{
		"a time of -1":              func(h *history) bool { return h.sound(at(5), time.UnixMilli(-1), 15) },
		"an offset that we know":    func(h *history) bool { return h.sound(at(25), at(26), 12) },
		"an offset beyond the end":  func(h *history) bool { return h.sound(at(5), at(6), 99) },
		"the end, before it was so": func(h *history) bool { return h.soundEnd(at(5)) },
	} {
		var h history
		for s, end := range []int64{10, 20, 30} {
			h.observe(at(s*10), at(s*10), end)
		}
		if sound(&h) {
			t.Errorf("%s: %+v", name, h.samples)
		}
		if w, ok := h.written(15); !ok || !w.early.Equal(at(0)) || !w.late.Equal(at(10)) {
			t.Errorf("%s: %v %+v", name, ok, w)
		}
	}
}

// Records without a time say nothing of when they were written: what is known is when the monitor saw them.
func TestTimeLagOfRecordsWithoutATime(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		produce := func(n int, at time.Time) {
			t.Helper()
			for range n {
				if err := c.Client().ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Timestamp: at}).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
		}
		produce(20, time.UnixMilli(-1))
		commitAt(t, c, "g", "orders", 0, 5)
		time.Sleep(time.Hour) // virtual
		m := watch(t, c)
		for i := range 2 {
			s := rounds(c, m, 6)
			if p := partitionOf(t, s, "g", "orders", 0); !p.TimeLag.Known || !p.TimeLag.AtLeast || p.TimeLag.Behind > 5*time.Minute || len(s.Problems) > 0 {
				t.Errorf("%+v, problems %v", p, s.Problems)
			}
			if i == 0 {
				produce(5, time.Time{}) // with a time
			}
		}
		commitAt(t, c, "g", "orders", 0, 22)
		s := rounds(c, m, 3)
		if p := partitionOf(t, s, "g", "orders", 0); p.TimeLag.AtLeast || p.TimeLag.Within > time.Second || p.TimeLag.Behind < time.Minute || p.TimeLag.Behind > 5*time.Minute {
			t.Errorf("%+v", p)
		}
	})
}

// A bound says nothing of what lies above it, however much older another partition's records are known to be.
func TestTheTimeLagOfManyPartitions(t *testing.T) {
	t.Parallel()
	known := TimeLag{Known: true, Behind: time.Hour, Within: time.Second}
	bound := TimeLag{Known: true, Behind: time.Minute, AtLeast: true}
	both := TimeLag{Known: true, Behind: time.Hour, Within: time.Second, AtLeast: true}
	for _, x := range []struct{ a, b, want TimeLag }{
		{TimeLag{}, TimeLag{}, TimeLag{}},
		{TimeLag{}, known, known},
		{known, TimeLag{Known: true}, known},
		{known, bound, both},
	} {
		if x.a.worse(x.b) != x.want || x.b.worse(x.a) != x.want {
			t.Errorf("of %+v and %+v: %+v and %+v, want %+v", x.a, x.b, x.a.worse(x.b), x.b.worse(x.a), x.want)
		}
	}
}
