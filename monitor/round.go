package monitor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// round is one look at everything.
type round struct {
	*Monitor

	number int64
	at     time.Time // when the logs' ends were known

	mu       sync.Mutex // guards what follows, and the book's logs, while a step's questions are under way
	cluster  Cluster
	groups   map[string]*groupAnswer
	late     map[int32]error // brokers that did not answer in time
	silent   map[int32]error // brokers that did not list their groups
	problems map[string]error
	halves   []question    // to be asked next
	halved   map[int32]int // how many portions of each broker were
}

func (m *Monitor) round(ctx context.Context) *Snapshot {
	before := m.Snapshot()
	r := &round{
		Monitor: m, number: before.Round + 1, groups: map[string]*groupAnswer{}, late: map[int32]error{}, silent: map[int32]error{},
		problems: map[string]error{}, halved: map[int32]int{},
	}
	began := time.Now()
	r.at = began
	if metadata, err := m.metadata(ctx); err != nil {
		r.problem("metadata", err)
	} else {
		r.learn(metadata)
		// The order matters: see the package's comment.
		r.step(ctx, append(r.askOffsets("log starts", readUncommitted, timestampStart), r.askGroups()...)...)
		r.recall(before)
		r.step(ctx, append(r.askCommits(), r.askMembers()...)...)
		ends := r.askOffsets("log ends", readUncommitted, timestampEnd)
		r.step(ctx, append(ends, r.askOffsets("log ends", readCommitted, timestampEnd)...)...)
		r.at = time.Now()
		r.peek(ctx)
		r.sound(ctx)
	}
	next := r.snapshot(before)
	next.Took = time.Since(began)
	return next
}

// problem notes the first one of its kind.
func (r *round) problem(what string, err error) {
	if r.problems[what] == nil {
		r.problems[what] = err
	}
}

// logs are those that have a leader, in the order of topic and number.
func (r *round) logs() []*log {
	var all []*log
	for _, name := range slices.Sorted(maps.Keys(r.book.topics)) {
		t := r.book.topics[name]
		for _, number := range slices.Sorted(maps.Keys(t.logs)) {
			if l := t.logs[number]; l.leader >= 0 {
				all = append(all, l)
			}
		}
	}
	return all
}
