package monitor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	atOnce          = 4     // requests of a step that are under way together; each goes to all brokers concerned
	groupsARequest  = 500   // whose answers are in memory together, four times
	logsARequest    = 5_000 // likewise
	soundingsAPass  = 5_000 // the logs that are sounded at most
	soundingPasses  = 6     // in a round: with each, more is known of when a record was written
	offsetsSounded  = 8     // of a log in a round: many groups may stand at as many places
	timestampStart  = -2    // ListOffsets: the log's start
	timestampEnd    = -1    // ListOffsets: its end
	readUncommitted = 0     // ListOffsets: the end is the high watermark
	readCommitted   = 1     // ListOffsets: the end is the last stable offset
)

// round is one look at everything.
type round struct {
	*Monitor

	number int64
	at     time.Time // when the logs' ends were known

	mu       sync.Mutex // guards what follows, and the book's logs, while a step's requests are under way
	cluster  Cluster
	groups   map[string]*groupAnswer
	silent   map[int32]bool // brokers that did not list their groups; -1 stands for any
	problems map[string]error
}

// groupAnswer is what a round was told of a group.
type groupAnswer struct {
	listed      kmsg.ListGroupsResponseGroup
	coordinator int32
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

func (m *Monitor) round(ctx context.Context) *Snapshot {
	before := m.Snapshot()
	r := &round{
		Monitor: m, number: before.Round + 1, groups: map[string]*groupAnswer{}, silent: map[int32]bool{}, problems: map[string]error{},
	}
	began := time.Now()
	r.step(ctx, r.askMetadata)
	if r.problems["metadata"] == nil {
		// The order matters: see the package's comment.
		r.step(ctx, append(r.askOffsets("log starts", readUncommitted, timestampStart), r.askGroups)...)
		r.step(ctx, append(r.askCommits(), r.askMembers()...)...)
		ends := r.askOffsets("log ends", readUncommitted, timestampEnd)
		r.step(ctx, append(ends, r.askOffsets("log ends", readCommitted, timestampEnd)...)...)
		r.at = time.Now()
		r.peek(ctx)
		r.sound(ctx)
	} else {
		r.at = time.Now()
	}
	next := r.snapshot(before)
	next.Took = time.Since(began)
	return next
}

// step does all tasks, a few at once, and waits for them. What has not ended in time is told so by its context.
func (r *round) step(ctx context.Context, tasks ...func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	var wg sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, task := range tasks {
		places <- struct{}{}
		wg.Go(func() {
			task(ctx)
			<-places
		})
	}
	wg.Wait()
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
