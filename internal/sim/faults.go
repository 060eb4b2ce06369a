package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault is something that is done to a world.
type fault struct {
	at    time.Duration
	what  what
	slot  int
	lasts time.Duration
	key   kmsg.Key
	err   *kerr.Error
	count int // of answers, at most
}

type what string

const (
	crash        what = "crash"        // and another process after a while
	zombie       what = "zombie"       // the network stands still for a while
	drop         what = "drop"         // its connections end, and can be made again
	restart      what = "restart"      // stopped, and started again
	scaleOut     what = "scale out"    // a slot more
	scaleIn      what = "scale in"     // a slot less
	answer       what = "error"        // brokers answer with an error
	leaders      what = "leaders"      // other brokers lead
	coordinators what = "coordinators" // other brokers coordinate
	grow         what = "grow"         // a partition more
	truncate     what = "truncate"     // retention passes the commit
	stall        what = "stall"        // it gets no processor while it has polled records in its hand, and is thrown out of the group
)

func (f fault) String() string {
	if f.what == answer {
		return fmt.Sprintf("%v: %s to %d requests within %v", f.err.Message, f.key.Name(), f.count, f.lasts)
	}
	return fmt.Sprintf("%s (%d, %v)", f.what, f.slot, f.lasts)
}

// answers are the errors that brokers may give to each request that we use.
var answers = []struct {
	key  kmsg.Key
	errs []*kerr.Error
}{
	{kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.TopicAuthorizationFailed, kerr.UnknownLeaderEpoch}},
	{kmsg.OffsetCommit, []*kerr.Error{
		kerr.RequestTimedOut, kerr.UnknownServerError, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress,
		kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.TopicAuthorizationFailed,
	}},
	{kmsg.OffsetFetch, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError, kerr.GroupAuthorizationFailed}},
	{kmsg.JoinGroup, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.UnknownMemberID, kerr.UnknownServerError}},
	{kmsg.SyncGroup, []*kerr.Error{kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.NotCoordinator}},
	{kmsg.Heartbeat, []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.UnknownServerError}},
	{kmsg.ConsumerGroupHeartbeat, []*kerr.Error{
		kerr.UnknownMemberID, kerr.FencedMemberEpoch, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError,
	}},
	{kmsg.FindCoordinator, []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.UnknownServerError}},
	{kmsg.Metadata, []*kerr.Error{kerr.LeaderNotAvailable}},
	{kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError}},
	{kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.MessageTooLarge, kerr.TopicAuthorizationFailed}},
	{kmsg.InitProducerID, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable}},
}

// schedule decides what is done, and when.
func (s *scenario) schedule(d dice) {
	slots := s.slots
	kinds := map[theme][]what{
		themeCrash:   {crash, crash, zombie, zombie, restart, scaleOut, drop, stall, stall},
		themeScale:   {scaleOut, scaleIn, restart, restart, scaleOut},
		themeBrokers: {answer, answer, answer, answer, leaders, coordinators, drop, scaleOut, restart, stall},
		themeWork:    {restart, scaleOut, scaleIn, crash, answer},
		themeSteady:  {scaleOut, scaleIn, restart},
		themeMixed:   {crash, zombie, drop, restart, scaleOut, scaleIn, answer, answer, leaders, coordinators, stall},
	}[s.theme]
	for range 2 + d.IntN(6) {
		f := fault{at: d.between(2*time.Second, s.length), what: pick(d, kinds...), slot: d.IntN(slots)}
		switch f.what {
		case crash:
			f.lasts = d.between(time.Second, 15*time.Second)
		case zombie:
			f.lasts = d.between(time.Second, 3*s.session)
		case stall:
			f.lasts = d.between(4*time.Second, 8*time.Second) // longer than it takes to hear of it, and to join again
		case scaleOut:
			slots++
		case answer:
			a := pick(d, answers...)
			for s.protocol.without(a.key) {
				a = pick(d, answers...)
			}
			f.key, f.err = a.key, pick(d, a.errs...)
			f.lasts = d.between(time.Second, 8*time.Second)
			f.count = pick(d, 1, 2, 5, 30) // never without end: some are asked again at once, and that takes no virtual time
		case drop, restart, scaleIn, leaders, coordinators, grow, truncate:
		}
		s.faults = append(s.faults, f)
	}
	if s.grows > 0 {
		s.faults = append(s.faults, fault{at: s.grows, what: grow})
	}
	if s.truncate {
		for range 1 + d.IntN(3) {
			s.faults = append(s.faults, fault{at: d.between(2*time.Second, s.length), what: truncate, slot: d.IntN(int(s.partitions))})
		}
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// without tells whether the protocol has no use for a request.
func (p protocol) without(key kmsg.Key) bool {
	switch key { //nolint:exhaustive // the others have all
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat:
		return p == consumer
	case kmsg.ConsumerGroupHeartbeat:
		return p != consumer
	}
	return false
}

// calm is when the last fault is over.
func (s *scenario) calm() time.Duration {
	last := time.Duration(0)
	for _, f := range s.faults {
		last = max(last, f.at+f.lasts+time.Second)
	}
	return last
}

// do does a fault to the world.
func (w *world) do(f fault) {
	w.trace.notef("fault", "%v", f)
	var s *slot
	var p *process
	w.mu.Lock()
	if f.slot < len(w.slots) {
		s = w.slots[f.slot]
		if c := s.current; c != nil && !c.gone && c.stopped.IsZero() {
			p = c
		}
	}
	w.mu.Unlock()
	switch f.what {
	case scaleOut:
		s = &slot{name: fmt.Sprintf("slot %d", len(w.slots)), wanted: true}
		w.mu.Lock()
		w.slots = append(w.slots, s)
		w.mu.Unlock()
		w.start(s)
	case leaders:
		w.ShufflePartitionLeaders()
	case coordinators:
		w.troubled(string(coordinators), 5*time.Second)
		w.RehashCoordinators()
	case answer:
		w.answer(f)
	case grow:
		w.grow()
	case truncate:
		w.cutOff(int32(f.slot))
	case crash, zombie, drop, restart, scaleIn, stall:
		if p == nil {
			return // it is away already
		}
		w.doTo(p, f)
	}
	w.did[f.what]++
}

func (w *world) doTo(p *process, f fault) {
	switch f.what {
	case crash:
		p.crash()
		w.after(f.lasts, func() { w.start(p.slot) })
	case zombie:
		w.mu.Lock()
		already := time.Now().Before(p.thaws)
		if !already {
			p.frozen, p.thaws = true, time.Now().Add(f.lasts)
		}
		w.mu.Unlock()
		if already {
			return
		}
		p.pardon("zombie")
		p.link.Freeze()
		w.after(f.lasts, func() {
			w.trace.notef(p.name, "thaws")
			p.pardon("zombie")
			p.link.Thaw()
		})
	case drop:
		p.pardon("dropped connections")
		p.link.Drop()
	case stall:
		w.mu.Lock()
		p.stalled = time.Now().Add(f.lasts)
		w.mu.Unlock()
		p.pardon("thrown out")
		w.kick(p)
	case restart:
		p.stop()
	case scaleIn:
		w.mu.Lock()
		left := 0
		for _, s := range w.slots {
			if s.wanted {
				left++
			}
		}
		if left > 1 {
			p.slot.wanted = false
		}
		w.mu.Unlock()
		p.stop()
	case scaleOut, answer, leaders, coordinators, grow, truncate:
	}
}

// kick has the coordinator tell a member that it does not know it.
func (w *world) kick(p *process) {
	w.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat}, Group: group, Err: kerr.UnknownMemberID,
		When: func(req kmsg.Request) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			switch r := req.(type) {
			case *kmsg.HeartbeatRequest:
				if w.processOf(r.MemberID) != p {
					return false
				}
			case *kmsg.ConsumerGroupHeartbeatRequest:
				if w.processOf(r.MemberID) != p || r.MemberEpoch <= 0 {
					return false
				}
			}
			p.kicked = time.Now()
			for _, t := range p.tenures {
				t.pardon("thrown out")
			}
			return true
		},
	})
}

// grow adds a partition to the topic.
func (w *world) grow() {
	for range 100 { // brokers may answer with an error just now
		resp, err := w.Admin().CreatePartitions(context.Background(), 1, topic)
		if err = errors.Join(err, resp.Error()); err == nil {
			break
		}
		w.trace.notef("feeder", "no partition added yet: %v", err)
		w.sleep(200 * time.Millisecond)
	}
	w.Reconnect() // the feeder has to know of it
}

// cutOff has retention pass the group's commit: what was not handled by then may be lost, and that has to be told.
func (w *world) cutOff(partition int32) {
	w.mu.Lock()
	log := w.ledger.logs[partition]
	to := min(w.commits.at(partition)+3, int64(len(log)))
	for _, r := range log[:to] {
		if r != nil {
			w.ledger.cut(r)
		}
	}
	w.mu.Unlock()
	if err := w.DeleteRecords(topic, partition, to); err != nil {
		w.failf("setup: delete records: %v", err)
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

// troubled allows for a while that work is done again: the group is in trouble.
func (w *world) troubled(why string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until := time.Now().Add(d); until.After(w.troubleUntil) {
		w.trouble, w.troubleUntil = why, until
	}
	for _, p := range w.alive {
		for _, t := range p.tenures {
			t.pardon(why)
		}
	}
}

// answer has brokers answer with an error.
func (w *world) answer(f fault) {
	in := kfake.Fault{Keys: []kmsg.Key{f.key}, Err: f.err, Count: f.count}
	switch f.key { //nolint:exhaustive // the others are nobody's
	case kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.FindCoordinator,
		kmsg.ConsumerGroupHeartbeat:
		in.Group = group
		w.troubled(f.key.Name(), f.lasts+10*time.Second)
	case kmsg.Fetch, kmsg.ListOffsets:
		in.Topic = topic
	case kmsg.Produce:
		in.Topic = deadLetters
	}
	w.burying.Remove()
	h := w.Fault(in)
	w.burying = w.Fault(w.burials()) // behind it: it must not see what the fault refuses
	w.after(f.lasts, h.Remove)
}
