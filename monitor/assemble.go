package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// snapshot makes of a round's answers what is served. What the round could not see is as it was before.
func (r *round) snapshot(before *Snapshot) *Snapshot {
	next := &Snapshot{Round: r.number, At: r.at, Complete: before.Complete, Cluster: r.cluster}
	if err := r.problems["metadata"]; err != nil { // the whole cluster is out of sight
		next.Cluster, next.Topics, next.Groups = before.Cluster, before.Topics, slices.Clone(before.Groups)
		for i := range next.Groups {
			next.Groups[i].Err = fmt.Errorf("no broker answers: %w", err)
		}
	} else {
		next.Topics = r.topics()
		next.Groups = r.judged(before)
	}
	for _, what := range slices.Sorted(maps.Keys(r.problems)) {
		next.Problems = append(next.Problems, Problem{what, r.problems[what]})
	}
	if len(next.Problems) == 0 {
		next.Complete = next.At
	}
	return next
}

// judged are the groups, in the order of their ID. What is gone is forgotten.
func (r *round) judged(before *Snapshot) []Group {
	all := make([]Group, 0, len(r.groups))
	for id, a := range r.groups {
		if !a.gone() && (!a.unlisted || a.err == nil || r.awaited(id)) {
			all = append(all, r.group(id, a, before))
		}
	}
	all = append(all, r.unlisted(before)...)
	slices.SortFunc(all, func(a, b Group) int { return strings.Compare(a.ID, b.ID) })
	there := make(map[string]bool, len(all))
	for i := range all {
		there[all[i].ID] = true
	}
	maps.DeleteFunc(r.book.groups, func(id string, _ map[place]*row) bool { return !there[id] })
	maps.DeleteFunc(r.book.unlisted, func(id string, _ time.Time) bool { return !there[id] })
	return all
}

// unlisted are the groups of before whose coordinator does not list its groups, or has gone, and that nobody else lists.
func (r *round) unlisted(before *Snapshot) (all []Group) {
	for _, g := range before.Groups {
		silent := r.silent[g.Coordinator]
		switch {
		case r.groups[g.ID] != nil:
			continue
		case silent != nil:
			g.Err = fmt.Errorf("its coordinator does not list its groups: %w", silent)
		case r.awaited(g.ID):
			g.Err = fmt.Errorf("its coordinator, broker %d, is gone, and no other broker lists the group", g.Coordinator)
			r.problem("groups", fmt.Errorf("group %s: %w", g.ID, g.Err))
		default:
			continue
		}
		all = append(all, g)
	}
	return all
}

func (r *round) topics() []Topic {
	all := make([]Topic, 0, len(r.book.topics))
	for _, t := range r.book.topics {
		if !t.missing.IsZero() {
			continue
		}
		topic := Topic{Name: t.name, ID: t.id, Internal: t.internal, Err: t.err, Partitions: make([]Log, 0, len(t.logs))}
		for _, l := range t.logs {
			l.open.see(r.at, l.stable, l.end)
			topic.Partitions = append(topic.Partitions, Log{
				Partition: l.partition, Leader: l.leader, Replicas: l.replicas, InSync: l.inSync,
				Start: l.start, Stable: min(l.stable, l.end), End: l.end, OpenSince: l.open.since, Err: l.err,
			})
		}
		slices.SortFunc(topic.Partitions, func(a, b Log) int { return cmp.Compare(a.Partition, b.Partition) })
		all = append(all, topic)
	}
	slices.SortFunc(all, func(a, b Topic) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// group makes the rows of a group, and judges it.
func (r *round) group(id string, a *groupAnswer, before *Snapshot) Group {
	g := Group{
		ID: id, Type: a.listed.GroupType, ProtocolType: a.listed.ProtocolType, State: a.listed.GroupState, Coordinator: a.coordinator,
		AsOf: r.at,
	}
	old, _ := before.Group(id)
	if a.err != nil {
		g.AsOf = time.Time{}
		if old != nil {
			g = *old
		}
		g.Err = fmt.Errorf("its commits are not known: %w", a.err)
		if a.unlisted {
			g.Err = fmt.Errorf("no broker lists the group, and %w", g.Err)
		}
		return g
	}
	team := newTeam(a)
	g.Described, g.Protocol, g.Members = a.description.known, a.description.protocol, team.members
	if a.description.known {
		g.State = a.description.state
	} else if a.description.err != nil {
		g.Err = fmt.Errorf("its members are not known: %w", a.description.err)
	}
	commits := a.commits
	for _, at := range team.without(commits) {
		commits = append(commits, commit{place: at, offset: -1, lag: -1})
	}
	g.Partitions = make([]Partition, 0, len(commits))
	for _, c := range commits {
		g.Partitions = append(g.Partitions, r.partition(id, c, team, old))
	}
	r.book.forgetRows(id, r.number)
	slices.SortFunc(g.Partitions, func(a, b Partition) int {
		return byPlace(place{a.Topic, a.Partition}, place{b.Topic, b.Partition})
	})
	for i := range g.Partitions {
		p := &g.Partitions[i]
		g.Status = g.Status.Worse(p.Status)
		g.Lag += max(p.Lag, 0)
		g.TimeLag = g.TimeLag.worse(p.TimeLag)
	}
	return g
}

// partition makes a row.
func (r *round) partition(group string, c commit, team *team, before *Group) Partition {
	p := Partition{
		Topic: c.topic, Partition: c.partition, Owner: team.owner(c.place), Commit: c.offset,
		Start: -1, Stable: -1, End: -1, Lag: -1, Readable: -1, Drain: -1, Err: c.err,
	}
	l := r.book.log(c.place)
	switch {
	case c.err != nil:
		p.Commit = -1
		return r.unseen(group, p, before)
	case l == nil:
		p.Err = r.book.missing(c.place)
		return r.unseen(group, p, before)
	}
	p.Start, p.Stable, p.End, p.Err = l.start, min(l.stable, l.end), l.end, l.err
	if l.end < 0 {
		return r.unseen(group, p, before)
	}
	w := r.book.row(group, l, c.offset >= 0, r.number, r.at)
	position := c.offset
	if c.offset < 0 {
		position = w.baseline
	} else {
		p.Lag = max(l.end-max(c.offset, l.start), 0)
		if c.lag >= 0 {
			p.Lag = c.lag
		}
		p.Readable = min(l.readable(c.offset), l.end)
		p.TimeLag = timeLagOf(&l.history, r.at, w.oldest(l, c.offset), l.start, p.Readable)
		p.Gone = max(l.start-c.offset, 0)
		w.losses.see(c.offset, l.start)
		p.Lost = w.losses.lost
		if c.offset > l.end {
			p.Err = fmt.Errorf("commit %d of group %s is %w of %s[%d], %d: the log went back, or the topic was made again",
				c.offset, group, ErrBeyondEnd, c.topic, c.partition, l.end)
		}
	}
	who := team.readers(c.place)
	w.window.see(r.at, position, max(l.readable(position)-max(position, l.start), 0), who, r.cfg.Rules)
	p.Status = r.cfg.Rules.judge(&w.window, who, p.TimeLag)
	if c.offset < 0 && p.Status == OK && l.end > l.start { // whether it has read what is there is nowhere written
		p.Status = Unknown
	}
	p.Watched, p.Stands = w.window.complete(r.cfg.Rules), w.window.stood()
	p.First, p.Last = w.window.slots[0].look(), w.window.slots[len(w.window.slots)-1].look()
	if d, ok := w.window.drain(); ok {
		p.Drain = d
	}
	return p
}

// unseen is a row that the round could not see: what was known of it stays known.
func (r *round) unseen(group string, p Partition, before *Group) Partition {
	at := place{p.Topic, p.Partition}
	w := r.book.known(group, at)
	if w == nil || before == nil {
		return p
	}
	w.kept = r.number
	i, ok := slices.BinarySearchFunc(before.Partitions, at, func(old Partition, at place) int {
		return byPlace(place{old.Topic, old.Partition}, at)
	})
	if ok {
		owner, err := p.Owner, p.Err
		p = before.Partitions[i]
		p.Owner, p.Err = owner, err
	}
	return p
}

func (s slot) look() Look {
	return Look{At: time.Unix(0, s.at), Commit: s.commit, Lag: s.lag}
}
