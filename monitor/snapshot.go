package monitor

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Snapshot is what a round saw. Nothing in it ever changes, so it may be kept, and read by many at once; do not write to it.
type Snapshot struct {
	// Round counts rounds, from 1; 0 is the snapshot of a monitor that has not seen anything yet.
	Round int64

	// At is when the round looked at the logs' ends: time lags are as of then. Took is how long the round took.
	At   time.Time
	Took time.Duration

	// Complete is when a round last saw everything; zero when none has.
	Complete time.Time

	// Cluster is the cluster itself.
	Cluster Cluster

	// Groups are in the order of their ID.
	Groups []Group

	// Topics are in the order of their name, with all that can be seen, also those that no group reads.
	Topics []Topic

	// Problems are what the round could not see, one of a kind: the rows concerned have errors of their own.
	Problems []Problem
}

// Group finds a group by its ID.
func (s *Snapshot) Group(id string) (*Group, bool) {
	i, ok := slices.BinarySearchFunc(s.Groups, id, func(g Group, id string) int { return cmp.Compare(g.ID, id) })
	if !ok {
		return nil, false
	}
	return &s.Groups[i], true
}

// Topic finds a topic by its name.
func (s *Snapshot) Topic(name string) (*Topic, bool) {
	i, ok := slices.BinarySearchFunc(s.Topics, name, func(t Topic, name string) int { return cmp.Compare(t.Name, name) })
	if !ok {
		return nil, false
	}
	return &s.Topics[i], true
}

// Cluster is a Kafka cluster.
type Cluster struct {
	ID         string
	Controller int32 // the broker's ID; -1 unknown
	Brokers    []Broker
}

// Broker is a broker that the cluster knows to be up.
type Broker struct {
	ID   int32
	Host string
	Port int32
	Rack string // "" none
}

// Problem is something that a round could not see.
type Problem struct {
	What string // "metadata", "partitions", "groups", "commits", "members", "log starts", "log ends", "log tails", "soundings"
	Err  error  // with the broker, where it is known
}

// Topic is a topic of the cluster.
type Topic struct {
	Name       string
	ID         [16]byte // zero on brokers before Kafka 2.8
	Internal   bool
	Partitions []Log // by number
	Err        error // why the topic cannot be seen
}

// Log is a partition of a topic.
type Log struct {
	Partition int32
	Leader    int32 // -1 none
	Replicas  []int32
	InSync    []int32

	// Start is the first offset that is still there, Stable where the first open transaction begins, or else End, which is the high
	// watermark: the offset of the next record. -1 unknown.
	Start, Stable, End int64

	// OpenSince is when the first open transaction was first seen; zero where there is none. What hangs for longer than producers'
	// transactions may last keeps read_committed consumers from all that comes after it.
	OpenSince time.Time

	Err error // why an offset is not known
}

// Group is a group of any client.
type Group struct {
	ID           string
	Type         string // "classic", "consumer" (KIP-848), "share", "streams"
	ProtocolType string // "consumer", "connect" …
	Protocol     string // the assignor
	State        string // as in kafka-consumer-groups: "Stable", "Empty" …
	Coordinator  int32
	Members      []Member

	// Described is false where the members are not known: they could not be asked for, or the group's type cannot be described.
	Described bool

	// Partitions are those with a commit, and those that a member has, in the order of topic and number.
	Partitions []Partition

	// Status is the worst of its partitions'.
	Status Status

	// Lag is the sum of the partitions' lags, as far as they are known. TimeLag is the largest one that is known; AtLeast, where one of
	// the others may be larger.
	Lag     int64
	TimeLag TimeLag

	// AsOf is when the group's commits were last seen: At of the snapshot, but where Err says why this round did not see them. Then all is
	// as it was.
	// It is zero where they never were.
	AsOf time.Time
	Err  error
}

// Member is a member of a group.
type Member struct {
	ID         string
	InstanceID string // of a static member; "" else
	ClientID   string
	Host       string
	Partitions int // that it has
}

// Partition is how a group does on a partition.
type Partition struct {
	Topic     string
	Partition int32

	// Owner is the index in the group's Members of who has the partition; -1 nobody, or not known.
	Owner int

	// Commit is the group's commit, the offset of the next record to handle; of a share group the first record that is not done with.
	// -1: there is none.
	Commit int64

	// Start, Stable and End are as in Log.
	Start, Stable, End int64

	// Lag is how many offsets End is ahead of the commit, as kafka-consumer-groups counts it; -1 unknown. Records that retention has
	// deleted are no longer in it. Of a share group it is what the broker says.
	Lag int64

	// Readable is how far the group can read: End, or Stable while it waits there for an open transaction, or less, where what
	// follows are transactions' markers. Status and TimeLag are about what lies below it. -1 unknown.
	Readable int64

	// TimeLag is the age of the oldest record that is not handled.
	TimeLag TimeLag

	// Drain is how long it takes to catch up if all goes on as in the last minutes; 0 when it has, -1 unknown or never.
	Drain time.Duration

	// Gone are the records below the log's start that are not committed: deleted before they were handled, but for those that a member has
	// read and not committed yet. Lost counts those that were still not committed a round later, since the monitor looked first.
	Gone, Lost int64

	// Stands is for how long there has been something to read, and the commit has not moved; 0 while it moves, or has caught up.
	Stands time.Duration

	// Status is the group's status here. Watched is how much of a window it was watched for, from 0 to 1.
	Status  Status
	Watched float64

	// First and Last are the window's ends.
	First, Last Look

	// Err is why something about this partition is not known, and then as it was; or it wraps ErrBeyondEnd or ErrNoPartition.
	Err error
}

// What is wrong with a commit that was seen.
var (
	ErrBeyondEnd   = errors.New("beyond the end")
	ErrNoPartition = errors.New("no such partition any more")
)

// Unseen tells whether the last round did not see all of it: then it is as it was, as far as it was ever known. What is wrong with a commit
// that was seen leaves nothing unseen.
func (p *Partition) Unseen() bool {
	return p.Err != nil && !errors.Is(p.Err, ErrBeyondEnd) && !errors.Is(p.Err, ErrNoPartition)
}

// Margin is how many records retention may delete before it reaches those that the group has not handled, and which share of the log its
// lag is: at 1, retention deletes what was not handled. ok is false where an offset is not known.
func (p *Partition) Margin() (records int64, share float64, ok bool) {
	if p.Commit < 0 || p.Start < 0 || p.End < 0 {
		return 0, 0, false
	}
	if p.End <= p.Start {
		return 0, 0, true
	}
	return max(p.Commit-p.Start, 0), min(float64(max(p.End-p.Commit, 0))/float64(p.End-p.Start), 1), true
}

// Look is what was seen at a time.
type Look struct {
	At     time.Time
	Commit int64
	Lag    int64
}
