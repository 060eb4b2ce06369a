package monitor

import (
	"testing"
	"time"
)

// fill looks every 10 seconds; each of lags is that of a minute, and between them it changes evenly. The group handles 100 records a look.
func fill(lags ...int64) *window {
	var w window
	r := Rules{}.withDefaults()
	at, commit := epoch, int64(0)
	for i, lag := range lags {
		next := lags[min(i+1, len(lags)-1)]
		for look := range int64(6) {
			w.see(at, commit, lag+(next-lag)*look/6, aReader, r)
			at, commit = at.Add(10*time.Second), commit+100
			if i == len(lags)-1 {
				break
			}
		}
	}
	return &w
}

func TestDrain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lags     []int64
		from, to time.Duration
		ok       bool
	}{
		"it catches up":           {[]int64{5000, 4900, 4800, 4700, 4600, 4500}, 44 * time.Minute, 46 * time.Minute, true},
		"after a burst":           {[]int64{0, 0, 0, 0, 9000, 8000, 7000, 6000, 5000}, 4*time.Minute + 50*time.Second, 5*time.Minute + 10*time.Second, true},
		"it has caught up":        {[]int64{100, 50, 0}, 0, 0, true},
		"it stays where it is":    {[]int64{100, 100, 100, 100}, 0, 0, false},
		"it falls behind":         {[]int64{100, 200, 300, 400}, 0, 0, false},
		"nothing is known as yet": {nil, 0, 0, false},
	} {
		if got, ok := fill(test.lags...).drain(); ok != test.ok || got < test.from || got > test.to {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}

// A window's memory is bounded, whatever the rounds' interval is.
func TestAWindowIsSmall(t *testing.T) {
	t.Parallel()
	r := Rules{}.withDefaults()
	for _, interval := range []time.Duration{time.Second, 10 * time.Second, 47 * time.Second, 100 * time.Second, 3 * time.Hour} {
		var w window
		for i := range 2_000 {
			w.see(epoch.Add(time.Duration(i)*interval), int64(i), 5, aReader, r)
			if len(w.slots) > slots+2 || cap(w.slots) > 2*slots {
				t.Fatalf("%d slots of %d at an interval of %v", len(w.slots), cap(w.slots), interval)
			}
		}
		if first := time.Duration(w.slots[len(w.slots)-1].at - w.slots[0].at); first > r.Window {
			t.Errorf("it reaches %v back", first)
		}
	}
}

func TestLosses(t *testing.T) {
	t.Parallel()
	var l losses
	for i, step := range []struct{ commit, start, lost int64 }{
		{10, 5, 0},
		{10, 30, 0},   // may have been read
		{40, 30, 0},   // were
		{40, 50, 0},   // may have been read
		{40, 50, 10},  // were not
		{40, 60, 20},  // more of them
		{45, 60, 20},  // a commit below the start, from somewhere else
		{45, 60, 20},  // counted already
		{100, 60, 20}, // goes on
		{100, 130, 20},
		{100, 150, 70},
	} {
		if l.see(step.commit, step.start); l.lost != step.lost {
			t.Fatalf("step %d: %d lost, want %d", i, l.lost, step.lost)
		}
	}
}
