package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// onAssigned opens a new epoch for each partition, behind the poll barrier: what was polled before it is handed over first,
// so that no record of an earlier time meets the new assignment.
func (e *Engine) onAssigned(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	<-e.connected
	e.groupError.Store(nil)
	e.joined.Store(true)
	member, _ := e.client.GroupMetadata()
	if len(m) == 0 && !e.renamed(member) || acquire(e.clientCtx, e.swap) != nil {
		return
	}
	defer release(e.swap)
	e.mu.Lock()
	defer e.unlock()
	e.barrier()
	defer e.unbarrier()
	if len(m) > 0 {
		e.totals.Rebalances[CameIn]++
	}
	e.member = member
	for topic, ps := range m {
		for _, p := range ps {
			if r := e.RouteOf(topic); r != nil {
				e.newAssignment(part{topic, p}, r)
			}
		}
	}
	others := e.assignments(func(a *assignment) bool { return a.member != member })
	if len(others) > 0 {
		e.totals.Rebalances[Expelled]++
	}
	for _, a := range others {
		if e.transacts() { // the client's positions are not the group's any more
			e.spoil(errRenamed)
			e.renew(fmt.Errorf("%w: %w", ErrRenew, errRenamed))
			return
		}
		e.reopen(a)
	}
}

// renamed tells whether the group knows us by another id than at the last assign.
func (e *Engine) renamed(member string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.member != member
}

// onRevoked drains the partitions that leave, commits them once, and lets them go. It also comes with no partitions; then
// it waits for the commit in flight only.
func (e *Engine) onRevoked(ctx context.Context, _ *kgo.Client, m map[string][]int32) {
	<-e.connected
	began := time.Now()
	if err := e.drain(ctx, func() []*assignment { return e.named(m, AskedFor) }, e.cfg.DrainTimeout, ErrRevoked); err != nil {
		e.log.Warn("partitions were given up before their work was done; it runs again elsewhere", "event", "drain_overran", "err", err)
	}
	e.gaveUp(m, began)
}

// gaveUp notes how long it took to give partitions back; at a stop they were drained before.
func (e *Engine) gaveUp(m map[string][]int32, began time.Time) {
	e.mu.Lock()
	defer e.unlock()
	if len(m) > 0 && !e.stopping {
		e.totals.RebalanceTime[AskedFor].Add(time.Since(began))
	}
}

// onLost ends the assignments at once: they are somebody else's, and nothing may be committed for them.
func (e *Engine) onLost(_ context.Context, _ *kgo.Client, m map[string][]int32) {
	e.mu.Lock()
	defer e.unlock()
	for _, a := range e.named(m, TakenOff) {
		e.close(a, ErrLost)
	}
}

// named looks up the assignments that kgo names, and counts why. Under mu, as they may be replaced as soon as it is let go.
func (e *Engine) named(m map[string][]int32, why Rebalance) []*assignment {
	var as []*assignment
	for topic, ps := range m {
		for _, p := range ps {
			if a := e.parts[part{topic, p}]; a != nil {
				as = append(as, a)
			}
		}
	}
	if len(as) > 0 {
		e.totals.Rebalances[why]++
	}
	return as
}

// drain lets what runs end while nothing new starts, commits once, and closes the assignments. Other assignments go on. It
// returns an error that names what did not end in time, or the commit's. What we had as another member of the group is lost.
func (e *Engine) drain(ctx context.Context, pick func() []*assignment, timeout time.Duration, cause error) error {
	wait, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	member, _ := e.client.GroupMetadata()
	e.mu.Lock()
	as := pick()
	e.closeExpelled(as, member)
	for _, a := range as {
		switch {
		case !a.works(), a.state == halted, a.state == finishing:
		case a.state == open && a.route.CommitFirst:
			a.state = finishing
			a.stop.Store(false)
			e.startAgain(a) // a batch need not wait for more, nor does a paused partition: it is committed
		default:
			e.quiet(a, leaving)
		}
	}
	var overran error
	if !e.waitUntil(wait, func() bool {
		return !slices.ContainsFunc(as, func(a *assignment) bool { return a.works() && !a.idle() })
	}) {
		overran = e.overran(as, timeout)
	}
	for _, a := range as {
		if a.state == finishing {
			e.quiet(a, leaving)
		}
	}
	dirty := slices.DeleteFunc(slices.Clone(as), func(a *assignment) bool {
		if a.works() {
			e.publishRuns(a)
		}
		return !a.dirty()
	})
	e.unlock()

	err := e.lastCommit(ctx, dirty)

	member, _ = e.client.GroupMetadata()
	e.mu.Lock()
	defer e.unlock()
	e.closeExpelled(as, member)
	lost := lostOf(as)
	for _, a := range as {
		e.close(a, cause)
	}
	return cmp.Or(overran, err, lost)
}

// closeExpelled ends what we had as another member of the group than now: the client joined again without a word (see reopen).
func (e *Engine) closeExpelled(as []*assignment, member string) {
	for _, a := range as {
		if a.member != member {
			e.close(a, ErrLost)
		}
	}
}

// lostOf names the assignments that were lost while they drained: what was finished since their last commit runs again.
func lostOf(as []*assignment) error {
	var names []string
	for _, a := range as {
		if errors.Is(context.Cause(a.ctx), ErrLost) {
			names = append(names, a.part.String())
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("the drain of %s was cut short: %w", strings.Join(names, ", "), ErrLost)
}

// lastCommit commits before assignments are given up, and tries again where that may help. With nothing to commit it still
// waits for the commit in flight.
func (e *Engine) lastCommit(ctx context.Context, as []*assignment) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.CommitTimeout)
	defer cancel()
	for try := 1; ; try++ {
		err := e.commit(ctx, as, demanded)
		if err == nil || try == lastCommitTries || errors.Is(err, kerr.UnknownMemberID) ||
			errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.FencedInstanceID) || errors.Is(err, errExpelled) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const lastCommitTries = 3

// overran tells of the handlers that outlived a drain.
func (e *Engine) overran(as []*assignment, timeout time.Duration) error {
	var names []string
	for _, a := range as {
		if !a.works() || a.idle() {
			continue
		}
		info := DrainOverranInfo{Topic: a.topic, Partition: a.partition}
		for _, offset := range slices.Sorted(maps.Keys(a.handed)) {
			info.Offsets = append(info.Offsets, offset)
			names = append(names, fmt.Sprintf("%s[%d]@%d (not Done)", a.topic, a.partition, offset))
		}
		if a.state == finishing && a.grant > 0 {
			names = append(names, fmt.Sprintf("%s[%d]: %d records that were committed first", a.topic, a.partition, a.grant))
		}
		for _, r := range a.runs {
			first := r.items[0].record.Offset
			info.Offsets = append(info.Offsets, first)
			names = append(names, fmt.Sprintf("%s[%d]@%d", a.topic, a.partition, first))
			e.log.Error("handler outlived its drain; its context is cancelled, and its records run again elsewhere",
				"event", "handler_outlived_drain",
				"topic", a.topic, "partition", a.partition, "offset", first, "running", time.Since(r.started), "drain", timeout)
		}
		if a.streaming && len(a.runs) == 0 {
			names = append(names, fmt.Sprintf("%s[%d] (its stream's handler has not returned)", a.topic, a.partition))
		}
		if f := e.cfg.Observer.DrainOverran; f != nil {
			e.tell(func() { f(info) })
		}
	}
	slices.Sort(names)
	return fmt.Errorf("%w after %v: not ended: %d: %s", ErrDrainTimeout, timeout, len(names),
		strings.Join(names[:min(len(names), 10)], ", "))
}
