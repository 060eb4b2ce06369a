package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// draw is what a lane's faults are drawn from.
type draw struct {
	*rand.Rand

	fleets []*fleet
	left   []*fleet // whose turn is yet to come
	again  bool     // this is not the first round
}

// fleet draws a job: each has its turn before one has another, and in the first round control jobs come first, so that a short run
// hits them, too.
func (d *draw) fleet() *fleet {
	if len(d.left) == 0 {
		for _, i := range d.Perm(len(d.fleets)) {
			d.left = append(d.left, d.fleets[i])
		}
		if !d.again {
			d.again = true
			slices.SortStableFunc(d.left, func(a, b *fleet) int { return rank(a) - rank(b) })
		}
	}
	f := d.left[0]
	d.left = d.left[1:]
	return f
}

func rank(f *fleet) int {
	if f.job.Control {
		return 0
	}
	return 1
}

func (d *draw) between(from, until time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64(until-from)))
}
