package sim

import (
	"context"
	"slices"
	"time"
)

// seek is one time that a partition is moved by hand. It is guarded by world.mu.
type seek struct {
	partition int32
	to        int64
	asked     time.Time
	began     time.Time // the assignment that it began, most likely
	early     bool      // that did, while a handler ran that had time left
	sent      bool      // its commit reached the coordinator
	over      bool      // Seek returned
	done      bool      // with nil: neither a crash nor a rebalance undoes it
}

// sought is what allows work to be done again after a seek.
const sought = "seek"

// moving is the seek of a partition that is under way in the process; nil when there is none.
func (p *process) moving(partition int32) *seek {
	for _, s := range p.seeks {
		if s.partition == partition && !s.over {
			return s
		}
	}
	return nil
}

// seekTo is the seek that a commit may be the first one of, the last one first; nil when there is none. One that failed may have left it in
// a link that was frozen.
func (p *process) seekTo(partition int32, offset int64) *seek {
	if p == nil {
		return nil
	}
	for _, s := range slices.Backward(p.seeks) {
		if s.partition == partition && !s.sent && (!s.over || p.frozen) && (s.to == offset || !s.began.IsZero() && s.to < offset) {
			return s
		}
	}
	return nil
}

// seek moves a partition from the group's commit, back or forward. It reports false when nobody could.
func (w *world) seek(partition int32, by int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var p *process
	for _, o := range w.alive {
		if o.tenures[partition] != nil && !o.gone && o.stopped.IsZero() && o.moving(partition) == nil {
			p = o
		}
	}
	if p == nil {
		return false
	}
	to := min(max(0, w.commits.at(partition)+by), int64(len(w.ledger.logs[partition])))
	s := &seek{partition: partition, to: to, asked: time.Now()}
	p.seeks = append(p.seeks, s)
	w.seeking++
	w.spawn(func() { p.seek(s) })
	return true
}

func (p *process) seek(s *seek) {
	w := p.w
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.spawn(func() {
		select {
		case <-p.over:
			cancel()
		case <-ctx.Done():
		}
	})
	w.trace.notef(p.name, "moves partition %d to %d", s.partition, s.to)
	err := p.app.Seek(ctx, topic, s.partition, s.to)
	w.trace.notef(p.name, "moved partition %d to %d: %v", s.partition, s.to, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seeking--
	s.over = true
	switch {
	case p.gone || err != nil: // it may have come to pass nevertheless
	case s.began.IsZero():
		w.failLockedf("seek: %s moved partition %d to %d, and no assignment began there", p.name, s.partition, s.to)
	case s.early:
		w.failLockedf("seek: %s moved partition %d to %d, and did not wait for its handlers", p.name, s.partition, s.to)
	case !s.sent:
		w.failLockedf("seek: %s moved partition %d to %d, and did not commit that", p.name, s.partition, s.to)
	default:
		s.done = true
		w.commits.backed[s.partition] = true
		w.lookSoon()
		w.ledger.demand(s)
	}
}

// from is what there is of a partition's log from an offset on.
func (l *ledger) from(partition int32, offset int64) []*record {
	log := l.logs[partition]
	return log[min(offset, int64(len(log))):]
}

// undo has all records of a partition from an offset on done again, or allows it: that is known when the seek is over.
func (l *ledger) undo(partition int32, from int64) {
	for _, r := range l.from(partition, from) {
		if r != nil {
			r.was, r.undone, r.lapsed = r.over(), len(r.finished), time.Now()
			r.dead, r.passed = false, false
		}
	}
}

// demand has what a seek went back over done again.
func (l *ledger) demand(s *seek) {
	for _, r := range l.from(s.partition, s.to) {
		if r == nil || !r.was || !r.lapsed.Equal(s.began) {
			continue
		}
		if r.was = false; !r.over() {
			l.left++
		}
	}
	for name, lane := range l.lanes {
		if name.partition == s.partition {
			lane.low = 0
		}
	}
}

// pass notes that the group goes on behind some records, whatever became of them.
func (l *ledger) pass(partition int32, to int64) {
	for _, r := range l.logs[partition][:min(to, int64(len(l.logs[partition])))] {
		if r == nil || len(r.stand()) > 0 || r.dead || r.gone || r.passed {
			continue
		}
		if !r.over() {
			l.left--
		}
		r.passed = true
	}
}
