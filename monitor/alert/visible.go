package alert

import (
	"slices"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// dark tells whether a round saw nothing of what a finding or an alert is about: the snapshot has it as it was before.
func dark(s *monitor.Snapshot, group, topic string) bool {
	if group == "" && topic == "" {
		return false
	}
	if trouble(s, "metadata") {
		return true
	}
	if g, ok := s.Group(group); group != "" {
		return ok && g.Err != nil && !g.AsOf.Equal(s.At)
	}
	t, ok := s.Topic(topic)
	return ok && t.Err != nil
}

func trouble(s *monitor.Snapshot, what string) bool {
	return slices.ContainsFunc(s.Problems, func(p monitor.Problem) bool { return p.What == what })
}

// visible tells whether a snapshot can say that something is over: whether it saw all of the group and the topic that an alert is about.
// What is not there any more was seen to be gone.
func visible(s *monitor.Snapshot, group, topic string) bool {
	if dark(s, group, topic) {
		return false
	}
	if group == "" {
		return topicVisible(s, topic)
	}
	g, ok := s.Group(group)
	if !ok {
		return true
	}
	if g.Err != nil { // its members are not known
		return false
	}
	for i := range g.Partitions {
		if p := &g.Partitions[i]; (topic == "" || p.Topic == topic) && p.Unseen() {
			return false
		}
	}
	return true
}

// overlooked tells whether a group that a snapshot does not have may be there all the same: who coordinates it may just not say so.
func overlooked(s *monitor.Snapshot, group string) bool {
	if _, ok := s.Group(group); ok || group == "" {
		return false
	}
	return trouble(s, "groups") || !topicVisible(s, "__consumer_offsets")
}

func topicVisible(s *monitor.Snapshot, topic string) bool {
	t, ok := s.Topic(topic)
	if !ok || t.Err != nil {
		return !ok
	}
	for i := range t.Partitions {
		if t.Partitions[i].Err != nil {
			return false
		}
	}
	return true
}

// forgotten tells whether a monitor that began at a time may just not know yet that what an alert says is so: it judges by a window of
// time, and who has stood still ever since it looks first may have done so for long.
func forgotten(s *monitor.Snapshot, group, topic string, began time.Time) bool {
	g, ok := s.Group(group)
	if !ok {
		return false
	}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if (topic == "" || p.Topic == topic) && p.Readable > p.Commit && (p.Watched < 1 || p.Stands >= s.At.Sub(began)) {
			return true
		}
	}
	return false
}
