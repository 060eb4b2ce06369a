package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-go/sluice"
)

// tenure is one partition in the hands of one process, from one assign to its end.
type tenure struct {
	process   *process
	partition int32
	epoch     uint64
	began     time.Time
	atLeast   int64 // where it begins, or further on
	ended     time.Time
	frontier  int64           // at its end
	given     bool            // up at its end, in a revoke or a stop
	recorded  time.Time       // what was finished before it is in a commit that was acknowledged
	sent      time.Time       // the last commit that reached the coordinator
	cause     context.Context //nolint:containedctx // of its handlers: it knows why it ended; nil where each has its own
	followed  bool            // by the next one, at once
	seek      *seek           // that most likely began it; nil none
	failed    map[*record]int // failed calls, whatever the reason
	since     map[*record]time.Time
	excuse    string // why its work may be done again
}

func (t *tenure) String() string {
	return fmt.Sprintf("assignment %d of partition %d in %s", t.epoch, t.partition, t.process.name)
}

// pardon allows that the work of the tenure is done again. A commit that failed excuses until one succeeds, and no longer: any other
// reason stays.
func (t *tenure) pardon(why string) {
	if t != nil && (t.excuse == "" || t.excuse == commitFailed) {
		t.excuse = why
	}
}

// pardon allows that what the process has in work is done again.
func (p *process) pardon(why string) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for _, t := range p.held {
		t.pardon(why)
	}
}

// slept tells whether its process may have had it while its network stood still, so that what it sends may be of then.
func (t *tenure) slept() bool {
	return t.process.frozen && t.began.Before(t.process.thaws.Add(thawed))
}

// thawed is how long what a process is given after it has thawed may be lost already.
const thawed = 5 * time.Second

func (t *tenure) lost() bool {
	return !t.ended.IsZero() && !t.given
}

func (t *tenure) moved() bool {
	if t.cause == nil {
		return t.followed
	}
	return errors.Is(context.Cause(t.cause), sluice.ErrMoved)
}

func (p *process) assigned(i sluice.AssignedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.gone {
		return
	}
	log := w.scenario.log(i.Topic, i.Partition)
	t := &tenure{
		process: p, partition: log, epoch: i.Epoch, began: time.Now(), atLeast: w.commits.at(log),
		failed: make(map[*record]int), since: make(map[*record]time.Time),
	}
	if time.Now().Before(w.troubleUntil) {
		t.pardon(w.trouble)
	}
	if time.Since(p.kicked) < 10*time.Second { // it may have been on its way already
		t.pardon("thrown out")
	}
	if t.slept() {
		t.pardon("zombie")
	}
	for _, o := range p.held {
		o.followed = o.followed || o.partition == t.partition && o.ended.Equal(t.began)
	}
	if s := p.moving(log); s != nil {
		t.seek, s.began, t.atLeast = s, t.began, min(t.atLeast, s.to)
		for c := range p.calls {
			s.early = s.early || c.t.partition == t.partition && c.t.given && c.t.ended.Equal(t.began) && t.began.Sub(s.asked) < w.scenario.drain
		}
		w.ledger.undo(log, s.to)
	}
	p.tenures[log] = t
	p.held = append(p.held, t)
	w.tenures = append(w.tenures, t)
	w.trace.notef(p.name, "has partition %d, epoch %d", log, i.Epoch)
}

func (p *process) released(i sluice.ReleasedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range p.held {
		if t.epoch != i.Epoch || !t.ended.IsZero() { // one of an engine before
			continue
		}
		t.ended, t.frontier, t.given = time.Now(), i.Frontier, !i.Lost
		if p.tenures[t.partition] == t {
			delete(p.tenures, t.partition)
		}
		w.trace.notef(p.name, "lets go of partition %d, epoch %d, frontier %d, lost %v (excuse %q)", t.partition, i.Epoch, i.Frontier, i.Lost, t.excuse)
		p.waited()
		if at := p.askedAt[t.partition]; i.Lost && at.After(p.kicked) && p.kicked.After(t.began) && !p.gone && !p.movedSince(p.kicked) {
			w.failLockedf("invariant 3: %s committed partition %d %v after it had lost it", p.name, t.partition, at.Sub(p.kicked))
		}
		if i.Lost && t.excuse == "" && !p.gone {
			w.failLockedf("invariant 6: %s lost partition %d for no reason", p.name, t.partition)
		}
	}
}

// movedSince tells whether a partition was revoked or given: while that lasts, the client tells of no loss.
func (p *process) movedSince(at time.Time) bool {
	return slices.ContainsFunc(p.held, func(t *tenure) bool { return t.given && !t.ended.Before(at) || !t.began.Before(at) })
}

func (p *process) overran(i sluice.DrainOverranInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.scenario.log(i.Topic, i.Partition)
	p.tenures[log].pardon("overran")
	for c := range p.calls {
		if d := time.Since(c.began); c.t == p.tenures[log] && d < w.scenario.drain && !p.gone && !w.scenario.commit.before && !w.failed {
			w.failLockedf("invariant 4: a drain of partition %d gave up on %v, which runs for %v in %s", log, c.messages[0].Value, d, p.name)
		}
	}
	w.trace.notef(p.name, "drain of partition %d overran: %v", log, i.Offsets)
}

func (p *process) commitFailed(i sluice.CommitFailedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range p.tenures {
		if t.excuse == "" {
			t.excuse = commitFailed
		}
	}
	w.trace.notef(p.name, "commit failed after %v: %v", i.Took, i.Err)
}

// handlerOverran notes who is named.
func (p *process) handlerOverran(i sluice.HandlerOverranInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range p.calls {
		if first := c.messages[0].Value; first.partition == w.scenario.log(i.Topic, i.Partition) && (first.offset == i.Offset || w.scenario.batch > 0) {
			c.named = true
		}
	}
}

// dropped takes in that a record was dropped.
func (p *process) dropped(i sluice.FailedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.recordOf(string(idForm.FindSubmatch(i.Record.Value)[1]))
	if p.gone || w.scenario.transacts() {
		return
	}
	w.mayGiveUp(r, "dropped")
	for _, t := range slices.Backward(r.given) {
		if t.process == p && !r.finishedBy(t) {
			w.ledger.finish(r, t)
			return
		}
	}
}

const commitFailed = "commit failed"

func (p *process) committed(i sluice.CommittedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, offsets := range i.Offsets {
		for n := range offsets {
			t := p.tenures[w.scenario.log(name, n)]
			if t == nil || p.gone {
				continue
			}
			if t.excuse == commitFailed {
				t.excuse = ""
			}
			t.recorded = time.Now().Add(-i.Took)
		}
	}
	w.trace.notef(p.name, "committed %v", i.Offsets)
}
