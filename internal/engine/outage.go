package engine

import "time"

// outage is a route that stands still, as nothing can succeed now: a handler said so, or all records that were tried failed. No
// handler is started but one at a time, the probe, until one succeeds.
//
// Failures are a suspicion when a record has used up its attempts, or its time (see overdue), and nothing has succeeded that was
// begun after the latest record to fail for its first time: until then nobody knows whether that one is the only one. Other records
// are tried at once. One that succeeds shows that it was the record's fault. When all there are fail as well, or Route.Breaker of
// them, it is an outage, and from then on a probe waits for the backoff.
//
// A record that has used up its time may have done so where nothing else happens: it is given up only when it fails once more after
// another one's success that came after its previous failure. Until then it is tried on, and the route goes on. So it is with copies,
// see delay.go.
//
// Probes take the lanes in turn. Where a lane's first record has used up its attempts, the probe is a walk: it goes on to the
// records behind it, as far as those have used up theirs, so that bad records at the head of every lane do not pass for an
// outage for ever. A walk is over in no time, so when a record succeeds in it, those before it failed by their own fault.
//
// A call that hangs tells what was when it began, and no more: others may succeed by the time that it fails. So only a call that began
// after another record's success counts against a record by itself; one that took long, and was followed by a success only, is made
// once more. And a walk ends with a call that takes long: what is behind it waits, in its order.
//
// A walk also ends with a record that stays unfinished when it is given up, as with Halt and StuckPark: it is handled again some day, and
// nothing behind it may be by then. Only another lane can show that it is the record's fault. In the only lane, it is an outage until
// that record succeeds.
//
// All of it is guarded by Engine.mu.
type outage struct {
	since    time.Time
	err      error
	failures bool       // found by failures; else a handler said it
	told     bool       // false: only suspected
	suspects []*trouble // while it is only suspected: records that used up their attempts
	asked    int        // of them, those whose verdict the probe brings: they failed before it began
	failed   int        // probes
	due      bool       // a probe may start
	probe    *run       // under way
	over     bool
}

// inNoTime is how long calls may take that are followed by another one's success, to be taken for one and the same moment.
const inNoTime = time.Second

// breaks tells whether a route's failures may count as an outage: one that gives up records at some time. A sink that keeps offsets
// cannot look past a record, and says Poison and Outage by itself.
func (r *Route) breaks() bool {
	return r.Breaker > 0 && (r.MaxAttempts > 0 || r.quits()) && !r.fenced()
}

// mayStart tells whether a handler may be started.
func (r *Route) mayStart() bool {
	o := r.outage
	return o == nil || (o.due && o.probe == nil)
}

// exhausted tells whether a record may be given up when others succeed: it has used up its attempts, with failures that it has not
// been told of, or its time, as overdue says.
func (it item) exhausted(a *assignment, more int, overdue span) bool {
	t := it.trouble
	return t != nil && (t.spent(a, more) || a.route.quits() && overdue.holds(t.since))
}

// hold stops a route.
func (r *Route) hold(o *outage) {
	r.outage = o
	r.held.Store(true)
}

// suspect holds the route to see whether other records fail as well as this one, which used up its attempts or its time.
func (e *Engine) suspect(rt *Route, t *trouble) {
	t.attempts-- // to use it up again, should this be an outage
	t.due, t.alone = time.Time{}, rt.HandleBatch != nil
	o := &outage{since: t.last, err: t.err, failures: true, suspects: []*trouble{t}, due: true}
	t.tried = o
	rt.hold(o)
}

// count takes in a failure. Others have to succeed after the first one, and after the first one alone: what the record failed in before
// may have been the fault of others in its batch. Copies do not count for others: they tend to fail.
func (t *trouble) count(a *assignment, together bool) {
	rt := a.route
	t.failed++
	if !t.since.After(rt.recovered) {
		t.since = t.last
	}
	if (t.failed == 1 || !together && t.begun == 0) && a.work.Delays == 0 {
		rt.failing = rt.begun
	}
	if !together {
		t.begun = rt.begun
	}
}

// doubts tells whether a record that is to be given up may have failed in an outage, as nobody knows of another one's success that came
// late enough; then it waits. before is the route's latest run at its previous failure by itself; 0 when there was none.
func (e *Engine) doubts(r *run, it *item, stuck bool, before uint64) bool {
	rt, t, copied := r.a.route, it.trouble, r.a.work.Delays > 0
	switch {
	case !copied && r.witness <= rt.failing:
		e.tellFailed(e.cfg.Observer.Failed, it, 0)
		e.suspect(rt, t)
		return true
	case (copied || stuck) && (before == 0 || r.witness <= before):
		e.again(it, rt.Backoff(t.attempts))
		return true
	}
	return false
}

// failedIn takes in a failure while the route is held, which counts as no attempt.
func (o *outage) failedIn(r *run, it *item, together bool) {
	t, rt := it.trouble, r.a.route
	t.outages++
	t.due = time.Time{}
	if !together { // else nobody knows whether it is this one's fault
		t.tried = o
	}
	if r.probe {
		o.err, o.failures = t.err, true
		if !together && rt.HandleBatch != nil { // a batch that it rolls back tells nothing of the others
			t.aloneIn = o
		}
	}
	if !o.told && !together && it.exhausted(r.a, 0, rt.overdue(t.last)) {
		t.alone = rt.HandleBatch != nil
		o.suspects = append(o.suspects, t)
	}
}

// said takes in a handler's word that nothing can succeed.
func (e *Engine) said(r *run, err error) {
	rt := r.a.route
	if rt.outage == nil {
		rt.hold(&outage{since: time.Now()})
	}
	o := rt.outage
	o.err = err
	r.a.lastError = err.Error()
	if r.probe || !o.told {
		o.failures = false
	}
	if !o.told {
		e.tellOutage(rt, o)
	}
}

// tellOutage makes an outage of a suspicion.
func (e *Engine) tellOutage(rt *Route, o *outage) {
	o.told, o.suspects, o.failed = true, nil, 0
	e.totals.Outages++
	e.log.Error("outage: the route stands still, and tries one record now and then until one succeeds", "event", "outage_began",
		"topics", rt.Topics, "said", !o.failures, "err", o.err)
	e.observeOutage(rt, o, false)
	if o.probe == nil { // else that one's outcome has the next one wait
		e.probeLater(rt, o)
	}
}

// probeLater lets the next probe go after the backoff.
func (e *Engine) probeLater(rt *Route, o *outage) {
	o.failed++
	o.due = false
	time.AfterFunc(rt.Backoff(o.failed), func() {
		e.mu.Lock()
		defer e.unlock()
		e.probeNow(rt, o)
	})
}

// probeNow lets the next probe go, as soon as there is a record for it.
func (e *Engine) probeNow(rt *Route, o *outage) {
	o.due = true
	if rt.outage == o {
		e.hire(rt)
	}
}

// beginProbe makes the run the probe, where the route is held. How many records of the lane it takes is returned; 0 leaves that to
// the route.
func (r *Route) beginProbe(by *run, l *lane) int {
	o := r.outage
	by.probe, by.walk, by.known = o != nil, false, 0
	if o == nil {
		return 0
	}
	o.due, o.probe, o.asked = false, by, len(o.suspects)
	by.overdue = r.overdue(by.started)
	waiting := l.queue.peek()
	if !o.told { // who failed in it just now is not called again
		for _, it := range waiting {
			if it.trouble == nil || it.trouble.tried != o {
				break
			}
			by.known++
		}
	}
	by.walk = o.failures && (by.known > 0 || waiting[0].exhausted(l.a, 0, by.overdue))
	if by.walk {
		return by.known + r.Breaker
	}
	return 1
}

// probed takes in what a run shows: a success of the probe ends the outage, anything else has the next one tried.
func (e *Engine) probed(r *run, v verdict) {
	rt := r.a.route
	if v == succeeded {
		rt.worked = max(rt.worked, r.number)
	}
	o := rt.outage
	if o == nil || o.probe != r {
		return
	}
	o.probe = nil
	switch {
	case v == succeeded:
		e.endOutage(rt, o)
	case v == neither:
		e.probeNow(rt, o)
	case o.told:
		e.probeLater(rt, o)
	case o.failed+1 < rt.Breaker && (v == failed || v == nobodyElse && rt.ready.len() > 0):
		o.failed++
		e.probeNow(rt, o)
	case v == nobodyElse && time.Since(o.since) < inNoTime: // those that are under way may tell
		e.probeLater(rt, o)
	default:
		e.tellOutage(rt, o)
	}
}

// verdict is what a run shows of its route.
type verdict int

const (
	neither    verdict = iota // skipped, poison by its handler's word, or its partition is gone
	failed                    // as all do in an outage
	succeeded                 // at least one record
	nobodyElse                // a walk that found nobody to call
)

// verdictOf is what one outcome shows.
func (r *Route) verdictOf(k Kind) verdict {
	switch {
	case k == Done:
		return succeeded
	case k == Outage, k == Failed && r.breaks():
		return failed
	}
	return neither
}

// endOutage lets the route go on, unless there are suspects that failed after the probe had begun: they need another one.
func (e *Engine) endOutage(rt *Route, o *outage) {
	asked := min(o.asked, len(o.suspects))
	for _, t := range o.suspects[:asked] { // another record succeeded right after
		t.condemned = !t.slow || t.again
		t.again = true
	}
	if o.suspects = o.suspects[asked:]; len(o.suspects) > 0 {
		o.failed = 0
		e.probeNow(rt, o)
		return
	}
	rt.outage, o.over = nil, true
	rt.held.Store(false)
	if o.told {
		rt.recovered = time.Now()
		e.log.Info("the outage is over", "event", "outage_ended", "topics", rt.Topics, "took", time.Since(o.since))
		e.observeOutage(rt, o, true)
	}
	e.hire(rt)
}

// abandonProbe lets another run be the probe: this one's partition is gone, and its handler may hang.
func (e *Engine) abandonProbe(a *assignment) {
	rt := a.route
	if o := rt.outage; o != nil && o.probe != nil && o.probe.a == a {
		o.probe = nil
		e.probeNow(rt, o)
	}
}

func (e *Engine) observeOutage(rt *Route, o *outage, ended bool) {
	if f := e.cfg.Observer.Outage; f != nil {
		info := OutageInfo{Topics: rt.Topics, Since: o.since, Err: o.err, Breaker: o.failures, Probes: o.failed, Ended: ended}
		e.tell(func() { f(info) })
	}
}

// outageProblem is what health says of a route's outage; "" when there is none.
func (r *Route) outageProblem() string {
	o := r.outage
	if o == nil || !o.told {
		return ""
	}
	what := "outage since "
	if o.failures {
		what = "every record fails, which counts as an outage since "
	}
	return what + o.since.UTC().Format(time.RFC3339) + ": " + o.err.Error()
}
