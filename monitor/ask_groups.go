package monitor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// askGroups asks every broker for the groups that it coordinates.
func (r *round) askGroups(ctx context.Context) {
	shards := r.sharded(ctx, kmsg.NewPtrListGroupsRequest())
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		err := shard.Err
		if err == nil {
			err = kerr.ErrorForCode(shard.Resp.(*kmsg.ListGroupsResponse).ErrorCode) //nolint:forcetypeassert // what is answered to it
		}
		if err != nil {
			r.silent[max(shard.Meta.NodeID, -1)] = true
			r.problem("groups", fromBroker(shard, err))
			continue
		}
		for _, g := range shard.Resp.(*kmsg.ListGroupsResponse).Groups { //nolint:forcetypeassert // as above
			if g.GroupType == "" { // before Kafka 3.8
				g.GroupType = "classic"
			}
			g.GroupType = strings.ToLower(g.GroupType)
			r.groups[g.Group] = &groupAnswer{listed: g, coordinator: shard.Meta.NodeID}
		}
	}
}

// chunks are the IDs of the groups of some types, in portions.
func (r *round) chunks(types ...string) [][]string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(r.groups)) {
		if slices.Contains(types, r.groups[id].listed.GroupType) {
			ids = append(ids, id)
		}
	}
	return slices.Collect(slices.Chunk(ids, groupsARequest))
}

// askCommits are the requests for the commits of all groups.
func (r *round) askCommits() (tasks []func(context.Context)) {
	for _, ids := range r.chunks("classic", "consumer", "streams") {
		tasks = append(tasks, func(ctx context.Context) { r.fetchOffsets(ctx, ids) })
	}
	for _, ids := range r.chunks("share") {
		tasks = append(tasks, func(ctx context.Context) { r.shareOffsets(ctx, ids) })
	}
	return tasks
}

func (r *round) fetchOffsets(ctx context.Context, ids []string) {
	req := kmsg.NewPtrOffsetFetchRequest()
	for _, id := range ids {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		req.Groups = append(req.Groups, g)
	}
	shards := r.sharded(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, g := range shard.Req.(*kmsg.OffsetFetchRequest).Groups { //nolint:forcetypeassert // what was asked
				r.noCommits(g.Group, fromBroker(shard, shard.Err))
			}
			continue
		}
		for _, g := range shard.Resp.(*kmsg.OffsetFetchResponse).Groups { //nolint:forcetypeassert // what is answered to it
			if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
				r.noCommits(g.Group, fromBroker(shard, err))
				continue
			}
			a := r.groups[g.Group]
			if a == nil {
				continue
			}
			for _, t := range g.Topics {
				if t.Topic == "" {
					continue // it is gone, and its ID says nothing to anybody
				}
				for _, p := range t.Partitions {
					err := kerr.ErrorForCode(p.ErrorCode)
					if p.Offset >= 0 || err != nil {
						a.commits = append(a.commits, commit{r.book.place(t.Topic, p.Partition), p.Offset, -1, err})
					}
				}
			}
		}
	}
}

func (r *round) shareOffsets(ctx context.Context, ids []string) {
	req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
	for _, id := range ids {
		g := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		g.GroupID = id
		req.Groups = append(req.Groups, g)
	}
	shards := r.sharded(ctx, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shard := range shards {
		if shard.Err != nil {
			for _, g := range shard.Req.(*kmsg.DescribeShareGroupOffsetsRequest).Groups { //nolint:forcetypeassert // what was asked
				r.noCommits(g.GroupID, fromBroker(shard, shard.Err))
			}
			continue
		}
		for _, g := range shard.Resp.(*kmsg.DescribeShareGroupOffsetsResponse).Groups { //nolint:forcetypeassert // what is answered to it
			if err := kerr.ErrorForCode(g.ErrorCode); err != nil {
				r.noCommits(g.GroupID, fromBroker(shard, err))
				continue
			}
			a := r.groups[g.GroupID]
			if a == nil {
				continue
			}
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					err := kerr.ErrorForCode(p.ErrorCode)
					if p.StartOffset >= 0 || err != nil {
						a.commits = append(a.commits, commit{r.book.place(t.Topic, p.Partition), p.StartOffset, p.Lag, err})
					}
				}
			}
		}
	}
}

// noCommits notes why a group's commits are not known.
func (r *round) noCommits(group string, err error) {
	if a := r.groups[group]; a != nil {
		a.err = err
		if !errors.Is(err, kerr.GroupIDNotFound) { // a group may go at any time
			r.problem("commits", err)
		}
	}
}
