package burrow

import (
	"fmt"

	"github.com/sluice-go/sluice/monitor"
)

// request is what every answer says of its question.
type request struct {
	URL  string `json:"url"`
	Host string `json:"host"`
}

// head is what every answer begins with.
type head struct {
	Error   bool   `json:"error"`
	Message string `json:"message"`
}

type failure struct {
	head

	Request request `json:"request"`
}

type clusterList struct {
	head

	Clusters []string `json:"clusters"`
	Request  request  `json:"request"`
}

type clusterDetail struct {
	head

	Module  clusterModule `json:"module"`
	Request request       `json:"request"`
}

type clusterModule struct {
	ClassName     string   `json:"class-name"`
	Servers       []string `json:"servers"`
	TopicRefresh  int64    `json:"topic-refresh"`
	OffsetRefresh int64    `json:"offset-refresh"`
}

type topicList struct {
	head

	Topics  []string `json:"topics"`
	Request request  `json:"request"`
}

type topicDetail struct {
	head

	Offsets []int64 `json:"offsets"`
	Request request `json:"request"`
}

type consumerList struct {
	head

	Consumers []string `json:"consumers"`
	Request   request  `json:"request"`
}

type consumerDetail struct {
	head

	Topics  map[string][]consumerPartition `json:"topics"`
	Request request                        `json:"request"`
}

// consumerPartition is at its number's place in a topic's list.
type consumerPartition struct {
	Offsets    []*offset `json:"offsets"`
	Owner      string    `json:"owner"`
	ClientID   string    `json:"client_id"`
	CurrentLag int64     `json:"current-lag"`
}

type consumerStatus struct {
	head

	Status  groupStatus `json:"status"`
	Request request     `json:"request"`
}

type groupStatus struct {
	Cluster    string             `json:"cluster"`
	Group      string             `json:"group"`
	Status     string             `json:"status"`
	Complete   float64            `json:"complete"`
	Partitions []*partitionStatus `json:"partitions"`
	Count      int                `json:"partition_count"`
	MaxLag     *partitionStatus   `json:"maxlag"`
	TotalLag   int64              `json:"totallag"`
}

type partitionStatus struct {
	Topic      string  `json:"topic"`
	Partition  int32   `json:"partition"`
	Owner      string  `json:"owner"`
	ClientID   string  `json:"client_id"`
	Status     string  `json:"status"`
	Start      *offset `json:"start"`
	End        *offset `json:"end"`
	CurrentLag int64   `json:"current_lag"`
	Complete   float64 `json:"complete"`
}

// offset is a commit as it was seen. Times are in milliseconds since 1970.
type offset struct {
	Offset     int64 `json:"offset"`
	Timestamp  int64 `json:"timestamp"`
	ObservedAt int64 `json:"observedAt"`
	Lag        int64 `json:"lag"`
}

func offsetOf(l monitor.Look) *offset {
	if l.At.IsZero() {
		return nil
	}
	return &offset{l.Commit, l.At.UnixMilli(), l.At.UnixMilli(), l.Lag}
}

// statusOf is how a group does: all of its partitions, or those that are not well. As with Burrow, what is worse than WARN is ERR. OK is
// said only of what was seen: an OK that is as it was is NOTFOUND, and complete tells how much was not seen. away is why nothing was.
func statusOf(cluster string, g *monitor.Group, away error, all bool) groupStatus {
	s := groupStatus{Cluster: cluster, Group: g.ID, Status: monitor.Unknown.String(), Partitions: []*partitionStatus{}}
	worst, complete, unseen := monitor.Unknown, 0, away != nil
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Commit < 0 && p.Err == nil {
			continue
		}
		status, watched := p.Status, p.Watched
		if away != nil || p.Unseen() {
			watched, unseen = 0, true
			if status == monitor.OK {
				status = monitor.Unknown
			}
		}
		one := &partitionStatus{
			Topic: p.Topic, Partition: p.Partition, Status: status.String(), Start: offsetOf(p.First), End: offsetOf(p.Last),
			CurrentLag: max(p.Lag, 0), Complete: watched,
		}
		one.Owner, one.ClientID = owner(g, p)
		worst = worst.Worse(status)
		s.Count++
		s.TotalLag += one.CurrentLag
		if watched >= 1 {
			complete++
		}
		if s.MaxLag == nil || one.CurrentLag > s.MaxLag.CurrentLag {
			s.MaxLag = one
		}
		if all || status != monitor.OK {
			s.Partitions = append(s.Partitions, one)
		}
	}
	if s.Count > 0 {
		s.Complete = float64(complete) / float64(s.Count)
	}
	switch {
	case worst > monitor.Warn:
		s.Status = "ERR"
	case worst == monitor.Warn || !unseen:
		s.Status = worst.String()
	}
	return s
}

// awayOf is why nothing of a group was seen in the last round; nil where its commits were.
func awayOf(s *monitor.Snapshot, g *monitor.Group) error {
	if g.AsOf.Equal(s.At) && len(g.Partitions) > 0 {
		return nil
	}
	return g.Err
}

// unseen is why some of a group was not seen; nil where all of it was.
func unseen(g *monitor.Group, away error) error {
	if away != nil {
		return away
	}
	for i := range g.Partitions {
		if p := &g.Partitions[i]; p.Unseen() {
			return fmt.Errorf("%s[%d]: %w", p.Topic, p.Partition, p.Err)
		}
	}
	return nil
}

// owner is the host and the client's ID of who has a partition; "" where nobody has it.
func owner(g *monitor.Group, p *monitor.Partition) (host, client string) {
	if p.Owner < 0 || p.Owner >= len(g.Members) {
		return "", ""
	}
	m := &g.Members[p.Owner]
	return m.Host, m.ClientID
}
