package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/sluice-go/sluice"
)

// call is one call of a handler.
type call struct {
	p        *process
	t        *tenure
	ctx      context.Context //nolint:containedctx // it says whether the call still counts
	messages []sluice.Message[*record]
	began    time.Time
	returned bool
	named    bool // as one that overran
}

// enter takes in the start of a call. An error ends it: the process is gone, or a rule is broken.
func (c *call) enter() error {
	p, w := c.p, c.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.gone || w.failed {
		return errGone
	}
	first := c.messages[0].Value
	if p.tenures[first.partition] == nil {
		if c.ctx.Err() != nil && !p.endedBefore(first.partition, time.Now()) {
			return errGone // it was on its way
		}
		w.failLockedf("invariant 3: %s handles %v, and does not have its partition", p.name, first)
		return errGone
	}
	c.t = p.tenures[first.partition]
	if c.t.cause == nil && w.scenario.timeout == 0 { // else it is the call's own
		c.t.cause = c.ctx
	}
	for _, m := range c.messages {
		if !c.mayHandle(m.Value) {
			return errGone
		}
	}
	for _, m := range c.messages {
		r := m.Value
		p.lanes[w.scenario.lane(r)] = r
		r.calls++
		r.last = c.t
	}
	c.began = time.Now()
	p.calls[c] = struct{}{}
	p.running++
	if p.running >= w.scenario.workers {
		p.saturated = time.Now()
	}
	w.ledger.calls++
	return nil
}

// mayHandle holds a record that is about to be handled against the rules.
func (c *call) mayHandle(r *record) bool {
	p, w, t := c.p, c.p.w, c.t
	name := w.scenario.lane(r)
	lane := w.ledger.lanes[name]
	if o := p.lanes[name]; o != nil {
		w.failLockedf("invariant 5: %s handles %v while %v, of the same lane, is in its handler", p.name, r, o)
	}
	if o := lane.before(r, c); o != nil {
		w.failLockedf("invariant 5: %s handles %v before %v of the same lane, which is not finished", p.name, r, o)
	}
	if s := t.seek; s != nil && s.done && r.offset < s.to {
		w.failLockedf("seek: %s handles %v, and its partition was moved to %d", p.name, r, s.to)
	}
	if at, ok := p.paused[r.partition]; ok && time.Now().After(at) && !w.scenario.commit.before { // that drains what it committed first
		w.failLockedf("pause: %s handles %v, whose partition has been paused for %v", p.name, r, time.Since(at))
	}
	if w.scenario.commit.before {
		if r.last != nil && r.last != t {
			w.failLockedf("invariant 1: %s handles %v, which %v handled before: at most once", p.name, r, r.last)
		}
		if r.offset >= w.commits.covered[r.partition] {
			w.failLockedf("invariant 1: %s handles %v before its commit", p.name, r)
		}
	}
	if stand := r.stand(); len(stand) > 0 {
		why := w.ledger.repeated(r, t)
		if why == "" {
			w.failLockedf("duplicate: %s handles %v again, which %v finished (it began at %d or later)", p.name, r, stand[0].tenure, t.atLeast)
		}
		w.ledger.again[why]++
	} else if r.undone > 0 {
		w.ledger.again[sought]++
	}
	c.early(r)
	w.prompt(t, r, lane)
	return !w.failed
}

// leave takes in the end of a call.
func (c *call) leave(err error) {
	p, w := c.p, c.p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.running >= w.scenario.workers {
		p.saturated = time.Now()
	}
	p.running--
	delete(p.calls, c)
	for _, m := range c.messages {
		name := w.scenario.lane(m.Value)
		delete(p.lanes, name)
		w.ledger.lanes[name].freed = time.Now()
	}
	c.inTime()
	if p.gone || c.ended() { // it does not count: it runs again elsewhere
		return
	}
	named, ok := errors.AsType[*sluice.BatchError](err)
	for i, m := range c.messages {
		switch one := err; {
		case ok && named.Failed[i] != nil:
			c.judge(m, named.Failed[i], true)
		case ok && named.RolledBack:
		case ok:
			c.judge(m, nil, true)
		default:
			c.judge(m, one, len(c.messages) == 1)
		}
	}
}

// ended tells whether the call counts no more, as its assignment has ended. Its deadline ends its context as well.
func (c *call) ended() bool {
	return c.ctx.Err() != nil && (!c.late() || !c.t.ended.IsZero())
}

func (c *call) late() bool { return errors.Is(context.Cause(c.ctx), sluice.ErrHandlerTimeout) }

// inTime checks that the call had its time, and no more; who ignores that has to be named.
func (c *call) inTime() {
	p, w, limit, took := c.p, c.p.w, c.p.w.scenario.timeout, time.Since(c.began)
	first := c.messages[0].Value
	ignores := slices.ContainsFunc(c.messages, func(m sluice.Message[*record]) bool { return m.Value.kind == stubborn })
	switch {
	case limit == 0 || p.gone:
	case c.late() && took < limit:
		w.failLockedf("invariant 8: the deadline of %v in %s passed after %v, not %v", first, p.name, took, limit)
	case took > limit && !ignores:
		w.failLockedf("invariant 8: %v ran for %v in %s, and its deadline is %v", first, took, p.name, limit)
	case took > limit+overrun && !c.named && p.stopped.IsZero():
		w.failLockedf("invariant 8: %v ran for %v in %s, its deadline is %v, and nobody was told", first, took, p.name, limit)
	}
}

// overrun is when a call that ignores its deadline must have been told of.
const overrun = 2 * time.Second

// judge takes in the outcome of one record. alone: it is known to be the record's own.
func (c *call) judge(m sluice.Message[*record], err error, alone bool) {
	r, w := m.Value, c.p.w
	out := errors.Is(err, errOut)
	switch {
	case out && sluice.IsOutcome(err): // counts no attempt
		return
	case c.returned && err == nil && w.scenario.commit.manual:
		r.given = append(r.given, c.t)
		c.finishLater(m)
		return
	case w.scenario.transacts() && c.returned && (err == nil || r.kind == skips): // over when its transaction is committed
		r.given = append(r.given, c.t)
		return
	case c.returned && (err == nil || alone && r.kind == skips && sluice.IsOutcome(err)):
		w.ledger.finish(r, c.t)
		return
	case out:
		if r.blamed.IsZero() {
			r.blamed = time.Now()
		}
	case !alone:
	case !c.returned, r.kind == poison:
		r.faults++
		c.p.give(r, c.t, true)
		return
	default:
		r.faults++
	}
	if !out {
		r.failures++
	}
	c.fails(r)
	switch most := w.scenario.attempts; {
	case most == 0:
	case w.scenario.breaker >= 0: // when is for the engine to say: others have to succeed
		if c.t.failed[r] >= most || r.of != nil {
			c.p.give(r, c.t, false)
		}
	case alone && (m.Attempt >= most || r.of != nil):
		c.p.give(r, c.t, true)
	}
}

// finishLater calls Done, where commits are manual: now, or after a while.
func (c *call) finishLater(m sluice.Message[*record]) {
	w := c.p.w
	done := func() {
		w.mu.Lock()
		if counts := !c.p.gone && c.ctx.Err() == nil; counts {
			w.ledger.finish(m.Value, c.t)
		}
		w.mu.Unlock()
		m.Done()
	}
	after := time.Duration(m.Value.id%4) * 50 * time.Millisecond
	w.spawn(func() {
		time.Sleep(after)
		done()
	})
}

// give notes that a record is OnFailure's from now on, or may be.
func (p *process) give(r *record, t *tenure, sure bool) {
	if t == nil || p.gone {
		return
	}
	if r.gaveUp.IsZero() {
		r.gaveUp = time.Now()
	}
	r.given = append(r.given, t)
	if p.w.scenario.drops() && sure && !p.w.scenario.transacts() {
		p.w.ledger.finish(r, t)
	}
}

// prompt is how soon a record of a partition that stays must be handled.
const prompt = 500 * time.Millisecond

// prompt checks that nothing holds up a partition that nobody takes away.
func (w *world) prompt(t *tenure, r *record, lane *laneLog) {
	if w.scenario.theme != themeSteady || r.calls > 0 || r.produced.Before(t.began.Add(2*time.Second)) {
		return
	}
	could := r.produced
	for _, at := range []time.Time{lane.freed, t.process.saturated, t.process.resumed[r.partition]} {
		if at.After(could) {
			could = at
		}
	}
	if late := time.Since(could); late > prompt {
		w.failLockedf("invariant 4: %v waited %v in %s, which has had the partition all the while", r, late, t.process.name)
	}
}
