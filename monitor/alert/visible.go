package alert

import (
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// visible tells whether a snapshot can say that something is over: whether it saw the group and the topic that an alert is about. What is
// not there any more was seen to be gone.
func visible(s *monitor.Snapshot, group, topic string) bool {
	if group == "" && topic == "" {
		return true
	}
	for _, p := range s.Problems {
		if p.What == "metadata" {
			return false
		}
	}
	if group == "" {
		return topicVisible(s, topic)
	}
	g, ok := s.Group(group)
	if !ok {
		return true
	}
	if !g.AsOf.Equal(s.At) {
		return false
	}
	for i := range g.Partitions {
		if p := &g.Partitions[i]; (topic == "" || p.Topic == topic) && p.Err != nil && !beyond(p) {
			return false
		}
	}
	return true
}

func topicVisible(s *monitor.Snapshot, topic string) bool {
	t, ok := s.Topic(topic)
	if !ok {
		return true
	}
	if t.Err != nil {
		return false
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
