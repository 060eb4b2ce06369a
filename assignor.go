package sluice

import "github.com/twmb/franz-go/pkg/kgo"

// Assignor is a way to share a group's partitions out among its members, by Kafka's names.
type Assignor string

// The assignors.
const (
	CooperativeSticky Assignor = "cooperative-sticky" // moves as few partitions as it can; the others go on meanwhile
	Sticky            Assignor = "sticky"
	Range             Assignor = "range"
	RoundRobin        Assignor = "roundrobin"
)

var allAssignors = []Assignor{CooperativeSticky, Sticky, Range, RoundRobin}

// balancers are kgo's.
func balancers(assignors []Assignor) []kgo.GroupBalancer {
	var all []kgo.GroupBalancer
	for _, a := range assignors {
		switch a {
		case CooperativeSticky:
			all = append(all, kgo.CooperativeStickyBalancer())
		case Sticky:
			all = append(all, kgo.StickyBalancer())
		case Range:
			all = append(all, kgo.RangeBalancer())
		case RoundRobin:
			all = append(all, kgo.RoundRobinBalancer())
		}
	}
	return all
}
