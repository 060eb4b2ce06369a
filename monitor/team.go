package monitor

// team is who reads what of a group's partitions.
type team struct {
	members    []Member
	owners     map[place]int   // by their index in members
	wanted     map[string]bool // topics
	anything   bool            // some member may want any topic: a pattern, or what we do not understand
	understood bool            // all members are
	known      bool
	empty      bool // as far as the list of groups knows
	sharing    bool // they are just sharing out the partitions
}

func newTeam(a *groupAnswer) *team {
	d := &a.description
	state := a.listed.GroupState
	if d.known {
		state = d.state
	}
	t := &team{understood: true, known: d.known, empty: state == "Empty" || state == "Dead"}
	if len(d.members) > 0 {
		t.members, t.owners, t.wanted = make([]Member, 0, len(d.members)), map[place]int{}, map[string]bool{}
	}
	switch state {
	case "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling":
		t.sharing = true
	}
	for i := range d.members {
		m := &d.members[i]
		t.members = append(t.members, m.Member)
		t.understood = t.understood && m.understood
		t.anything = t.anything || m.pattern
		for _, topic := range m.topics {
			t.wanted[topic] = true
		}
		for _, at := range m.has {
			t.owners[at] = i
		}
	}
	return t
}

// owner is the index of the member that has a partition; -1 none, or not known.
func (t *team) owner(at place) int {
	if i, ok := t.owners[at]; ok {
		return i
	}
	return -1
}

// without are the partitions that a member has, and that the group has no commit of.
func (t *team) without(commits []commit) (all []place) {
	if len(t.owners) == 0 {
		return nil
	}
	committed := make(map[place]bool, len(commits))
	for _, c := range commits {
		committed[c.place] = true
	}
	for at := range t.owners {
		if !committed[at] {
			all = append(all, at)
		}
	}
	return all
}

// readers says who reads a partition.
func (t *team) readers(at place) readers {
	switch {
	case t.empty || t.known && len(t.members) == 0:
		return noMembers
	case !t.known:
		return unknownReaders
	case t.sharing || t.owner(at) >= 0:
		return aReader
	case !t.understood:
		return unknownReaders
	case t.anything || t.wanted[at.topic]:
		return noReader
	default:
		return givenUp
	}
}
