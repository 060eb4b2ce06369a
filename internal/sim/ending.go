package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// settle waits until every record is over, nothing runs, and every partition has somebody.
func (w *world) settle() bool {
	w.gather()
	from, patience := time.Now(), w.patience()
	told, fresh := from, from
	looks := 4 + int(w.scenario.fetchWait/lookEvery) // a partition that somebody was given is in no fetch before the one that waits has ended
	for calm := 0; calm < looks; {
		why := w.busy()
		if why != "" && w.scenario.breaker >= 0 && time.Since(told) > others {
			told = time.Now()
			w.produce(w.scenario.good())
		}
		if why != "" && w.scenario.stays() && time.Since(fresh) > freshStart && !w.works() {
			fresh = time.Now()
			w.freshen()
		}
		if calm++; why != "" {
			calm = 0
		}
		if why != "" && time.Since(from) > patience {
			w.failf("liveness: %v after the last fault: %s; %s", patience, why, w.unfinished())
		}
		if !w.sleep(lookEvery) {
			return false
		}
	}
	w.trace.notef("world", "everything is finished")
	return true
}

// gather leaves one member, which has everything, where a copy that fails is given up only when it has seen others succeed: a member
// that has nothing but retry topics never does.
func (w *world) gather() {
	if w.scenario.breaker < 0 || len(w.scenario.retries) == 0 {
		return
	}
	w.mu.Lock()
	var out []*process
	for i, s := range w.slots {
		if s.wanted = i == 0; !s.wanted && s.current != nil && !s.current.gone && s.current.stopped.IsZero() {
			out = append(out, s.current)
		}
	}
	w.mu.Unlock()
	for _, p := range out {
		p.stop()
	}
	w.start(w.slots[0])
}

// lookEvery is how often it is looked whether everything is over.
const lookEvery = 250 * time.Millisecond

// others is how often a good record comes after the last fault, where bad ones are known by others that succeed.
const others = 3 * time.Second

// good is a record a partition that succeeds.
func (s *scenario) good() (f feed) {
	for p := range s.most() {
		f.records = append(f.records, recordPlan{partition: p})
	}
	return f
}

// patience is how long everything may take that is left: if one worker does it all, a rebalance, and two sessions.
func (w *world) patience() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := time.Minute + w.scenario.rebalance + 2*w.scenario.session
	if w.scenario.stays() {
		d += 12 * freshStart
	}
	if w.scenario.transacts() {
		d += time.Minute
	}
	for _, delay := range w.scenario.retries {
		d += delay + 3*others
	}
	for _, r := range w.ledger.records {
		if !r.over() {
			d += r.takes*time.Duration(r.times+w.scenario.attempts+1) + time.Duration(r.times)*3*time.Second
			if w.scenario.breaker >= 0 && w.scenario.attempts > 0 {
				d += 3 * others * time.Duration(len(w.scenario.topics))
			}
		}
	}
	return d
}

// busy says what there is still to do; "" when there is nothing.
func (w *world) busy() string {
	info, held, ends := w.GroupInfo(group), w.held(), w.ends()
	w.mu.Lock()
	defer w.mu.Unlock()
	running, owned := 0, make(map[int32]bool)
	for _, p := range w.alive {
		running += p.running
		for n := range p.tenures {
			owned[n] = true
		}
	}
	left := w.ledger.left
	if w.scenario.commit.before {
		left = w.leftBefore()
	}
	switch {
	case left > 0 || running > 0:
		return fmt.Sprintf("%d records are not finished, %d handlers run", left, running)
	case w.audit != nil && w.audit.open:
		return "a transaction is open"
	case w.coming(ends) != "":
		return w.coming(ends)
	case len(owned) < int(w.scenario.logs()):
		return fmt.Sprintf("%d of %d partitions have nobody", int(w.scenario.logs())-len(owned), w.scenario.logs())
	case w.seeking > 0:
		return "a seek is under way"
	case info == nil || info.State != "Stable":
		return "the group is not stable"
	case held > 0:
		return fmt.Sprintf("%d records are held, most likely to be tried again", held)
	}
	return ""
}

// held counts what the members have in work, also what others finished before.
func (w *world) held() int {
	w.mu.Lock()
	alive := slices.Collect(maps.Values(w.alive))
	w.mu.Unlock()
	n := 0
	for _, p := range alive {
		for _, s := range p.app.Snapshot().Partitions {
			n += s.Queued + s.Running
		}
	}
	return n
}

// leftBefore counts the records that are not finished, and not lost with the process that committed them first.
func (w *world) leftBefore() int {
	left := 0
	for _, r := range w.ledger.records {
		lost := r.offset >= 0 && r.offset < w.commits.at(r.partition) && (r.last == nil || !r.last.ended.IsZero() || r.last.process.gone)
		if !r.over() && !lost {
			left++
		}
	}
	return left
}

// unfinished tells what is left, and how the members do.
func (w *world) unfinished() string {
	text := ""
	w.mu.Lock()
	for _, r := range w.ledger.records {
		if !r.over() && len(text) < 300 {
			text += fmt.Sprintf("offset %d of %d (%v, %d calls), ", r.offset, r.partition, r.kind, r.calls)
		}
	}
	alive := make([]*process, 0, len(w.alive))
	for _, p := range w.alive {
		alive = append(alive, p)
	}
	w.mu.Unlock()
	for _, p := range alive {
		text += fmt.Sprintf("\n%s: %+v", p.name, p.app.Health())
	}
	return text
}

// stop stops everything, and checks that all is committed then. A last commit may fail while others leave, as on classic groups
// it waits for them: then one more process has to put it right.
func (w *world) stop() {
	for again := range 2 {
		clean := w.stopAll()
		if w.hasFailed() {
			return
		}
		w.compare()
		if w.committed(clean || again > 0) {
			return
		}
		w.mu.Lock()
		w.ending = false
		w.mu.Unlock()
		w.start(&slot{name: "the last", wanted: true})
		if !w.settle() {
			w.stopAll()
			return
		}
	}
}

// stopAll stops every process, and reports whether each of them was clean.
func (w *world) stopAll() bool {
	w.mu.Lock()
	w.ending = true
	failed := w.failed
	alive := slices.Collect(maps.Values(w.alive))
	w.mu.Unlock()
	for _, p := range alive {
		if failed {
			p.link.Cut()
			p.app.Abort()
		}
		p.stop()
	}
	clean := true
	for _, p := range alive {
		<-p.over
		w.mu.Lock()
		clean = clean && p.err == nil
		w.mu.Unlock()
	}
	return clean
}

// committed tells whether everything is committed, and demands it.
func (w *world) committed(demand bool) bool {
	ends, err := w.Admin().ListEndOffsets(context.Background(), w.scenario.topics...)
	if err != nil {
		w.failf("setup: list the ends: %v", err)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range w.scenario.logs() {
		end, _ := ends.Lookup(w.scenario.place(p))
		at := w.commits.stands[p]
		if at == end.Offset {
			continue
		}
		if demand {
			w.failLockedf("invariant 10: everything is finished, every member stopped, and of partition %d only %d of %d is committed", p, at, end.Offset)
		}
		return false
	}
	if w.scenario.commit.before {
		w.losses()
	}
	return true
}

// losses checks that no more is lost than a commit that comes first may lose.
func (w *world) losses() {
	lost, most := make(map[int32]int), make(map[int32]int)
	for _, r := range w.ledger.records {
		if !r.over() {
			lost[r.partition]++
		}
	}
	for _, t := range w.tenures {
		if t.excuse != "" || t.lost() || t.moved() {
			most[t.partition] += max(64, w.scenario.workers, w.scenario.batch)
		}
	}
	for p, n := range lost {
		if n > most[p] {
			w.failLockedf("invariant 1: %d records of partition %d are lost, and at most %d may be", n, p, most[p])
		}
	}
}
