package sim

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits is what the oracle knows of the group's commits. It is guarded by world.mu.
type commits struct {
	covered []int64 // by partition: the highest offset that was committed with every right to
	stands  []int64 // as the coordinator had it when it was asked last
	back    []int64 // a seek may take it back to here; else math.MaxInt64
	backed  []bool  // that seek is over
	last    kmsg.Request
	seen    int

	generation int32 // of the group, or a later one; of the classic protocol
}

func newCommits(partitions int32) *commits {
	c := &commits{
		covered: make([]int64, partitions), stands: make([]int64, partitions), back: make([]int64, partitions), backed: make([]bool, partitions),
	}
	for p := range c.back {
		c.back[p] = math.MaxInt64
	}
	return c
}

// at is where the group's commit is, or further on.
func (c *commits) at(partition int32) int64 { return min(c.stands[partition], c.back[partition]) }

// watch has every commit shown to the oracle, before the coordinator looks at it.
func (w *world) watch() {
	w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: group, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.commits.last != req { // it is shown once a partition
			w.commits.last = req
			w.commit(req.(*kmsg.OffsetCommitRequest))
		}
		return false
	}})
	for _, name := range w.scenario.written() {
		w.names[w.TopicInfo(name).TopicID] = name
	}
	w.burying = w.Fault(w.burials()...)
	w.Fault(kfake.Fault{Observe: true, Count: -1, Keys: []kmsg.Key{
		kmsg.JoinGroup, kmsg.SyncGroup, kmsg.LeaveGroup, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat,
	}, Group: group, When: func(req kmsg.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.membership(req)
		return false
	}})
}

// membership takes in what a member says to the coordinator. Kafka keeps a member that waits for the others to join; the brokers
// here do not, and do not tell it either: so what it did is pardoned when it waited for longer than a session.
func (w *world) membership(req kmsg.Request) {
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		w.trace.notef("group", "JoinGroup of %q", r.MemberID)
		if r.MemberID == "" {
			w.comes(r.InstanceID)
		}
		if p := w.processOf(r.MemberID); p != nil {
			p.waited()
			p.joins, p.member = time.Now(), r.MemberID
		}
	case *kmsg.SyncGroupRequest:
		w.commits.generation = max(w.commits.generation, r.Generation)
		w.trace.notef("group", "SyncGroup of %q, generation %d, %d assignments", r.MemberID, r.Generation, len(r.GroupAssignment))
		if p := w.processOf(r.MemberID); p != nil {
			p.waited()
			p.joins = time.Time{}
		}
	case *kmsg.HeartbeatRequest:
	case *kmsg.ConsumerGroupHeartbeatRequest:
		if r.MemberEpoch <= 0 {
			w.trace.notef("group", "heartbeat of %q with epoch %d", r.MemberID, r.MemberEpoch)
		}
		if w.processOf(r.MemberID) == nil {
			w.lookSoon()
		}
	case *kmsg.LeaveGroupRequest:
		w.trace.notef("group", "LeaveGroup")
		for _, m := range r.Members {
			if m.InstanceID != nil {
				w.leaves(m.MemberID)
			}
		}
	}
}

// heartbeats is how long before it joins a member may have sent its last heartbeat: the client's own interval.
const heartbeats = 3 * time.Second

// waited pardons a process that waits for the others to join.
func (p *process) waited() {
	if p.joins.IsZero() || time.Since(p.joins) < p.w.scenario.session-heartbeats {
		return
	}
	for _, t := range p.held {
		t.pardon("joining")
	}
}

// processOf finds the process of a member's id; nil when there is none.
func (w *world) processOf(member string) *process {
	if name, ok := w.clients[member]; ok {
		return w.alive[name]
	}
	name, _, _ := strings.Cut(member, "-")
	return w.alive[name]
}

// expel removes a process that is no more from the group, a session after its end. The brokers here may forget to.
func (w *world) expel(p *process) {
	if w.scenario.protocol == consumer {
		return
	}
	w.after(w.scenario.session, func() {
		info := w.GroupInfo(group)
		if info == nil {
			return
		}
		for _, m := range info.Members {
			if m.ClientID != p.name {
				continue
			}
			w.trace.notef("group", "%s is expelled at last", p.name)
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Group = group
			member := kmsg.NewLeaveGroupRequestMember()
			member.MemberID = m.MemberID
			req.Members = append(req.Members, member)
			if _, err := req.RequestWith(context.Background(), w.Client()); err != nil {
				w.trace.notef("group", "%s cannot be expelled: %v", p.name, err)
			}
		}
	})
}

// burials shows dead letters, and copies for retry topics, to the oracle. Those that a fault refuses come no further than the fault, if
// that is older.
func (w *world) burials() []kfake.Fault {
	var all []kfake.Fault
	for _, name := range w.scenario.written() {
		var last kmsg.Request // it is shown once a partition
		all = append(all, kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: name, Observe: true, Count: -1, When: func(req kmsg.Request) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			if last != req {
				last = req
				w.bury(req.(*kmsg.ProduceRequest), name)
			}
			return false
		}})
	}
	return all
}

// commit checks a commit that reached the coordinator.
func (w *world) commit(req *kmsg.OffsetCommitRequest) {
	w.commits.seen++
	p := w.processOf(req.MemberID)
	for _, t := range req.Topics {
		for _, c := range t.Partitions {
			log := w.scenario.log(t.Topic, c.Partition)
			if w.scenario.transacts() { // of one in which nothing was written
				w.commitInTransaction(req.MemberID, req.Generation, log, c.Offset)
			} else {
				w.commitOf(p, log, c.Offset)
			}
			if t := p.latest(log); t != nil { // which may have ended at this very moment
				t.sent = time.Now()
			}
			if p != nil && p.asked[log] != c.Offset {
				p.asked[log], p.askedAt[log] = c.Offset, time.Now()
			}
		}
	}
	w.lookSoon()
}

// lookSoon has the oracle look at the group.
func (w *world) lookSoon() {
	select {
	case w.look <- struct{}{}:
	default:
	}
}

func (w *world) commitOf(p *process, partition int32, offset int64) {
	covered := w.commits.covered[partition]
	if p != nil && !p.frozen {
		asked, again := p.asked[partition] // the client repeats a commit that a coordinator could not take
		if t := p.tenures[partition]; t == nil && p.endedBefore(partition, time.Now()) && (!again || asked != offset) {
			w.failLockedf("invariant 3: %s commits %d of partition %d, which it has let go of", p.name, offset, partition)
		}
	}
	if p.missedSeek(partition) {
		return
	}
	if s := p.seekTo(partition, offset); s != nil {
		s.sent, covered = true, s.to
		w.commits.back[partition], w.commits.backed[partition] = s.to, false
		w.ledger.pass(partition, s.to)
	}
	if r := w.ledger.unfinished(p, partition, covered, offset, w.scenario.drops()); r != nil && !w.scenario.commit.before {
		who := "somebody"
		if p != nil {
			who = p.name
		}
		w.failLockedf("invariant 1: %s commits %d, and did not finish %v (committed before: %d)", who, offset, r, covered)
	}
	if o := w.ledger.unseen(partition, covered, offset); o >= 0 && partition >= w.scenario.most() {
		w.failLockedf("invariant 1: %d of partition %d is committed, and nobody was given the copy at %d", offset, partition, o)
	}
	w.commits.covered[partition] = max(covered, offset)
}

// missedSeek tells whether the partition was moved by its next owner while the process was frozen. What it commits without knowing of
// that lay in its link: the coordinator is about to refuse it, so it counts for nothing. Were it not refused, compare would see it.
func (p *process) missedSeek(partition int32) bool {
	t := p.latest(partition)
	return t != nil && p.frozen && slices.ContainsFunc(p.w.tenures, func(o *tenure) bool {
		return o.process != p && o.partition == partition && o.seek != nil && o.began.After(t.began)
	})
}

// latest is the tenure of a partition that the process has, or had last.
func (p *process) latest(partition int32) *tenure {
	if p == nil {
		return nil
	}
	for _, t := range slices.Backward(p.held) {
		if t.partition == partition {
			return t
		}
	}
	return nil
}

// endedBefore tells whether the process has had a partition, and has let go of it before now.
func (p *process) endedBefore(partition int32, now time.Time) bool {
	t := p.latest(partition)
	return t != nil && t.ended.Before(now)
}

// compare looks at what the coordinator has after each commit: no commit goes back.
func (w *world) compare() {
	w.mu.Lock()
	backed := slices.Clone(w.commits.backed)
	w.mu.Unlock()
	info := w.GroupInfo(group)
	if info == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range info.Members {
		w.clients[m.MemberID] = m.ClientID
		if m.InstanceID != nil {
			w.instances[*m.InstanceID] = m.MemberID
		}
	}
	for name, commits := range info.Commits {
		for n, c := range commits {
			p := w.scenario.log(name, n)
			back := w.commits.back[p]
			if at := w.commits.stands[p]; c.Offset < min(at, back) && !w.scenario.commit.before && !w.scenario.truncate {
				w.failLockedf("invariant 3: the commit of partition %d goes back from %d to %d", p, at, c.Offset)
			}
			if c.Offset < w.commits.stands[p] || backed[p] && w.commits.backed[p] {
				w.commits.back[p], w.commits.backed[p] = math.MaxInt64, false
			}
			w.commits.stands[p] = c.Offset
		}
	}
}

// mayGiveUp checks that a record is to blame that is given up: not an outage, and not another record.
func (w *world) mayGiveUp(r *record, how string) {
	if r.poisonous() {
		return
	}
	// When an outage ends, the first record to succeed shows another one to be bad that failed in it: see Retry.Breaker.
	if len(r.given) == 0 || r.faults == 0 && !w.outlived(r.blamed) {
		w.failLockedf("invariant 2: %v is %s after %d calls, and of its failures %d were its own", r, how, r.calls, r.faults)
	}
}

// outlived tells whether an outage is over that had begun by then.
func (w *world) outlived(began time.Time) bool {
	from, now := began.Sub(w.trace.began), time.Since(w.trace.began)
	return slices.ContainsFunc(w.scenario.outages, func(o window) bool { return from >= o.from && now >= o.to })
}

// bury notes the dead letters of a produce request, or the copies for a retry topic.
func (w *world) bury(req *kmsg.ProduceRequest, name string) {
	if w.scenario.transacts() {
		return // audited when it is committed
	}
	for _, t := range req.Topics {
		if cmp.Or(t.Topic, w.names[t.TopicID]) != name {
			continue
		}
		for _, p := range t.Partitions {
			for _, found := range markForm.FindAllSubmatch(p.Records, -1) {
				if r := w.recordOf(string(found[1])); name != deadLetters {
					w.passOn(r, string(found[2]), name)
				} else {
					w.deadLetter(r)
				}
			}
		}
	}
}

// deadLetter notes the dead letter of a record: one that may succeed has been to all retry topics.
func (w *world) deadLetter(r *record) {
	if !r.poisonous() && r.level < len(w.scenario.retries) {
		w.failLockedf("invariant 2: %v is dead-lettered, and was not in all retry topics", r)
	}
	w.mayGiveUp(r, "dead-lettered")
	w.ledger.buried(r)
}
