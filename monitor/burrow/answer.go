package burrow

import "github.com/sluice-go/sluice/monitor"

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

// statusOf is how a group does: all of its partitions, or those that are not well. As with Burrow, what is worse than WARN is ERR.
func statusOf(cluster string, g *monitor.Group, all bool) groupStatus {
	s := groupStatus{Cluster: cluster, Group: g.ID, Status: monitor.Unknown.String(), Partitions: []*partitionStatus{}}
	worst, complete := monitor.Unknown, 0
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Commit < 0 {
			continue
		}
		one := &partitionStatus{
			Topic: p.Topic, Partition: p.Partition, Status: p.Status.String(), Start: offsetOf(p.First), End: offsetOf(p.Last),
			CurrentLag: max(p.Lag, 0), Complete: p.Watched,
		}
		one.Owner, one.ClientID = owner(g, p)
		worst = worst.Worse(p.Status)
		s.Count++
		s.TotalLag += one.CurrentLag
		if p.Watched >= 1 {
			complete++
		}
		if s.MaxLag == nil || one.CurrentLag > s.MaxLag.CurrentLag {
			s.MaxLag = one
		}
		if all || p.Status != monitor.OK {
			s.Partitions = append(s.Partitions, one)
		}
	}
	if s.Count > 0 {
		s.Complete = float64(complete) / float64(s.Count)
	}
	if s.Status = worst.String(); worst > monitor.Warn {
		s.Status = "ERR"
	}
	return s
}

// owner is the host and the client's ID of who has a partition; "" where nobody has it.
func owner(g *monitor.Group, p *monitor.Partition) (host, client string) {
	if p.Owner < 0 || p.Owner >= len(g.Members) {
		return "", ""
	}
	m := &g.Members[p.Owner]
	return m.Host, m.ClientID
}
