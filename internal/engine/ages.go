package engine

import "time"

// ageSteps bounds the error of an age: one in so many of it.
const ageSteps = 32

// ages remembers when records were handed over. Its memory grows with the logarithm of the oldest age: a hand-over that follows the
// one before it closely, measured by what is remembered, counts with that.
type ages struct{ q fifo[handover] }

type handover struct {
	end int64 // one past its newest record
	at  time.Time
}

// add notes a hand-over of records up to end; what is below the frontier is forgotten.
func (g *ages) add(end, frontier int64, at time.Time) {
	g.forget(frontier)
	if known := g.q.peek(); len(known) > 0 {
		last := &known[len(known)-1]
		if at.Sub(last.at) <= at.Sub(known[0].at)/ageSteps {
			last.end = end
			return
		}
	}
	g.q.push(handover{end, at})
}

// of is how long ago the record at the frontier was handed over; 0 when there is none.
func (g *ages) of(frontier int64, now time.Time) time.Duration {
	g.forget(frontier)
	if g.q.len() == 0 {
		return 0
	}
	return now.Sub(g.q.peek()[0].at)
}

func (g *ages) forget(frontier int64) {
	for g.q.len() > 0 && g.q.peek()[0].end <= frontier {
		g.q.drop(1)
	}
}
