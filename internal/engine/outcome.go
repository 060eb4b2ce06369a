package engine

import (
	"strconv"
	"time"
)

// judge says what becomes of a record that did not succeed; true keeps it in its lane. together: the whole batch failed, and
// nobody knows which record's fault it was.
func (e *Engine) judge(r *run, l *lane, it *item, out Outcome, together bool) bool {
	if out.Kind == HandedBack {
		return true
	}
	a := r.a
	rt, now := a.route, time.Now()
	if out.Kind == Reclaim && !rt.fenced() {
		out.Kind, out.More = Failed, &More{After: -1} // nothing is claimed here
	}
	if out.Kind == Skipped {
		a.outcomes.Skipped++
		record, err := it.record, out.Err
		e.tell(func() { e.tellSkipped(record, err) })
		return e.settled(a, it)
	}
	if out.Kind == condemned {
		if !it.refused() {
			it.trouble.class = it.trouble.failedFor(a)
		}
		return e.fail(r, l, it, it.trouble.err)
	}
	t := it.trouble
	if t == nil {
		t = &trouble{first: now}
		it.trouble = t
	}
	if e.transacts() {
		e.remember(a, *it)
	}
	t.last, t.err, t.class = now, out.Err, out.class()
	t.slow = now.Sub(r.started) > inNoTime
	a.failed(out.Err.Error())
	if out.Kind == Reclaim {
		r.end = func() { e.reclaim(a, out.Err) }
		return true
	}
	a.totals.Failed[failureClass(out)]++
	before := t.begun
	if out.Kind == Failed || out.Kind == Poison && together { // which was maybe another's fault
		t.count(a, together)
	}
	o := rt.outage
	if out.Kind == Outage {
		t.outages++
		wait := rt.Backoff(t.outages)
		if t.due = (time.Time{}); e.still { // in Deliver each record is looked at by itself
			t.due = now.Add(wait)
		} else {
			e.said(r, out.Err)
		}
		e.tellFailed(e.cfg.Observer.Failed, it, wait)
		return true
	}
	if out.Kind == Failed && o != nil && rt.breaks() && !t.condemned {
		o.failedIn(r, it, together)
		if after := out.after(); after > 0 {
			t.due = now.Add(after)
		}
		e.tellFailed(e.cfg.Observer.Failed, it, rt.Backoff(t.outages))
		return true
	}
	t.attempts++
	spent := out.Kind != Failed || t.condemned || a.maxAttempts() > 0 && t.attempts >= a.maxAttempts()
	stuck := !spent && o == nil && rt.overdue(now).holds(t.since)
	if stuck && !together && rt.Stuck == StuckWarn {
		e.warnStuck(a, it)
		stuck = false
	}
	if !spent && !stuck {
		wait := out.after()
		if wait < 0 {
			wait = rt.Backoff(t.attempts)
		}
		e.again(it, wait)
		return true
	}
	switch {
	case stuck:
		t.class = stuckClass
	case out.Kind == Failed:
		t.class = t.failedFor(a)
	}
	if together {
		t.alone, t.due = true, time.Time{}
		return true
	}
	if out.Kind == Failed && rt.breaks() && !t.condemned && !r.proved && e.doubts(r, it, stuck, before) {
		return true
	}
	e.tellFailed(e.cfg.Observer.Failed, it, a.nextDelay(t))
	return e.fail(r, l, it, out.Err)
}

// again has a record that failed wait for its next attempt.
func (e *Engine) again(it *item, wait time.Duration) {
	it.trouble.due = it.trouble.last.Add(wait)
	e.tellFailed(e.cfg.Observer.Failed, it, wait)
}

// fail is what becomes of a record that cannot be handled; true keeps it in its lane.
func (e *Engine) fail(r *run, l *lane, it *item, err error) bool {
	a, t := r.a, it.trouble
	rt, then := a.route, a.route.OnFailure
	switch t.class {
	case usedUp:
		t.attempts = max(t.attempts, a.maxAttempts()) // also where those in outages were among them
	case stuckClass:
		e.stuck(a, it)
		switch rt.Stuck {
		case StuckPark:
			e.setAside(a, it)
			return true
		case StuckHalt:
			then = Halt
		case StuckWarn, StuckDeadLetter:
		}
	}
	if a.nextDelay(t) > 0 {
		t.delayed = true
		e.copyOut(a, l, *it)
		return false
	}
	switch then {
	case Drop:
		a.outcomes.Dropped++
		e.log.Warn("record dropped", "event", "record_dropped",
			"topic", a.topic, "partition", a.partition, "offset", it.record.Offset, "class", it.trouble.class)
		e.tellFailed(e.cfg.Observer.Dropped, it, 0)
		return e.settled(a, it)
	case Halt:
		offset := it.record.Offset
		r.end = func() { e.halt(a, offset, err) }
		return true
	case DeadLetter:
		e.copyOut(a, l, *it)
		return rt.fenced()
	default:
		e.waits(a, it, err, false)
		return true
	}
}

// waits has a record that cannot be handled wait, and tell so: without OnFailure nobody says what becomes of it.
func (e *Engine) waits(a *assignment, it *item, err error, outage bool) {
	why := "the route has no OnFailure"
	if outage {
		why = "nor can any other of late (Retry.Breaker)"
	}
	it.trouble.due = it.trouble.last.Add(a.route.MaxBackoff)
	a.trouble(it.record.Offset, "offset "+itoa(it.record.Offset)+" cannot be handled, and "+why+": "+err.Error())
	e.log.Error("record cannot be handled; its lane waits and tries again: "+why, "event", "record_waits",
		"topic", a.topic, "partition", a.partition, "offset", it.record.Offset, "class", it.trouble.class)
}

// settled is the end of a record that its policy is done with; true keeps it, so that its batch steps over it.
func (e *Engine) settled(a *assignment, it *item) bool {
	if !a.route.fenced() {
		e.finish(a, *it)
		return false
	}
	if it.trouble == nil {
		it.trouble = new(trouble)
	}
	it.trouble.settled, it.trouble.due, it.trouble.alone, it.trouble.aloneIn = true, time.Time{}, false, nil
	return true
}

// copyOut writes a record's copy, to the dead letters or a retry topic, again and again until it is acknowledged or the assignment
// ends. Only then is the record finished. Its lane goes on meanwhile, save on fenced routes, where the batch that steps over it waits.
func (e *Engine) copyOut(a *assignment, l *lane, it item) {
	if a.route.fenced() {
		l.dying++
	} else {
		a.settling++
		a.settlingBytes += size(it.record)
	}
	e.writeCopy(a, l, it, 1)
}

func (e *Engine) writeCopy(a *assignment, l *lane, it item, attempt int) {
	t := it.trouble
	f := Failure{
		Record: it.record, TopicID: a.work.TopicID, Attempts: t.attempts, Delays: a.work.Delays,
		First: t.first, Last: t.last, Err: t.err, Class: t.class,
	}
	write := a.route.DeadLetter
	if t.delayed {
		write = a.route.Retry
	}
	if t := e.txn; e.transacts() && !e.still {
		write = func(f Failure, done func(error)) { e.writeCopyIn(t, a, it, a.route.Copy(f), done) }
	}
	e.live++
	a.writing++
	e.tell(func() {
		write(f, func(err error) {
			e.mu.Lock()
			defer e.unlock()
			e.live--
			a.writing--
			e.cond.Broadcast()
			e.copied(a, l, it, attempt, err)
		})
	})
}

func (e *Engine) copied(a *assignment, l *lane, it item, attempt int, err error) {
	fenced := a.route.fenced()
	if err != nil && a.starts() {
		what := "dead letter"
		if it.trouble.delayed {
			what = "copy for a retry topic"
		}
		a.failed(err.Error())
		a.trouble(it.record.Offset, "a "+what+" could not be written: "+err.Error())
		e.log.Error(what+" not written; its record stays unfinished, and it is tried again", "event", "copy_not_written", "topic", a.topic,
			"partition", a.partition, "offset", it.record.Offset, "err", err)
		if e.transacts() { // which undoes all of it
			e.unsettle(a, it)
			return
		}
		time.AfterFunc(a.route.Backoff(attempt), func() {
			e.mu.Lock()
			defer e.unlock()
			if a.starts() {
				e.writeCopy(a, l, it, attempt+1)
			} else {
				e.unsettle(a, it)
			}
		})
		return
	}
	if !a.works() {
		return
	}
	if err != nil {
		e.unsettle(a, it)
		return
	}
	if it.trouble.delayed {
		a.outcomes.Delayed++
	} else {
		a.outcomes.DeadLettered++
		e.tellFailed(e.cfg.Observer.DeadLettered, &it, 0)
	}
	if fenced {
		e.settled(a, &it)
		if l.dying--; l.dying == 0 && a.starts() {
			e.makeReady(l)
		}
		return
	}
	a.settling--
	a.settlingBytes -= size(it.record)
	e.finish(a, it)
	e.account(a, 0)
}

// unsettle gives a copy up: the record stays unfinished.
func (e *Engine) unsettle(a *assignment, it item) {
	if !a.works() || a.route.fenced() {
		return
	}
	a.settling--
	a.settlingBytes -= size(it.record)
	e.hold(a, -size(it.record), -1)
}

func (e *Engine) tellFailed(f func(FailedInfo), it *item, wait time.Duration) {
	if f == nil {
		return
	}
	info := FailedInfo{Record: it.record, Attempts: it.trouble.attempts, Err: it.trouble.err, RetryIn: wait}
	e.tell(func() { f(info) })
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
