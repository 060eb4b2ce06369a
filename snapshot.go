package sluice

import (
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// Snapshot is what an app holds and does at one moment. Its JSON is what `sluice run` answers at /snapshot.json.
type Snapshot struct {
	Time  time.Time `json:"time"`
	Group string    `json:"group"`
	// MemberID is what the group's coordinator knows this app by; empty while it is no member.
	MemberID string `json:"member_id,omitempty"`
	// Protocol is how the group is managed, as seen on the wire: ClassicProtocol or ConsumerProtocol; empty before the first join.
	Protocol GroupProtocol `json:"protocol,omitempty"`
	// Generation counts the group's assignments, as its coordinator does; -1 while this app is no member.
	Generation int32 `json:"generation"`
	// BufferFull says that less than a fetch of MaxBufferedBytes is free: nothing is polled until something is finished.
	BufferFull bool `json:"buffer_full"`
	// Routes are the app's routes, in the order they were added.
	Routes []RouteSnapshot `json:"routes"`
	// Partitions are the partitions that are assigned now, sorted.
	Partitions []PartitionSnapshot `json:"partitions"`
	// Overruns are the handlers that run too long now, also those of partitions that are gone.
	Overruns []Overrun `json:"overruns"`
}

// RouteSnapshot is one route.
type RouteSnapshot struct {
	Topics   []string `json:"topics"`
	Pattern  string   `json:"pattern,omitempty"`
	Ordering string   `json:"ordering"` // partition, key or unordered
	Running  int      `json:"running"`  // workers that run
	Workers  int      `json:"workers"`  // and how many may
	// State is idle, working, or saturated: every worker runs, and partitions wait for one.
	State string `json:"state"`
	// Outage says since when the route stands still and why; empty while it does not.
	Outage string `json:"outage,omitempty"`
}

// PartitionSnapshot is one assigned partition.
type PartitionSnapshot struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Epoch     uint64 `json:"epoch"`     // grows with every assignment in this process
	State     string `json:"state"`     // starting, open, leaving, halted, or reclaiming
	Frontier  int64  `json:"frontier"`  // the lowest unfinished offset; -1 while starting
	Committed int64  `json:"committed"` // as acknowledged by the broker; -1 none yet
	Position  int64  `json:"position"`  // the next offset to be polled; -1 while starting
	LogEnd    int64  `json:"log_end"`   // the log's end as last seen: the last stable offset for read_committed; -1 unknown
	Ahead     int    `json:"ahead"`     // records above the frontier that are finished
	Queued    int    `json:"queued"`    // records that wait for a handler, a retry or their dead letter
	Running   int    `json:"running"`   // records that a worker has taken, or that wait for Message.Done
	Parked    int    `json:"parked"`    // lanes that wait for a retry; in a retry topic, also records that wait for its delay
	// Paused says why this app does not have the partition fetched; empty when it does. share: the partition holds its share of the
	// buffer. buffer: the whole buffer is full. fetch error: it rests after a failed fetch. halted: as State says. user: by
	// App.Pause.
	Paused string `json:"paused,omitempty"`
	// Bytes is what the records take that were polled and are not finished: keys, values, headers and 200 bytes each.
	Bytes int64 `json:"bytes"`
	// OldestAge is how long ago the record at the frontier was polled, in a retry topic since it was due, to about 3 %; 0 when every
	// polled record is finished, or waits for its delay. In nanoseconds in JSON.
	OldestAge time.Duration `json:"oldest_age"`
	// TimeLag is how long ago the record at the frontier was written, by its timestamp, to half a second, or a thousandth of the time
	// that the held records span; in a retry topic, how long ago it was due. 0 when all of the log is finished, -1 when it is not known. A
	// record that was not polled yet counts as old as the last one that was, or for as long as the app has known of it. In nanoseconds in
	// JSON.
	TimeLag time.Duration `json:"time_lag"`
	// Stalled says why the partition stands still: see Events.Stalled; empty when it does not.
	Stalled string `json:"stalled,omitempty"`
	// LastError is the last thing that went wrong, which may be over; empty when nothing did in this assignment.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

// Overrun is a handler that runs too long.
type Overrun struct {
	Topic     string        `json:"topic"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	Key       string        `json:"key"`     // quoted, and cut after 64 bytes; none where there is none
	Records   int           `json:"records"` // of its batch; 1 on a Route
	Age       time.Duration `json:"age"`     // it has run for so long at least; in nanoseconds in JSON
	Timeout   time.Duration `json:"timeout"` // Policy.Timeout; 0 none
	Stack     string        `json:"stack"`   // where it was when it was found
}

// Snapshot tells what the app holds and does. It costs little: with 1,000 partitions about a millisecond, however many records are held.
func (a *App) Snapshot() Snapshot {
	s := Snapshot{
		Time: time.Now(), Group: a.cfg.Group, Generation: -1, Routes: []RouteSnapshot{}, Partitions: []PartitionSnapshot{},
		Overruns: []Overrun{},
	}
	e := a.running()
	if e == nil {
		return s
	}
	from := e.Snapshot()
	s.Time, s.MemberID, s.Generation, s.BufferFull = from.Time, from.MemberID, from.Generation, from.Full
	s.Protocol = GroupProtocol(from.Protocol)
	for _, r := range from.Routes {
		s.Routes = append(s.Routes, RouteSnapshot(r))
	}
	for _, p := range from.Partitions {
		s.Partitions = append(s.Partitions, PartitionSnapshot(p))
	}
	for _, o := range from.Overruns {
		s.Overruns = append(s.Overruns, Overrun{
			Topic: o.Topic, Partition: o.Partition, Offset: o.Offset, Key: engine.KeyText(o.Key), Records: o.Records, Age: o.Age,
			Timeout: o.Timeout, Stack: o.Stack,
		})
	}
	return s
}

// running is the engine; nil before Run.
func (a *App) running() *engine.Engine {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.engine
}
