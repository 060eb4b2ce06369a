package engine

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A record that has used up its attempts may go on to a retry topic: a copy is written there, and the record is finished when that
// is acknowledged. The copy is handled when it has lain there for the topic's delay. Until then it waits beside the lanes of
// its assignment, in the order of its log, which is about the order in which the copies are due. An assignment has one timer for all
// of them; no worker is held, and nothing that other partitions wait for.
//
// With a breaker, a copy that fails waits for the backoff and is handled once more. It is given up, and goes on, when it fails again
// although another record has succeeded since; until then it waits and comes again. So an outage sends nothing on. Copies never hold
// their route, as records are there that tend to fail, and maybe no others for hours.

// usedUp is the class of a failure that is none of the record's own: it failed as often as it may.
const usedUp = "attempts"

// delayed is a record of a retry topic that is not due yet.
type delayed struct {
	record *kgo.Record
	due    time.Time
}

// delaysOf is how many delays a topic's records have seen when they are handled.
func (r *Route) delaysOf(topic string) int { return r.RetryTopics[topic] }

// maxAttempts is how often the handler is called for a record here; 0: no bound.
func (a *assignment) maxAttempts() int {
	if a.work.Delays > 0 {
		return 1
	}
	return a.route.MaxAttempts
}

// nextDelay is the delay of the retry topic that a failed record goes on to; 0 when OnFailure decides.
func (a *assignment) nextDelay(t *trouble) time.Duration {
	if seen := a.work.Delays; t.class == usedUp && seen < len(a.route.Delays) {
		return a.route.Delays[seen]
	}
	return 0
}

// delay has a record wait until it is due. A copy's timestamp is the time of its writing; where that is to come, by a clock that is
// ahead of ours, the delay begins now.
func (a *assignment) delay(r *kgo.Record, now time.Time) {
	written := now
	if r.Timestamp.Before(now) {
		written = r.Timestamp
	}
	a.delayed.push(delayed{record: r, due: written.Add(a.route.Delays[a.work.Delays-1])})
}

// release puts what is due into its lanes, and comes back when the next record is.
func (e *Engine) release(a *assignment) {
	now := time.Now()
	next := int64(-1)
	for a.delayed.len() > 0 && !a.delayed.peek()[0].due.After(now) {
		r := a.delayed.pop().record
		e.enqueue(a, item{record: r})
		next = r.Offset + 1
	}
	if next >= 0 {
		a.aged(next, now)
	}
	if a.delayed.len() == 0 {
		return
	}
	wait := a.delayed.peek()[0].due.Sub(now)
	if a.delayTimer != nil {
		a.delayTimer.Reset(wait)
		return
	}
	a.delayTimer = time.AfterFunc(wait, func() {
		e.mu.Lock()
		defer e.unlock()
		e.release(a)
	})
}

// aged notes when the records up to an offset could be handled for the first time.
func (a *assignment) aged(end int64, now time.Time) {
	frontier, _ := a.frontier()
	a.ages.add(end, frontier, now)
}

// copyPatience is how long a copy may fail without another record's success before health has a note of it.
const copyPatience = 5 * time.Minute

// unprovedText tells of a copy that has failed for long, while nothing has succeeded that would show that it is its own fault; "" when
// there is none among those that were looked at.
func (a *assignment) unprovedText(now time.Time) string {
	rt, seen := a.route, 0
	if a.work.Delays == 0 || !rt.breaks() || rt.outage != nil {
		return ""
	}
	for l := range a.parked {
		it := l.queue.peek()[0]
		if t := it.trouble; t != nil && t.begun > 0 && rt.worked <= t.begun && now.Sub(t.first) >= copyPatience {
			return fmt.Sprintf("%v: offset %d has failed for %v, and goes on only when another record of this member succeeds, as it may "+
				"be an outage: %v", a.part, it.record.Offset, now.Sub(t.first).Round(time.Second), t.err)
		}
		if seen++; seen == problemSample {
			break
		}
	}
	return ""
}
