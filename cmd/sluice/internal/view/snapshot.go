package view

import (
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// Snapshot is a monitor.Snapshot as it is shown. What is not known is null.
type Snapshot struct {
	Round    int64      `json:"round"`
	At       time.Time  `json:"at"`
	Took     float64    `json:"took_seconds"`
	Complete *time.Time `json:"complete"`
	Cluster  Cluster    `json:"cluster"`
	Groups   []Group    `json:"groups"`
	Topics   []Topic    `json:"topics,omitempty"`
	Problems []Problem  `json:"problems"`
}

// Cluster is a Kafka cluster.
type Cluster struct {
	ID         string   `json:"id"`
	Controller int32    `json:"controller"`
	Brokers    []Broker `json:"brokers"`
}

// Broker is one that is up.
type Broker struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
	Rack string `json:"rack,omitempty"`
}

// Problem is something that could not be seen.
type Problem struct {
	What  string `json:"what"`
	Error string `json:"error"`
}

// Group is a group with a row a topic.
type Group struct {
	Group        string     `json:"group"`
	Type         string     `json:"type"`
	ProtocolType string     `json:"protocol_type"`
	Protocol     string     `json:"protocol"`
	State        string     `json:"state"`
	Coordinator  int32      `json:"coordinator"`
	Members      *int       `json:"members"`
	Status       string     `json:"status"`
	Lag          int64      `json:"lag"`
	TimeLag      *TimeLag   `json:"time_lag"`
	AsOf         *time.Time `json:"as_of"`
	Topics       []Row      `json:"topics"`
	Error        string     `json:"error,omitempty"`
}

// TimeLag is the age of the oldest record that is not handled. Of many partitions it is the largest one that is known; AtLeast says that
// one of them may have older records.
type TimeLag struct {
	Seconds float64 `json:"seconds"`
	Within  float64 `json:"within_seconds"`
	AtLeast bool    `json:"at_least"`
}

// Row is how a group does on a topic: sums of its partitions, and the worst of them.
type Row struct {
	Topic         string      `json:"topic"`
	Status        string      `json:"status"`
	Lag           *int64      `json:"lag"`
	TimeLag       *TimeLag    `json:"time_lag"`
	Drain         *float64    `json:"drain_seconds"`
	Uncommitted   int         `json:"partitions_without_commit"`
	Gone          int64       `json:"gone"`
	Lost          int64       `json:"lost"`
	RetentionUsed *float64    `json:"retention_used"`
	Partitions    []Partition `json:"partitions,omitempty"`
	Error         string      `json:"error,omitempty"`

	order       rank
	uncommitted int // partitions without a commit that have records, or may have some
	undated     int // partitions with records of an unknown age
}

// Partition is how a group does on a partition.
type Partition struct {
	Partition     int32    `json:"partition"`
	Status        string   `json:"status"`
	Commit        *int64   `json:"commit"`
	Start         *int64   `json:"start"`
	Stable        *int64   `json:"stable"`
	End           *int64   `json:"end"`
	Lag           *int64   `json:"lag"`
	TimeLag       *TimeLag `json:"time_lag"`
	Drain         *float64 `json:"drain_seconds"`
	Stands        *float64 `json:"stands_seconds"`
	Gone          int64    `json:"gone"`
	Lost          int64    `json:"lost"`
	RetentionUsed *float64 `json:"retention_used"`
	Watched       float64  `json:"watched"`
	Member        *Member  `json:"member"`
	Error         string   `json:"error,omitempty"`
}

// Member is who has a partition.
type Member struct {
	ID         string `json:"id"`
	InstanceID string `json:"instance_id,omitempty"`
	ClientID   string `json:"client_id"`
	Host       string `json:"host"`
}

// Topic is a topic's logs in short.
type Topic struct {
	Topic           string `json:"topic"`
	Internal        bool   `json:"internal"`
	Partitions      int    `json:"partitions"`
	UnderReplicated int    `json:"under_replicated"`
	Offline         int    `json:"offline"`
	Error           string `json:"error,omitempty"`
}

// Of is what a filter shows of a snapshot.
func (f Filter) Of(s *monitor.Snapshot) Snapshot {
	out := Snapshot{
		Round: s.Round, At: s.At.UTC(), Took: s.Took.Seconds(), Complete: at(s.Complete),
		Cluster: Cluster{ID: s.Cluster.ID, Controller: s.Cluster.Controller, Brokers: []Broker{}},
		Groups:  []Group{}, Problems: []Problem{},
	}
	for _, b := range s.Cluster.Brokers {
		out.Cluster.Brokers = append(out.Cluster.Brokers, Broker{b.ID, b.Host, b.Port, b.Rack})
	}
	for _, p := range s.Problems {
		out.Problems = append(out.Problems, Problem{p.What, p.Err.Error()})
	}
	for i := range s.Groups {
		if g, ok := f.groupOf(s, &s.Groups[i]); ok {
			out.Groups = append(out.Groups, g)
		}
	}
	if !f.OneLook {
		for i := range s.Topics {
			if t := &s.Topics[i]; f.topic(t.Name) {
				out.Topics = append(out.Topics, topicOf(t))
			}
		}
	}
	return out
}

func (f Filter) groupOf(s *monitor.Snapshot, g *monitor.Group) (out Group, ok bool) {
	if !f.group(g.ID) {
		return out, false
	}
	out = Group{
		Group: g.ID, Type: g.Type, ProtocolType: g.ProtocolType, Protocol: g.Protocol, State: g.State, Coordinator: g.Coordinator,
		Status: g.Status.String(), Lag: g.Lag, TimeLag: timeLag(g.TimeLag), AsOf: at(g.AsOf), Error: text(g.Err), Topics: f.rows(s, g),
	}
	if g.Described {
		n := len(g.Members)
		out.Members = &n
	}
	if f.OneLook {
		out.Status = oneLook(worstRow(out.Topics))
	}
	// Nobody knows which topics a group reads that cannot be seen.
	return out, len(out.Topics) > 0 || f.Topic == nil || g.Err != nil
}

func topicOf(t *monitor.Topic) Topic {
	out := Topic{Topic: t.Name, Internal: t.Internal, Partitions: len(t.Partitions), Error: text(t.Err)}
	for i := range t.Partitions {
		l := &t.Partitions[i]
		if l.Leader < 0 {
			out.Offline++
		}
		if len(l.InSync) < len(l.Replicas) {
			out.UnderReplicated++
		}
	}
	return out
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func timeLag(l monitor.TimeLag) *TimeLag {
	if !l.Known {
		return nil
	}
	return &TimeLag{l.Behind.Seconds(), l.Within.Seconds(), l.AtLeast}
}
