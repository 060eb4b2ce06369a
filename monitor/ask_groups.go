package monitor

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const groupsARequest = 500

var errLeftOut = errors.New("the broker leaves the group out of its answer: before Kafka 3.0, none tells of many at once")

// groupAnswer is what a round was told of a group.
type groupAnswer struct {
	listed      kmsg.ListGroupsResponseGroup
	coordinator int32
	unlisted    bool // it was there before, nobody lists it, and its last coordinator is asked by name
	commits     []commit
	err         error // why there are no commits
	description description
}

// commit is a group's commit of a partition.
type commit struct {
	place

	offset int64
	lag    int64 // of a share group, as the broker counts it; -1 not told
	err    error
}

// askGroups asks every broker for the groups that it coordinates.
func (r *round) askGroups() (all []question) {
	for _, b := range r.cluster.Brokers {
		all = append(all, ask(b.ID, kmsg.NewPtrListGroupsRequest(), func(resp *kmsg.ListGroupsResponse, a reply) {
			err := a.err
			if err == nil {
				err = fromBroker(b.ID, kerr.ErrorForCode(resp.ErrorCode))
			}
			if err != nil {
				r.silent[b.ID] = err
				r.problem("groups", err)
				return
			}
			for _, g := range resp.Groups {
				g.GroupType = cmp.Or(strings.ToLower(g.GroupType), "classic") // it was not told before Kafka 3.8
				r.groups[g.Group] = &groupAnswer{listed: g, coordinator: b.ID, err: errLeftOut}
			}
		}))
	}
	return all
}

// recall has the groups that nobody lists any more asked for by name, of the broker that listed them last: it says whether they were
// deleted, or another broker coordinates them now.
func (r *round) recall(before *Snapshot) {
	for i := range before.Groups {
		g := &before.Groups[i]
		if r.groups[g.ID] != nil {
			delete(r.book.unlisted, g.ID)
			continue
		}
		if r.book.unlisted[g.ID].IsZero() {
			r.book.unlisted[g.ID] = r.at
		}
		if r.up(g.Coordinator) && r.silent[g.Coordinator] == nil {
			listed := kmsg.ListGroupsResponseGroup{Group: g.ID, ProtocolType: g.ProtocolType, GroupState: g.State, GroupType: g.Type}
			r.groups[g.ID] = &groupAnswer{listed: listed, coordinator: g.Coordinator, unlisted: true, err: errLeftOut}
		}
	}
}

// up says whether the metadata names a broker.
func (r *round) up(broker int32) bool {
	return slices.ContainsFunc(r.cluster.Brokers, func(b Broker) bool { return b.ID == broker })
}

// gone says whether a group was deleted, as far as its coordinator knows: it may have gone while we looked.
func (a *groupAnswer) gone() bool {
	if errors.Is(a.err, kerr.GroupIDNotFound) {
		return true
	}
	if len(a.commits) > 0 || a.err != nil && !errors.Is(a.description.err, kerr.GroupIDNotFound) {
		return false
	}
	// Before Kafka 4.0 a group that is not there is described as dead. Some types cannot be described.
	return errors.Is(a.description.err, kerr.GroupIDNotFound) ||
		a.unlisted && (a.description.state == "Dead" || a.description.err == nil && !a.description.known)
}

// awaited says whether a group that nobody lists may still turn up: a broker that lists nothing may have it, and one that takes a
// group over lists it only when it has loaded it.
func (r *round) awaited(group string) bool {
	return len(r.silent) > 0 || r.at.Sub(r.book.unlisted[group]) <= r.cfg.Rules.Window
}

// groupsBy are the groups that have a type of which ok holds, in portions.
func (r *round) groupsBy(ok func(kind string) bool) []portion[string] {
	ids := slices.Sorted(maps.Keys(r.groups))
	ids = slices.DeleteFunc(ids, func(id string) bool { return !ok(r.groups[id].listed.GroupType) })
	return portions(ids, groupsARequest, func(id string) int32 { return r.groups[id].coordinator })
}

// askCommits asks for the commits of all groups.
func (r *round) askCommits() (all []question) {
	for _, p := range r.groupsBy(func(kind string) bool { return kind != "share" }) {
		all = append(all, r.fetchOffsets(p))
	}
	for _, p := range r.groupsBy(func(kind string) bool { return kind == "share" }) {
		all = append(all, r.shareOffsets(p))
	}
	return all
}

func (r *round) fetchOffsets(p portion[string]) question {
	req := kmsg.NewPtrOffsetFetchRequest()
	for _, id := range p.of {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		req.Groups = append(req.Groups, g)
	}
	return ask(p.broker, req, func(resp *kmsg.OffsetFetchResponse, a reply) {
		if a.err != nil {
			if !halve(r, p, r.fetchOffsets) {
				r.noCommits(p.of, a.err)
			}
			return
		}
		for _, g := range resp.Groups {
			var commits []commit
			for _, t := range g.Topics {
				name := cmp.Or(t.Topic, r.book.names[t.TopicID])
				if name == "" {
					continue // it is gone, and its ID says nothing to anybody
				}
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); p.Offset >= 0 || err != nil {
						commits = append(commits, commit{r.book.place(name, p.Partition), p.Offset, -1, err})
					}
				}
			}
			r.committed(p.broker, g.Group, g.ErrorCode, commits)
		}
		r.leftOut(p)
	})
}

func (r *round) shareOffsets(p portion[string]) question {
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	for _, id := range p.of {
		g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		g.GroupID = id
		req.Groups = append(req.Groups, g)
	}
	return ask(p.broker, req, func(resp *kmsg.DescribeShareGroupOffsetsResponse, a reply) {
		if a.err != nil {
			if !halve(r, p, r.shareOffsets) {
				r.noCommits(p.of, a.err)
			}
			return
		}
		for _, g := range resp.Groups {
			var commits []commit
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					if err := kerr.ErrorForCode(p.ErrorCode); p.StartOffset >= 0 || err != nil {
						commits = append(commits, commit{r.book.place(t.Topic, p.Partition), p.StartOffset, p.Lag, err})
					}
				}
			}
			r.committed(p.broker, g.GroupID, g.ErrorCode, commits)
		}
		r.leftOut(p)
	})
}

// committed notes a group's commits.
func (r *round) committed(broker int32, group string, code int16, commits []commit) {
	a, err := r.groups[group], fromBroker(broker, kerr.ErrorForCode(code))
	if err == nil && len(commits) > mostPartitions {
		err = fmt.Errorf("it has commits on %d partitions: at most %d of a group are watched", len(commits), mostPartitions)
	}
	switch {
	case a == nil:
	case err != nil:
		r.noCommits([]string{group}, err)
	default:
		a.commits, a.err = commits, nil
	}
}

// leftOut notes the groups that were asked for, and are not in the answer.
func (r *round) leftOut(p portion[string]) {
	for _, id := range p.of {
		if errors.Is(r.groups[id].err, errLeftOut) {
			r.noCommits([]string{id}, fromBroker(p.broker, errLeftOut))
		}
	}
}

// noCommits notes why groups' commits are not known.
func (r *round) noCommits(groups []string, err error) {
	for _, id := range groups {
		r.groups[id].err = err
	}
	if !errors.Is(err, kerr.GroupIDNotFound) { // a group may go at any time
		r.problem("commits", err)
	}
}
