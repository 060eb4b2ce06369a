package exporter

import (
	"errors"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-go/sluice/monitor"
)

// scrape is a snapshot with the labels of what is in it.
type scrape struct {
	*monitor.Snapshot

	labels labels
	groups []groupRow
	topics []topicRow
}

// groupRow is a group.
type groupRow struct {
	*monitor.Group

	labels []*dto.LabelPair
	topics []groupTopic
}

// groupTopic is how a group does on a topic: sums of its partitions, and the worst of them.
type groupTopic struct {
	labels      []*dto.LabelPair
	name        string
	status      monitor.Status
	seen        bool // the lag of some partition
	lag         int64
	timeLag     monitor.TimeLag
	drain       time.Duration // -1 not known of some partition that lags
	stands      time.Duration
	gone, lost  int64
	share       float64 // -1 not known
	uncommitted int
	beyond      int // partitions with a commit beyond the log's end
	unseen      int
	partitions  []partitionRow
}

// partitionRow is how a group does on a partition.
type partitionRow struct {
	*monitor.Partition

	labels []*dto.LabelPair // nil unless partitions are told
}

// topicRow is a topic.
type topicRow struct {
	*monitor.Topic

	labels []*dto.LabelPair
	logs   [][]*dto.LabelPair // of each partition; nil unless they are told
}

func newScrape(snapshot *monitor.Snapshot, cfg Config) *scrape {
	s := &scrape{
		Snapshot: snapshot, labels: labels{}, groups: make([]groupRow, 0, len(snapshot.Groups)),
		topics: make([]topicRow, 0, len(snapshot.Topics)),
	}
	for i := range snapshot.Groups {
		g := groupRow{Group: &snapshot.Groups[i]}
		if i > 0 && g.ID == snapshot.Groups[i-1].ID {
			continue
		}
		g.labels = []*dto.LabelPair{s.labels.pair("group", g.ID)}
		s.groupTopics(&g, cfg)
		s.groups = append(s.groups, g)
	}
	for i := range snapshot.Topics {
		t := topicRow{Topic: &snapshot.Topics[i]}
		if i > 0 && t.Name == snapshot.Topics[i-1].Name {
			continue
		}
		t.labels = []*dto.LabelPair{s.labels.pair("topic", t.Name)}
		if cfg.KafkaExporter {
			for k := range t.Partitions {
				t.logs = append(t.logs, []*dto.LabelPair{s.partition(t.Partitions[k].Partition), t.labels[0]})
			}
		}
		s.topics = append(s.topics, t)
	}
	return s
}

func (s *scrape) partition(n int32) *dto.LabelPair {
	return s.labels.pair("partition", strconv.Itoa(int(n)))
}

// groupTopics sums up a group's partitions, which are in the order of topic and number. Some brokers tell of one twice.
func (s *scrape) groupTopics(g *groupRow, cfg Config) {
	keep := cfg.Partitions || cfg.KafkaExporter
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if i > 0 && p.Topic == g.Partitions[i-1].Topic && p.Partition == g.Partitions[i-1].Partition {
			continue
		}
		if n := len(g.topics); n == 0 || g.topics[n-1].name != p.Topic {
			g.topics = append(g.topics, groupTopic{
				name: p.Topic, share: -1, labels: []*dto.LabelPair{g.labels[0], s.labels.pair("topic", p.Topic)},
			})
		}
		t := &g.topics[len(g.topics)-1]
		t.add(p)
		if !keep {
			continue
		}
		row := partitionRow{Partition: p}
		if cfg.Partitions {
			row.labels = []*dto.LabelPair{g.labels[0], s.partition(p.Partition), t.labels[1]}
		}
		t.partitions = append(t.partitions, row)
	}
}

func (t *groupTopic) add(p *monitor.Partition) {
	t.status = t.status.Worse(p.Status)
	if p.Lag >= 0 {
		t.seen = true
		t.lag += p.Lag
	}
	switch {
	case p.Err == nil || errors.Is(p.Err, monitor.ErrNoPartition) && p.Lag >= 0:
	case errors.Is(p.Err, monitor.ErrBeyondEnd):
		t.beyond++
	default: // what is told of it is as it was, if anything is
		t.unseen++
	}
	if p.Err == nil && p.Commit < 0 {
		t.uncommitted++
	}
	if l := p.TimeLag; l.Known && (!t.timeLag.Known || l.Behind > t.timeLag.Behind) {
		t.timeLag = l
	}
	if p.Drain < 0 && p.Lag > 0 {
		t.drain = -1
	} else if t.drain >= 0 {
		t.drain = max(t.drain, p.Drain)
	}
	t.stands = max(t.stands, p.Stands)
	t.gone += p.Gone
	t.lost += p.Lost
	if _, share, ok := p.Margin(); ok {
		t.share = max(t.share, share)
	}
}
