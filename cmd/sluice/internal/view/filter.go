package view

import (
	"regexp"

	"github.com/sluice-go/sluice/monitor"
)

// Filter says what is shown of a snapshot. The zero value is all of it, without partitions.
type Filter struct {
	Group, Topic *regexp.Regexp // found anywhere in a name; nil is any

	// Partitions shows each partition.
	Partitions bool

	// OneLook is for a snapshot of a monitor that has just begun, and ends: what only time tells is left out.
	OneLook bool
}

func (f Filter) group(id string) bool { return f.Group == nil || f.Group.MatchString(id) }

func (f Filter) topic(name string) bool { return f.Topic == nil || f.Topic.MatchString(name) }

// Known tells whether all that one look can find out about the groups is found out: how old what they have not read is.
func (f Filter) Known(s *monitor.Snapshot) bool {
	for i := range s.Groups {
		g := &s.Groups[i]
		if !f.group(g.ID) {
			continue
		}
		for k := range g.Partitions {
			p := &g.Partitions[k]
			if f.topic(p.Topic) && p.Lag >= 0 && !precise(p.TimeLag) {
				return false
			}
		}
	}
	return true
}
