package engine

import "time"

// limits of the records of a transaction: it starts with few, as nobody knows how long a handler takes.
const (
	firstLimit = 500
	mostLimit  = 100_000
)

// pace says how many records the next transaction takes: more and more as long as they end in time.
type pace struct {
	limit   int
	suspect int  // records at the most, the next ones, of which one is to blame for a write that was refused; 0: nobody is looked for
	failed  int  // transactions in a row; a search counts as one
	lacks   bool // others, perhaps: the last one took no more than limit, and was aborted, but not for a refusal
}

// next is how many records the next transaction takes. A route that stands still may need some, so that others are tried (see tries). They
// may be more than can be finished in time, and more than a search takes: so it has them in every other transaction at the most.
func (p *pace) next(needs int) int {
	if p.lacks {
		return max(p.limit, needs)
	}
	return p.limit
}

// after takes in how a transaction ended, and why where it was aborted. One whose writes were refused is searched: half of it comes again,
// and so on; unless it is mended by now.
func (p *pace) after(t *transaction, committed, mended bool, why error) {
	switch {
	case committed:
		p.failed = 0
		p.suspect = max(0, p.suspect-t.polled)
	case isRefusal(why) && (t.blamed || mended):
		p.failed = 1
		p.suspect = 0
	case isRefusal(why):
		p.failed = 1
		p.suspect = t.polled
	default:
		p.failed++
	}
	late, within := !time.Now().Before(t.deadline), t.polled <= p.limit
	p.lacks = !committed && !isRefusal(why) && within
	switch {
	case p.suspect > 0:
		p.limit = min(p.limit, (p.suspect+1)/2)
	case committed && time.Since(t.began) < time.Until(t.deadline):
		p.limit = min(2*p.limit, mostLimit)
	}
	if !committed && late && within {
		p.limit = max(1, min(p.limit, t.polled)/2)
	}
}

// wait is how long the next transaction waits.
func (p *pace) wait() time.Duration {
	if p.failed == 0 {
		return 0
	}
	return min(time.Second, 25*time.Millisecond<<min(p.failed, 6))
}
