package monitor

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// book is what rounds remember for the next ones. Only the round under way touches it.
type book struct {
	topics   map[string]*topicBook
	names    map[[16]byte]string // of the topics, by ID
	groups   map[string]map[place]*row
	unlisted map[string]time.Time // groups that nobody lists any more, and since when
}

func newBook() book {
	return book{
		topics: map[string]*topicBook{}, names: map[[16]byte]string{},
		groups: map[string]map[place]*row{}, unlisted: map[string]time.Time{},
	}
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// byPlace is the order of topic and number.
func byPlace(a, b place) int {
	return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

// topicBook is a topic, as of the last metadata.
type topicBook struct {
	name     string
	id       [16]byte
	internal bool
	err      error
	missing  time.Time // since when the metadata does not name it; zero: it does
	logs     map[int32]*log
}

// blank makes the logs ready for a round in which none is there.
func (t *topicBook) blank() {
	for _, l := range t.logs {
		l.blank()
		l.leader, l.err = -1, cmp.Or(t.err, error(kerr.UnknownTopicOrPartition))
	}
}

// log is a partition's log: where it is and reaches to, as of this round, and its history.
type log struct {
	place

	leader             int32
	replicas, inSync   []int32
	start, stable, end int64 // -1 not known
	err                error // why

	untimed int64 // records below it have no time, as far as ListOffsets knows
	timed   bool  // and the one at it has
	history history
	tail    tail
	open    openTransaction
}

// openTransaction is the first one that is open in a log: where it begins, and when it was first seen; zero where there is none.
type openTransaction struct {
	at    int64
	since time.Time
}

// see notes where the log's first open transaction begins, and where the log ends.
func (o *openTransaction) see(now time.Time, stable, end int64) {
	switch {
	case stable < 0 || end < 0: // not known
	case stable >= end:
		*o = openTransaction{}
	case o.since.IsZero() || o.at != stable:
		*o = openTransaction{stable, now}
	}
}

// dated notes the first record that has a time, -1 for none: where there is none, ListOffsets answers as if all records were older than
// what it is asked for.
func (l *log) dated(offset int64) {
	if l.timed, l.untimed = offset >= 0, offset; !l.timed {
		l.untimed = l.end
	}
}

// blank makes the log ready for a round.
func (l *log) blank() { l.start, l.stable, l.end, l.err = -1, -1, -1, nil }

// readable is how far a group with that commit can read. Whether it waits for open transactions to end is nowhere written: if its commit is
// beyond the first one, it does not.
func (l *log) readable(commit int64) int64 {
	switch {
	case l.stable < 0 || commit > l.stable:
		return l.end
	case l.tail.stable == l.stable && commit >= l.tail.hollow:
		return commit
	default:
		return min(l.stable, l.end)
	}
}

// place is a partition by the book's own copy of its topic's name, so that not every row keeps one.
func (b *book) place(topic string, partition int32) place {
	if t := b.topics[topic]; t != nil {
		topic = t.name
	}
	return place{topic, partition}
}

// log finds a partition's log; nil where the topic or the partition is not there.
func (b *book) log(at place) *log {
	if t := b.topics[at.topic]; t != nil {
		return t.logs[at.partition]
	}
	return nil
}

// missing is why a partition has no log.
func (b *book) missing(at place) error {
	if t := b.topics[at.topic]; t != nil && t.err != nil {
		return fmt.Errorf("topic %s: %w", at.topic, t.err)
	}
	return fmt.Errorf("topic %s[%d]: %w", at.topic, at.partition, ErrNoPartition)
}

// row is what is remembered of a group on a partition.
type row struct {
	window window
	losses losses

	topicID   [16]byte
	committed bool  // false: there was no commit yet, and baseline stands for it
	baseline  int64 // the log's end when the row was first seen
	hollow    int64 // from here to record is no record, as far as is known
	record    int64
	round     int64 // that last saw it
	kept      int64 // the round that last kept it, whether it saw it or not
}

// row finds what is remembered of a group on a partition, or begins anew: where there is nothing, where the topic was made again, and at
// the group's first commit, which may well be below the end that stood for it. Rounds that did not see the row do not count.
func (b *book) row(group string, l *log, committed bool, round int64, now time.Time) *row {
	rows := b.groups[group]
	if rows == nil {
		rows = map[place]*row{}
		b.groups[group] = rows
	}
	r := b.known(group, l.place)
	if r == nil || r.committed != committed {
		r = &row{topicID: b.topics[l.topic].id, committed: committed, baseline: l.end, round: round}
		rows[l.place] = r
	}
	if round-r.round > 1 {
		r.window.leaveOut(now)
	}
	r.round, r.kept = round, round
	return r
}

// oldest is the first record that the group has not handled, if it still is there: a commit may be followed by markers, and the log's tail
// is forgotten when it has grown.
func (r *row) oldest(l *log, commit int64) int64 {
	from := max(commit, l.start)
	if l.tail.hollow <= from && from < l.tail.stable {
		r.hollow, r.record = from, l.tail.stable
	}
	if r.record > l.end { // the log went back
		r.hollow, r.record = 0, 0
	}
	if r.hollow <= from && from < r.record {
		return r.record
	}
	return from
}

// known is what is remembered of a group on a partition; nil where there is nothing, or of a topic that was made again.
func (b *book) known(group string, at place) *row {
	if r, t := b.groups[group][at], b.topics[at.topic]; r != nil && t != nil && r.topicID == t.id {
		return r
	}
	return nil
}

// forgetRows drops the rows of a group that the round has not kept.
func (b *book) forgetRows(group string, round int64) {
	maps.DeleteFunc(b.groups[group], func(_ place, r *row) bool { return r.kept != round })
}
