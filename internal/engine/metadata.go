package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/tracker"
)

const (
	// mostMetadata bounds the metadata of one request. A commit is one batch in the topic of offsets: with 255 partitions of 4,096
	// characters, Kafka 4.3.1 refuses all of it.
	mostMetadata = 512 << 10
	// leastRequest is what any broker takes in one request; an error of one with less has another reason.
	leastRequest = 64 << 10
	// leastMetadata is what is worth sending.
	leastMetadata = 64
)

// metadataRoom is what commits may say of records above the frontier, in characters: as configured, until brokers take less.
type metadataRoom struct{ partition, request int }

// groupOffset is what the group has committed for a partition.
type groupOffset struct {
	kgo.EpochOffset
	metadata string
}

// carries tells whether the commits of a route say what is finished above the frontier. Where the commit comes first there is no
// such thing, and where a sink keeps the offsets, it is the authority.
func (e *Engine) carries(r *Route) bool {
	return e.cfg.CommitMetadata > 0 && !r.CommitFirst && !r.fenced()
}

// encode fills in the metadata of what a request carries: all that is ahead, unless together it is too much for a request. Then
// each has an equal share of the room, and what one does not need is the others'.
func (e *Engine) encode(sent map[*assignment]snapshot) {
	var needs []int
	total := 0
	for a, s := range sent {
		if a.carries && !s.start {
			s.metadata = a.tracker.Encode(a.work.TopicID, e.room.partition)
			sent[a] = s
			needs = append(needs, len(s.metadata))
			total += len(s.metadata)
		}
	}
	if total <= e.room.request {
		return
	}
	most := share(needs, e.room.request)
	for a, s := range sent {
		if len(s.metadata) > most {
			s.metadata = a.tracker.Encode(a.work.TopicID, most)
			sent[a] = s
		}
	}
}

// share is the most that each may have, so that all have no more than room together.
func share(needs []int, room int) int {
	slices.Sort(needs)
	for i, n := range needs {
		if equal := room / (len(needs) - i); n > equal {
			return equal
		}
		room -= n
	}
	return room
}

// has tells whether the group has this very commit already. Lanes that wait for a commit want one that is acknowledged now.
func (a *assignment) has(s snapshot) bool {
	if !a.carries || a.unsure || len(a.awaiting) > 0 || s.offset != a.committed || s.metadata != a.metadata {
		return false
	}
	a.changes = s.changes // what changed is beyond the room
	return true
}

// text is the metadata as a request has it.
func (s *snapshot) text() *string {
	if s.metadata == "" {
		return nil
	}
	return &s.metadata
}

// errMetadata says that a commit was refused for its metadata, and has less of it from now on.
var errMetadata = errors.New("the commit's metadata was refused")

// lessMetadata takes in why commits were refused. It reports true when it was for their metadata, or may have been: then they say
// less from now on, at last nothing, so that it keeps no offset from being committed.
func (e *Engine) lessMetadata(err error, refused map[*assignment]snapshot) bool {
	longest, total := 0, 0
	for _, s := range refused {
		longest = max(longest, len(s.metadata))
		total += len(s.metadata)
	}
	switch {
	case longest > 0 && errors.Is(err, kerr.OffsetMetadataTooLarge):
		if e.room.partition = longest / 2; e.room.partition < leastMetadata {
			e.room.partition = 0
		}
		e.log.Warn("brokers take less metadata in a commit (offset.metadata.max.bytes) than CommitMetadata allows; less of what is "+
			"finished above the frontier will survive a crash", "event", "commit_metadata_limited",
			"refused_characters", longest, "from_now_on", e.room.partition)
	case total > leastRequest && (errors.Is(err, kerr.UnknownServerError) || errors.Is(err, kerr.InvalidCommitOffsetSize)):
		e.room.request = total / 2
		e.log.Warn("a commit was refused, maybe for the metadata of all its partitions (the message.max.bytes of brokers); it says less "+
			"from now on, so that less of what is finished above the frontier will survive a crash", "event", "commit_metadata_refused",
			"refused_characters", total, "from_now_on", e.room.request, "err", err)
	default:
		return false
	}
	return true
}

// onFetched keeps the group's commits with their metadata for onStart, which kgo calls next with the offsets alone.
func (e *Engine) onFetched(_ context.Context, _ *kgo.Client, r *kmsg.OffsetFetchResponse) error {
	e.mu.Lock()
	defer e.unlock()
	e.fetched = nil
	for _, g := range r.Groups {
		e.fetched = append(e.fetched, g.Topics...)
	}
	return nil
}

// takeMetadata is what onFetched kept, by partition.
func (e *Engine) takeMetadata(ids map[string][16]byte) map[part]string {
	e.mu.Lock()
	defer e.unlock()
	names := make(map[[16]byte]string)
	for name, id := range ids {
		names[id] = name
	}
	metadata := make(map[part]string)
	for _, t := range e.fetched {
		if t.Topic == "" { // an answer of version 10 has the id alone
			t.Topic = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			if p.Metadata != nil {
				metadata[part{t.Topic, p.Partition}] = *p.Metadata
			}
		}
	}
	e.fetched = nil
	return metadata
}

// readAhead reads what the commit at which a partition begins says of the records above it.
func (e *Engine) readAhead(pos *position, p part, route *Route) {
	if !e.carries(route) || pos.metadata == "" {
		return
	}
	ahead, err := tracker.Decode(pos.metadata, tracker.Base{Offset: pos.committed, TopicID: pos.topicID})
	if err != nil {
		e.log.Warn("the metadata of the group's commit is of no use; what was finished above the offset runs again",
			"event", "commit_metadata_unusable", "topic", p.topic, "partition", p.partition, "offset", pos.committed, "err", err)
		return
	}
	pos.ahead = ahead
}
