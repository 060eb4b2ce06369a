package cli

import (
	"context"
	"time"
)

// slowest is a record in about three hours; far below it the wait would not fit a duration.
const slowest = 0.0001

// pace spreads events over time: so many a second. It does not catch up with more than a second.
type pace struct {
	perSecond float64 // 0: no limit
	next      time.Time
}

// wait returns when the next event is due, or ctx ends.
func (p *pace) wait(ctx context.Context) {
	if p.perSecond == 0 {
		return
	}
	now := time.Now()
	if late := now.Add(-time.Second); p.next.Before(late) {
		p.next = now
	}
	due := p.next
	p.next = due.Add(time.Duration(float64(time.Second) / p.perSecond))
	const precision = time.Millisecond // of timers
	left := due.Sub(now)
	if left < precision {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
