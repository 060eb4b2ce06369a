package engine

import "github.com/twmb/franz-go/pkg/kgo"

// A polled record lies in its batch: Key and Value point into the decompressed batch, or into the whole answer of a broker
// where it was not compressed, and the Record is one of the batch's. So one record that stays keeps all of that. A record that
// stays is therefore owned: cloned into memory of its own. That befalls
//   - what did not succeed, and so waits for its retry or its dead letter;
//   - what a handler gets on a route that commits manually, as it may keep it until Done;
//   - what stays in its lane while as much as is held, and a sixteenth of the budget more, was polled after it. Where records
//     are finished in the order in which they came, none is.

// own returns a record with memory of its own. Records that Deliver was given are in no batch, and stay the caller's.
func (e *Engine) own(r *kgo.Record) *kgo.Record {
	if e.still {
		return r
	}
	return clone(r)
}

func clone(r *kgo.Record) *kgo.Record {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Value)
	}
	room := make([]byte, 0, n)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(room)
		room = append(room, b...)
		return room[at:len(room):len(room)]
	}
	c := *r
	c.Key, c.Value = own(r.Key), own(r.Value)
	if len(r.Headers) > 0 {
		c.Headers = make([]kgo.RecordHeader, len(r.Headers))
		for i, h := range r.Headers {
			c.Headers[i] = kgo.RecordHeader{Key: h.Key, Value: own(h.Value)}
		}
	}
	return &c
}

// polledMark remembers when records were polled: those below next, the first of them when so many bytes had been.
type polledMark struct {
	next   int64
	polled int64
}

// Parts of the budget: how often the lanes are looked through, how long a record may stay beyond its time, and how fine marks are.
const (
	sweepPart = 32
	stayPart  = 16
	markPart  = 64
)

// markPolled takes down that so many bytes of an assignment were handed over.
func (e *Engine) markPolled(a *assignment, bytes int64) {
	marks, next := a.marks.peek(), a.tracker.Next()
	if n := len(marks); n > 0 && e.polledBytes-marks[n-1].polled < e.cfg.MaxBytes/markPart {
		marks[n-1].next = next
	} else {
		a.marks.push(polledMark{next: next, polled: e.polledBytes})
	}
	e.polledBytes += bytes
}

// sweep owns what has stayed for long, in every lane.
func (e *Engine) sweep() {
	if e.polledBytes < e.sweepAt {
		return
	}
	e.sweepAt = e.polledBytes + e.cfg.MaxBytes/sweepPart
	before := e.polledBytes - e.heldBytes - e.cfg.MaxBytes/stayPart
	for _, a := range e.parts {
		next := a.owned
		for a.marks.len() > 0 && a.marks.peek()[0].polled < before {
			next = a.marks.pop().next
		}
		if next == a.owned {
			continue
		}
		if f, _ := a.frontier(); f < next {
			e.ownBelow(a, next)
		}
		a.owned = next
	}
}

// ownBelow owns what waits in an assignment's lanes from a.owned to next. A lane of one record that is parked owns it already.
func (e *Engine) ownBelow(a *assignment, next int64) {
	if a.main != nil {
		e.ownIn(a.main, a.owned, next)
	}
	for i, d := range a.delayed.peek() {
		if d.record.Offset >= a.owned && d.record.Offset < next {
			a.delayed.peek()[i].record = e.own(d.record)
		}
	}
	for _, l := range a.keyed {
		e.ownIn(l, a.owned, next)
	}
	for _, ls := range [][]*lane{a.ready.others.peek(), a.awaiting} {
		for _, l := range ls {
			if l.offset >= 0 { // the others were seen to above
				e.ownIn(l, a.owned, next)
			}
		}
	}
	for _, g := range e.ghosts {
		if l := g.waiting; l != nil && l.a == a && l.offset >= 0 {
			e.ownIn(l, a.owned, next)
		}
	}
}

func (e *Engine) ownIn(l *lane, from, next int64) {
	waiting := l.queue.peek()
	for i := range waiting {
		if r := waiting[i].record; r.Offset >= next {
			return
		} else if r.Offset >= from {
			waiting[i].record = e.own(r)
		}
	}
}

// ownFailed returns the record of a run that did not succeed, with memory of its own; without one when all did. It is called
// before the engine's lock is taken, as a record may be large.
func (e *Engine) ownFailed(r *run, out Outcome) (failed item) {
	if n := int(r.done.Load()); n < len(r.items) {
		if failed = r.items[n]; out.Kind != HandedBack {
			failed.record = e.own(failed.record)
		}
	}
	return failed
}

// ownFailures returns clones of a batch's records that did not succeed, by their place in the run; nil when all did. Where the
// whole batch of a partition failed, its records wait together as they came, and none keeps more than its neighbours.
func (e *Engine) ownFailures(r *run, out BatchOutcome) []*kgo.Record {
	if out.Each == nil && (out.All.Kind == Done || out.All.Kind == HandedBack || len(r.items) > 1 && r.a.route.Ordering == ByPartition) {
		return nil
	}
	owned := make([]*kgo.Record, len(r.items))
	k := 0
	for i, it := range r.items {
		if it.settled() {
			continue
		}
		kind := out.All.Kind
		if out.Each != nil {
			kind = out.Each[k].Kind
			k++
		}
		if kind != Done && kind != HandedBack {
			owned[i] = e.own(it.record)
		}
	}
	return owned
}
