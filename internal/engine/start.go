package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/tracker"
)

// claimers bounds how many partitions are claimed at once.
const claimers = 32

// position is where an assignment begins.
type position struct {
	next      int64
	epoch     int32
	committed int64
	metadata  string        // of that commit
	ahead     tracker.Ahead // what it says
	topicID   [16]byte
	token     any
	refused   error
	sought    bool   // by hand
	readAs    string // the member that read the group's commit; empty: whoever
}

// onStart tells kgo where the newly assigned partitions begin: at the group's commit, at the configured start, or where a
// sink that keeps its offsets says. It may be called twice for an assignment; the last call counts. A partition that is
// refused is left out, and the others start. No error is returned but the context's: any other makes kgo lose every
// partition.
func (e *Engine) onStart(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-e.connected
	var topics []string
	for t := range offsets {
		topics = append(topics, t)
	}
	logs := e.logBounds(topics...)
	ids, err := e.topicIDs(ctx, topics)
	if err != nil {
		return nil, err
	}
	metadata := e.takeMetadata(ids)

	var mu sync.Mutex
	var wg sync.WaitGroup
	found := make(map[part]position)
	slots := make(chan struct{}, claimers)
	for topic, ps := range offsets {
		route := e.RouteOf(topic)
		if route == nil {
			continue // left out, it is not fetched
		}
		for p, o := range ps {
			wg.Go(func() {
				if acquire(ctx, slots) != nil {
					return
				}
				defer release(slots)
				commit := groupOffset{o.EpochOffset(), metadata[part{topic, p}]}
				pos, err := e.begin(ctx, part{topic, p}, route, commit, ids[topic], logs)
				if err != nil {
					return // the context's
				}
				mu.Lock()
				defer mu.Unlock()
				found[part{topic, p}] = pos
			})
		}
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return e.install(ctx, found)
}

// begin finds out where one partition begins.
func (e *Engine) begin(ctx context.Context, p part, route *Route, commit groupOffset, id [16]byte, logs *logBounds) (position, error) {
	pos := position{next: commit.Offset, epoch: commit.Epoch, committed: commit.Offset, metadata: commit.metadata, topicID: id}
	if commit.Offset < 0 { // kgo's sentinel for "no commit", which is the start offset that New set
		pos.committed, pos.epoch, pos.metadata = -1, -1, ""
	}
	if route.fenced() {
		err := e.claim(ctx, &pos, p, route, func(ctx context.Context) (int64, error) { return logs.start(ctx, p) })
		return pos, err
	}
	if pos.committed >= 0 {
		e.readAhead(&pos, p, route)
		return pos, nil
	}
	err := e.retry(ctx, "find the start of "+p.String(), func() (err error) {
		if pos.next, err = logs.start(ctx, p); err != nil {
			e.startFailed(p, err)
		}
		return err
	})
	return pos, err
}

// startFailed turns health red for a partition that is ours and cannot begin yet.
func (e *Engine) startFailed(p part, err error) {
	e.mu.Lock()
	defer e.unlock()
	if a := e.parts[p]; a != nil && a.state == starting {
		a.trouble(claimProblem, "cannot begin yet: "+e.explain(err, p.topic).Error())
	}
}

// claim asks the route's sink for a partition until it answers or ctx ends.
func (e *Engine) claim(ctx context.Context, pos *position, p part, route *Route, start func(context.Context) (int64, error)) error {
	return e.retry(ctx, "claim "+p.String(), func() error {
		c, err := route.Claim(ctx, ClaimRequest{
			Topic: p.topic, Partition: p.partition, TopicID: pos.topicID,
			Committed: pos.committed, CommittedEpoch: pos.epoch, Start: start,
		})
		if err != nil {
			e.startFailed(p, err)
			return err
		}
		pos.token, pos.refused = c.Token, c.Refused
		pos.next, pos.epoch = c.Next, c.NextEpoch
		return nil
	})
}

// install opens the assignments whose start was found.
func (e *Engine) install(ctx context.Context, found map[part]position) (map[string]map[int32]kgo.Offset, error) {
	if err := acquire(ctx, e.swap); err != nil {
		return nil, err
	}
	defer release(e.swap)
	starts := make(map[string]map[int32]kgo.Offset)
	e.mu.Lock()
	defer e.unlock()
	var came time.Time // the first of those that begin now
	for p, pos := range found {
		a := e.parts[p]
		switch {
		case a == nil || a.state != starting && a.state != leaving:
			a = e.newAssignment(p, e.RouteOf(p.topic))
		case a.state == starting && (came.IsZero() || a.came.Before(came)):
			came = a.came
		}
		if pos.refused != nil {
			a.work.TopicID = pos.topicID
			e.halt(a, pos.committed, pos.refused)
			continue
		}
		a.start(pos)
		if starts[p.topic] == nil {
			starts[p.topic] = make(map[int32]kgo.Offset)
		}
		starts[p.topic][p.partition] = kgo.NewOffset().At(pos.next).WithEpoch(pos.epoch)
		if a.dirty() {
			// A start that was resolved is committed, so that it is resolved once; with Latest at once, as the next look finds another.
			if a.route.CommitInterval > 0 && !e.cfg.Start.Latest {
				e.commitIn(a.route.CommitInterval)
			} else {
				e.commitSoon()
			}
		}
		if e.owesStart(a) { // it is for the loop to commit
			a.paused = true
			e.pauseChange = append(e.pauseChange, p)
			e.kick()
		}
	}
	if !came.IsZero() {
		e.totals.RebalanceTime[CameIn].Add(time.Since(came))
	}
	return starts, nil
}

// retry calls f until it succeeds or ctx ends, with backoff.
func (e *Engine) retry(ctx context.Context, what string, f func() error) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.log.Warn("failed; it is tried again", "event", "lookup_failed", "what", what, "err", err, "in", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// topicIDs asks for the topics' ids; brokers that have none answer zero.
func (e *Engine) topicIDs(ctx context.Context, topics []string) (map[string][16]byte, error) {
	ids := make(map[string][16]byte)
	err := e.retry(ctx, "read the topics' ids", func() error {
		md, err := e.admin.Metadata(ctx, topics...)
		if err != nil {
			return err
		}
		for _, t := range md.Topics {
			if t.Err != nil { // without its id a topic that was made again would go unnoticed
				return fmt.Errorf("topic %s: %w", t.Topic, t.Err)
			}
			ids[t.Topic] = t.ID
		}
		return nil
	})
	return ids, err
}

// logBounds looks up where partitions begin, once for all partitions of a round: as it is configured, and newcomers and retry topics
// at their first record: what is copied there is finished where it came from.
type logBounds struct {
	e        *Engine
	topics   []string
	asking   chan struct{} // held for the rest: brokers may take their time, so that waiting for it ends with a context
	listed   kadm.ListedOffsets
	earliest kadm.ListedOffsets
}

func (e *Engine) logBounds(topics ...string) *logBounds {
	return &logBounds{e: e, topics: topics, asking: make(chan struct{}, 1)}
}

// start resolves the start of a partition.
func (b *logBounds) start(ctx context.Context, p part) (int64, error) {
	if err := acquire(ctx, b.asking); err != nil {
		return 0, err
	}
	defer release(b.asking)
	listed, list := &b.listed, b.e.listStarts
	if b.e.newcomer(p) || b.e.RouteOf(p.topic).delaysOf(p.topic) > 0 {
		listed = &b.earliest
		list = func(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
			return b.e.admin.ListStartOffsets(ctx, topics...)
		}
	}
	var err error
	if *listed == nil {
		*listed, err = list(ctx, b.topics) // an error may be of other partitions only
	}
	o, ok := listed.Lookup(p.topic, p.partition)
	if !ok || o.Err != nil {
		*listed = nil
		if o.Err != nil {
			err = o.Err
		}
		return 0, fmt.Errorf("the brokers do not tell the offsets of %v: %w", p, cmpErr(err))
	}
	return o.Offset, nil
}

func (e *Engine) listStarts(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
	switch s := e.cfg.Start; {
	case !s.Time.IsZero():
		return e.admin.ListOffsetsAfterMilli(ctx, s.Time.UnixMilli(), topics...)
	case s.Latest:
		return e.admin.ListCommittedOffsets(ctx, topics...)
	default:
		return e.admin.ListStartOffsets(ctx, topics...)
	}
}

func (p part) String() string { return fmt.Sprintf("%s[%d]", p.topic, p.partition) }
