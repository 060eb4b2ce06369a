package engine

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A write that brokers refuse aborts its transaction. Where they would refuse it again and again, as it is too large for its topic, or
// has no key where records are compacted, the transaction must not come again as it was: the record that it was written for is to blame.
// Which one that is nobody says: brokers refuse a whole batch, and the client fails with it all that waits for the same partition. So
// transactions take fewer and fewer records until one has a single record (pace), and all that it writes goes by itself.

// isRefusal tells whether what was written is at fault, and not its place, nor the time.
func isRefusal(err error) bool {
	return isOneOf(err, kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp,
		kerr.InvalidTopicException)
}

// poisonClass is the class of a record that can never succeed.
const poisonClass = "poison"

// blame takes in that brokers refuse what is written for a record, by itself. One whose answer they refuse is poison: when it comes again
// it is not called, and its policy decides; without OnFailure it waits, and is called again. One whose dead letter they refuse stays
// unfinished, as on every route, and its dead letter is written again. What waits has its partition rest, so that others go on. When
// brokers refuse the answers of Route.Breaker records and take none, it is the topic's fault: from then on they wait, too. Under mu.
func (e *Engine) blame(a *assignment, it item, err error, dead bool) {
	now := time.Now()
	t := it.trouble
	if t == nil {
		t = &trouble{first: now}
		it.trouble = t
	}
	if !dead && !t.refused {
		e.refusals++
	}
	t.refused, t.due = true, time.Time{}
	e.remember(a, it)
	if dead {
		a.restsUntil = now.Add(a.route.MaxBackoff)
		return
	}
	t.attempts++
	t.last, t.err, t.class = now, err, poisonClass
	a.totals.Failed[FailedWrite]++
	a.failed(err.Error())
	wait, b := time.Duration(0), a.route.Breaker
	if outage := b > 0 && e.refusals > b; outage || a.route.OnFailure == Park {
		wait = a.route.MaxBackoff
		a.restsUntil = now.Add(wait)
		e.waits(a, &it, err, outage)
	}
	e.tellFailed(e.cfg.Observer.Failed, &it, wait)
}

// refused tells whether brokers are known to refuse what is written for a record.
func (it item) refused() bool { return it.trouble != nil && it.trouble.refused }
