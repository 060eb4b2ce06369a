package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

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
	case lose:
		w.lose(f.key)
	case grow:
		w.grow()
	case truncate:
		w.cutOff(int32(f.slot))
	case move:
		if !w.seek(int32(f.slot), f.by) {
			return
		}
	case crash, zombie, usurp, drop, restart, scaleIn, stall, pause:
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
		w.freeze(p, f.lasts)
	case usurp:
		w.usurp(p, f.lasts)
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
	case pause:
		p.pause(f.partition, f.lasts)
	case scaleOut, answer, leaders, coordinators, grow, truncate, move, lose:
	}
}

// freeze has the network of a process stand still for a while; false when it does already.
func (w *world) freeze(p *process, lasts time.Duration) bool {
	w.mu.Lock()
	already := time.Now().Before(p.thaws)
	if !already {
		p.frozen, p.thaws = true, time.Now().Add(lasts)
	}
	w.mu.Unlock()
	if already {
		return false
	}
	p.pardon("zombie")
	p.link.Freeze()
	w.after(lasts, func() {
		w.trace.notef(p.name, "thaws")
		p.pardon("zombie")
		p.link.Thaw()
	})
	return true
}

// lose ends every connection of the members when one of them sends a request of a kind: it is done, and its answer finds nobody.
func (w *world) lose(key kmsg.Key) {
	w.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Observe: true, When: func(req kmsg.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.trace.notef("fault", "%s is not answered", kmsg.NameForKey(req.Key()))
		for _, p := range w.alive {
			for _, t := range p.held {
				t.pardon("dropped connections")
			}
			p.link.Drop()
		}
		return true
	}})
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
	topics := []string{""} // whatever it is about
	in := kfake.Fault{Keys: []kmsg.Key{f.key}, Err: f.err, Count: f.count}
	switch f.key { //nolint:exhaustive // the others are nobody's
	case kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.FindCoordinator,
		kmsg.ConsumerGroupHeartbeat:
		in.Group = group
		w.troubled(f.key.Name(), f.lasts+10*time.Second)
	case kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.TxnOffsetCommit, kmsg.EndTxn:
		w.troubled(f.key.Name(), f.lasts+10*time.Second)
	case kmsg.InitProducerID:
		if w.scenario.transacts() { // what cannot be tried again is for members, who work in transactions, not for the feeder
			in.When = func(req kmsg.Request) bool { return req.(*kmsg.InitProducerIDRequest).TransactionalID != nil }
		}
	case kmsg.Fetch, kmsg.ListOffsets:
		topics = w.scenario.topics
	case kmsg.Produce:
		topics = w.scenario.written()
	}
	all := make([]kfake.Fault, len(topics))
	for i, name := range topics {
		all[i], all[i].Topic = in, name
	}
	w.burying.Remove()
	h := w.Fault(all...)
	w.burying = w.Fault(w.burials()...) // behind it: it must not see what the fault refuses
	w.after(f.lasts, h.Remove)
}
