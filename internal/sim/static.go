package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// statics decides whether members are static: the group knows each by the name of its slot, and keeps its partitions for whoever comes next
// under that name. With KIP-848 the brokers here keep a static member that left for ever, and now and then leave partitions to nobody when one
// comes back: so those are of classic groups. It has dice of its own, as more has.
func (s *scenario) statics(d dice) {
	if s.transacts() || s.protocol == consumer || !d.chance(35) {
		return
	}
	s.static = true
	if d.chance(50) { // a rolling restart
		at := d.between(2*time.Second, s.length)
		for i := range s.slots {
			s.faults = append(s.faults, fault{at: at + time.Duration(i)*2*time.Second, what: restart, slot: i})
		}
	}
	if s.theme != themeSteady {
		for range d.IntN(3) {
			s.faults = append(s.faults, fault{
				at: d.between(2*time.Second, s.length), what: usurp, slot: d.IntN(s.slots), lasts: d.between(2*time.Second, 2*s.session),
			})
		}
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// instance is the id of a static member that runs in a slot; "" where members are not static.
func (w *world) instance(s *slot) string {
	if !w.scenario.static {
		return ""
	}
	return strings.ReplaceAll(s.name, " ", ".")
}

// usurp has the network of a process stand still for a while. Meanwhile its successor comes, under the same id; whoever supervises them ends
// the first one some time after it is back.
func (w *world) usurp(p *process, lasts time.Duration) {
	if !w.freeze(p, lasts) {
		return
	}
	w.after(lasts/4, func() {
		w.mu.Lock()
		if p.slot.current == p {
			p.slot.current = nil
		}
		w.mu.Unlock()
		w.start(p.slot)
	})
	w.after(lasts+usurped, p.stop)
}

// usurped is how long a process goes on that thaws when another has its id.
const usurped = 4 * time.Second

// fence has the coordinator refuse that a process leaves whose id another one has by now. The brokers here would take it for that one.
func (w *world) fence() {
	w.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.LeaveGroup}, Group: group, Err: kerr.FencedInstanceID, Count: -1, When: func(req kmsg.Request) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(req.(*kmsg.LeaveGroupRequest).Members, func(m kmsg.LeaveGroupRequestMember) bool {
			return m.InstanceID != nil && w.instances[*m.InstanceID] != m.MemberID
		})
	}})
}

// leaves takes in that a static member leaves for good. One that gave partitions up in a cooperative rebalance, and stops before it has
// joined again, has to: the group would keep those for it.
func (w *world) leaves(member string) {
	if p := w.processOf(member); p != nil && w.scenario.protocol == cooperative {
		p.leaves = true
	}
}

// comes takes in that somebody joins as a new member, under a static member's id unless that is nil: whoever had it is out. It may be a
// process that was frozen before it had joined, whose successor is a member by now.
func (w *world) comes(instance *string) {
	if instance == nil {
		return
	}
	for _, p := range w.alive {
		if w.instance(p.slot) != *instance {
			continue
		}
		for _, t := range p.held {
			t.pardon(string(usurp))
		}
	}
	w.lookSoon() // the id that it is given does not tell of its process
}
