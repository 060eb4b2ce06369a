package engine

import "time"

const (
	stampStep = 500 * time.Millisecond // what a record's time may be off by, at first
	maxStamps = 1024                   // of an assignment
)

// stamps remember when the records that are not finished were written, to about half a second: a record is noted when its time differs by
// more from the one that was noted last. Where that makes too many, as old records come that are far apart, it is every second one, and
// so on. Finding the record at the frontier itself would take a walk over its lanes.
type stamps struct {
	q    fifo[stamp] // in the order of offsets; the first is for the frontier
	step int64       // milliseconds; 0: stampStep
	last int64       // of the newest record, in Unix milliseconds

	after, before int64 // times between these differ by less from the one that was noted last
}

type stamp struct{ offset, at int64 }

// note notes a record, after those before it. A record without a time counts with that of its coming.
func (s *stamps) note(offset, at int64) {
	s.last = at
	if at <= s.after || at >= s.before {
		s.add(stamp{offset, at})
	}
}

func (s *stamps) add(one stamp) {
	if s.q.len() == maxStamps {
		s.thin()
	}
	s.q.push(one)
	s.around(one.at)
}

// around sets what needs no stamp of its own, after the one that was noted last.
func (s *stamps) around(at int64) {
	step := max(s.step, stampStep.Milliseconds())
	s.after, s.before = at-step, at+step
}

// thin makes room.
func (s *stamps) thin() {
	known := s.q.peek()
	for s.step = max(s.step, stampStep.Milliseconds()); len(known) > maxStamps/2; {
		s.step *= 2
		kept := known[:1]
		for _, k := range known[1:] {
			if apart(kept[len(kept)-1].at, k.at) >= s.step {
				kept = append(kept, k)
			}
		}
		known = kept
	}
	s.q = fifo[stamp]{items: known}
}

func apart(a, b int64) int64 { return max(a-b, b-a) }

// forget lets go of what is below the frontier.
func (s *stamps) forget(frontier int64) {
	for s.q.len() > 1 && s.q.peek()[1].offset <= frontier {
		s.q.drop(1)
	}
	if s.step > 0 && s.q.len() == 1 {
		s.step = 0
		s.around(s.q.peek()[0].at)
	}
}

// at is when the record at the frontier was written, in Unix milliseconds; 0 when nothing was noted.
func (s *stamps) at(frontier int64) int64 {
	s.forget(frontier)
	if s.q.len() == 0 {
		return 0
	}
	return s.q.peek()[0].at
}

// writtenAt is a record's time, in Unix milliseconds: in a retry topic, that when it is due.
func (a *assignment) writtenAt(ms, now int64) int64 {
	if ms < 0 {
		return now
	}
	if seen := a.work.Delays; seen > 0 {
		ms = min(ms, now) + a.route.Delays[seen-1].Milliseconds() // as delay has it
	}
	return ms
}

// sawEnd takes in where the log ends, as it was asked for beside the fetches.
func (a *assignment) sawEnd(end int64, now time.Time) {
	a.logEnd = end
	if end > a.tracker.Next() && a.endSeen.IsZero() {
		a.endSeen = now
	}
}

// caughtUp takes in how far a hand-over came: whether the log goes on behind it.
func (a *assignment) caughtUp(now time.Time) {
	a.endSeen = time.Time{}
	if a.backlog = a.logEnd > a.tracker.Next(); a.backlog {
		a.endSeen = now
	}
}

// timeLag is how long ago the record at the frontier was written, 0 when all of the log is finished, -1 when that is not known. Of a
// record that was not polled yet nobody knows. Where the last hand-over left more behind, it is taken to be as old as the last record of
// that; else the time counts since which we know that there is one.
func (a *assignment) timeLag(now time.Time) time.Duration {
	if a.tracker == nil {
		return -1
	}
	since := func(ms int64) time.Duration { return max(0, now.Sub(time.UnixMilli(ms))) }
	frontier, _ := a.frontier()
	switch next := a.tracker.Next(); {
	case frontier < next:
		if at := a.stamps.at(frontier); at != 0 {
			return since(at)
		}
		return -1
	case a.logEnd < 0:
		return -1
	case a.logEnd <= next:
		return 0
	case a.backlog && a.stamps.last != 0:
		return since(a.stamps.last)
	case a.endSeen.IsZero(): // nobody has looked before
		a.endSeen = now
	}
	return max(0, now.Sub(a.endSeen))
}
