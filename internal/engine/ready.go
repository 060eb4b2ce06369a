package engine

// readyLanes are the lanes of an assignment that may run. Those with a retry that has waited long enough go first, or it would be as late
// as everything that was queued before it takes. Every second one that is taken is one of the others, if there are any, so that failures
// alone cannot hold those up.
type readyLanes struct {
	retries, others fifo[*lane]
	turn            bool // it is the others' turn
}

func (q *readyLanes) len() int { return q.retries.len() + q.others.len() }

func (q *readyLanes) push(l *lane) {
	if t := l.queue.peek()[0].trouble; t != nil && t.tried == nil { // what failed in an outage is tried in turn
		q.retries.push(l)
	} else {
		q.others.push(l)
	}
}

func (q *readyLanes) next() *fifo[*lane] {
	if q.retries.len() == 0 || (q.turn && q.others.len() > 0) {
		return &q.others
	}
	return &q.retries
}

// peek is the lane that pop would take.
func (q *readyLanes) peek() *lane { return q.next().peek()[0] }

func (q *readyLanes) pop() *lane {
	from := q.next()
	q.turn = from == &q.retries
	return from.pop()
}
