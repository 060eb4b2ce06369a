package main

import (
	"time"
)

// pace sees how many records are committed, again and again.
type pace struct {
	first, last time.Time // when the first ones were seen, and when the number last grew
	began, n    int64     // how many were seen then
}

func (p *pace) saw(at time.Time, n int64) {
	switch {
	case n <= p.n:
		return
	case p.n == 0:
		p.first, p.began = at, n
	}
	p.last, p.n = at, n
}

// rate is records a second between the first that were seen and the last, or 0: they were not all seen, or all at once.
func (p *pace) rate(records int64) float64 {
	if p.n < records || p.began >= p.n {
		return 0
	}
	return float64(p.n-p.began) / p.last.Sub(p.first).Seconds()
}
