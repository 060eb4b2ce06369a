package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// snapshot makes of a round's answers what is served. What the round could not see is as it was before.
func (r *round) snapshot(before *Snapshot) *Snapshot {
	next := &Snapshot{Round: r.number, At: r.at, Complete: before.Complete, Cluster: r.cluster}
	for _, what := range slices.Sorted(maps.Keys(r.problems)) {
		next.Problems = append(next.Problems, Problem{what, r.problems[what]})
	}
	if err := r.problems["metadata"]; err != nil { // the whole cluster is out of sight
		next.Cluster, next.Topics, next.Groups = before.Cluster, before.Topics, slices.Clone(before.Groups)
		for i := range next.Groups {
			next.Groups[i].Err = fmt.Errorf("no broker answers: %w", err)
		}
		return next
	}
	if len(next.Problems) == 0 {
		next.Complete = next.At
	}
	next.Topics = r.topics()
	next.Groups = make([]Group, 0, len(r.groups))
	for id, a := range r.groups {
		if errors.Is(a.err, kerr.GroupIDNotFound) || errors.Is(a.description.err, kerr.GroupIDNotFound) && len(a.commits) == 0 {
			continue // it went while we looked
		}
		next.Groups = append(next.Groups, r.group(id, a, before))
	}
	next.Groups = append(next.Groups, r.unlisted(before)...)
	slices.SortFunc(next.Groups, func(a, b Group) int { return strings.Compare(a.ID, b.ID) })
	for id := range r.book.groups {
		if _, there := next.Group(id); !there {
			delete(r.book.groups, id)
		}
	}
	return next
}

// unlisted are the groups of before that nobody lists, because their coordinator does not answer, or has gone and nobody has taken over
// from it yet: within a window, somebody does.
func (r *round) unlisted(before *Snapshot) (all []Group) {
	up := map[int32]bool{}
	for _, b := range r.cluster.Brokers {
		up[b.ID] = true
	}
	for _, g := range before.Groups {
		switch {
		case r.groups[g.ID] != nil:
			continue
		case r.silent[g.Coordinator] != nil:
			g.Err = fmt.Errorf("its coordinator does not list its groups: %w", r.silent[g.Coordinator])
		case !up[g.Coordinator] && r.at.Sub(g.AsOf) <= r.cfg.Rules.Window:
			g.Err = fmt.Errorf("its coordinator, broker %d, is gone, and no other broker lists the group", g.Coordinator)
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
	if a.err != nil {
		if old, ok := before.Group(id); ok {
			g = *old
		}
		g.Err = fmt.Errorf("its commits are not known: %w", a.err)
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
		g.Partitions = append(g.Partitions, r.partition(id, c, team))
	}
	r.book.forgetRows(id, r.number)
	slices.SortFunc(g.Partitions, func(a, b Partition) int {
		return byPlace(place{a.Topic, a.Partition}, place{b.Topic, b.Partition})
	})
	for i := range g.Partitions {
		p := &g.Partitions[i]
		g.Status = worse(g.Status, p.Status)
		g.Lag += max(p.Lag, 0)
		if p.TimeLag.Known && (!g.TimeLag.Known || p.TimeLag.Behind > g.TimeLag.Behind) {
			g.TimeLag = p.TimeLag
		}
	}
	return g
}

// partition makes a row.
func (r *round) partition(group string, c commit, team *team) Partition {
	p := Partition{
		Topic: c.topic, Partition: c.partition, Owner: team.owner(c.place), Commit: c.offset,
		Start: -1, Stable: -1, End: -1, Lag: -1, Readable: -1, Drain: -1, Err: c.err,
	}
	l := r.book.log(c.place)
	switch {
	case c.err != nil:
		p.Commit = -1
		return p
	case l == nil:
		p.Err = r.book.missing(c.place)
		return p
	}
	p.Start, p.Stable, p.End, p.Err = l.start, min(l.stable, l.end), l.end, l.err
	if l.end < 0 { // what was known of it stays known
		if old := r.book.groups[group][c.place]; old != nil {
			old.round = r.number
		}
		return p
	}
	w := r.book.row(group, l, c.offset >= 0, r.number)
	position := c.offset
	if c.offset < 0 {
		position = w.baseline
	} else {
		p.Lag = max(l.end-max(c.offset, l.start), 0)
		if c.lag >= 0 {
			p.Lag = c.lag
		}
		p.Readable = min(l.readable(c.offset), l.end)
		p.TimeLag = timeLagOf(&l.history, r.at, c.offset, l.start, p.Readable)
		p.Gone = max(l.start-c.offset, 0)
		w.losses.see(c.offset, l.start)
		p.Lost = w.losses.lost
		if c.offset > l.end {
			p.Err = fmt.Errorf("commit %d of group %s is beyond the end of %s[%d], %d: the log went back, or the topic was made again",
				c.offset, group, c.topic, c.partition, l.end)
		}
	}
	who := team.readers(c.place)
	w.window.see(r.at, position, max(l.readable(position)-max(position, l.start), 0), who, r.cfg.Rules)
	p.Status = r.cfg.Rules.judge(&w.window, who, p.TimeLag)
	p.Watched, p.Stands = w.window.complete(r.cfg.Rules), w.window.stood()
	p.First, p.Last = w.window.slots[0].look(), w.window.slots[len(w.window.slots)-1].look()
	if d, ok := w.window.drain(); ok {
		p.Drain = d
	}
	return p
}

func (s slot) look() Look {
	return Look{At: time.Unix(0, s.at), Commit: s.commit, Lag: s.lag}
}
