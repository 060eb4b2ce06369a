package alert

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-go/sluice/monitor"
)

// spot is what is wrong with a group on a topic: an alert is about both, not about each of a thousand partitions.
type spot struct {
	group      *monitor.Group
	topic      string
	partitions []*monitor.Partition // with what is wrong; at least one
}

// places are where groups have partitions that are bad, as far as the round saw them.
func places(s *monitor.Snapshot, bad func(*monitor.Group, *monitor.Partition) bool) []spot {
	return spots(s, func(g *monitor.Group, p *monitor.Partition) bool { return !p.Unseen() && bad(g, p) })
}

// spots are where groups have partitions of which something holds.
func spots(s *monitor.Snapshot, holds func(*monitor.Group, *monitor.Partition) bool) (all []spot) {
	for i := range s.Groups {
		g := &s.Groups[i]
		for k := range g.Partitions { // in the order of their topic
			p := &g.Partitions[k]
			if !holds(g, p) {
				continue
			}
			if n := len(all); n == 0 || all[n-1].group != g || all[n-1].topic != p.Topic {
				all = append(all, spot{group: g, topic: p.Topic})
			}
			at := &all[len(all)-1]
			at.partitions = append(at.partitions, p)
		}
	}
	return all
}

// Where is a condition on each partition of each group, as far as a round saw all of the group. What it finds of a group on a topic is one
// finding, whose summary begins with the text.
func Where(text string, bad func(*monitor.Group, *monitor.Partition) (bool, error)) Condition {
	return func(s *monitor.Snapshot) (found []Finding, err error) {
		all := places(s, func(g *monitor.Group, p *monitor.Partition) bool {
			if !staffed(g) {
				return false
			}
			is, failed := bad(g, p)
			err = cmp.Or(err, failed)
			return is && failed == nil
		})
		for _, at := range all {
			found = append(found, Finding{
				Group: at.group.ID, Topic: at.topic, Value: float64(at.lag()),
				Summary: fmt.Sprintf("%s: %s on %s; %d records wait", text, at.group.ID, at.where(), at.lag()),
			})
		}
		return found, err
	}
}

// staffed tells whether a round saw who is in a group.
func staffed(g *monitor.Group) bool { return g.Err == nil }

// oldest is the partition that is furthest behind.
func (at spot) oldest() *monitor.Partition {
	return slices.MaxFunc(at.partitions, func(a, b *monitor.Partition) int { return cmp.Compare(a.TimeLag.Behind, b.TimeLag.Behind) })
}

func (at spot) lag() (records int64) {
	for _, p := range at.partitions {
		records += max(p.Lag, 0)
	}
	return records
}

// where names the topic with the partitions.
func (at spot) where() string {
	numbers := make([]int32, len(at.partitions))
	for i, p := range at.partitions {
		numbers[i] = p.Partition
	}
	return numbered(numbers) + " of " + at.topic
}

// numbered names partitions.
func numbered(all []int32) string {
	const most = 5
	if len(all) == 1 {
		return fmt.Sprintf("partition %d", all[0])
	}
	texts := make([]string, 0, most)
	for _, n := range all[:min(len(all), most)] {
		texts = append(texts, fmt.Sprint(n))
	}
	s := fmt.Sprintf("%d partitions (%s", len(all), strings.Join(texts, ", "))
	if len(all) > most {
		s += ", …"
	}
	return s + ")"
}

// span is a duration as people write it.
func span(d time.Duration) string {
	if d >= time.Minute {
		d = d.Round(time.Second)
	} else {
		d = d.Round(10 * time.Millisecond)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// status finds groups that do badly on a topic, in the monitor's own words. The text takes the group, the partitions and the topic.
func status(bad monitor.Status, text string) Condition {
	return func(s *monitor.Snapshot) (found []Finding, err error) {
		ofMembers := bad == monitor.Stop || bad == monitor.Stall
		is := func(g *monitor.Group, p *monitor.Partition) bool {
			return p.Status == bad && (staffed(g) || !ofMembers)
		}
		for _, at := range places(s, is) {
			numbers := strings.TrimSuffix(at.where(), " of "+at.topic)
			summary := fmt.Sprintf(text, at.group.ID, numbers, at.topic) + fmt.Sprintf("; %d records wait", at.lag())
			if worst := at.oldest(); worst.TimeLag.Known && worst.TimeLag.Behind > 0 {
				summary += ", the oldest for " + span(worst.TimeLag.Behind)
			}
			found = append(found, Finding{Group: at.group.ID, Topic: at.topic, Summary: summary, Value: float64(at.lag())})
		}
		return found, nil
	}
}

// aMoment is a time lag that is none worth telling of.
const aMoment = time.Minute

// neverCatchesUp finds members that are behind, and whose lag does not become smaller.
func neverCatchesUp(s *monitor.Snapshot) (found []Finding, err error) {
	bad := func(g *monitor.Group, p *monitor.Partition) bool {
		return staffed(g) && p.Owner >= 0 && p.Status == monitor.OK && p.Lag > 0 && p.Drain < 0 &&
			p.TimeLag.Known && p.TimeLag.Behind > aMoment
	}
	for _, at := range places(s, bad) {
		found = append(found, Finding{
			Group: at.group.ID, Topic: at.topic, Value: float64(at.lag()),
			Summary: fmt.Sprintf("%s does not catch up on %s; %d records wait, the oldest for %s", at.group.ID, at.where(), at.lag(),
				span(at.oldest().TimeLag.Behind)),
		})
	}
	return found, nil
}

// recordsLost finds groups that lost records since the snapshot before.
func recordsLost() Condition {
	type place struct{ group, topic string }
	known := map[place]int64{}
	return func(s *monitor.Snapshot) (found []Finding, err error) {
		now := make(map[place]int64, len(known))
		for _, at := range spots(s, func(_ *monitor.Group, p *monitor.Partition) bool { return p.Lost > 0 }) { // also what is as it was
			var lost int64
			for _, p := range at.partitions {
				lost += p.Lost
			}
			where := place{at.group.ID, at.topic}
			now[where] = lost
			if lost > known[where] {
				found = append(found, Finding{
					Group: at.group.ID, Topic: at.topic, Value: float64(lost),
					Summary: fmt.Sprintf("%s lost %d records of %s, which retention deleted before they were handled",
						at.group.ID, lost, at.where()),
				})
			}
		}
		known = now
		return found, nil
	}
}

// nearShare is which share of its log a group may have unread before retention is near.
const nearShare = 0.8

// retentionNear finds groups that have most of a log unread which retention deletes from, and that do not catch up.
func retentionNear(s *monitor.Snapshot) (found []Finding, err error) {
	bad := func(_ *monitor.Group, p *monitor.Partition) bool {
		_, share, ok := p.Margin()
		return ok && p.Start > 0 && share > nearShare && p.Drain < 0 && p.Readable > p.Commit
	}
	for _, at := range places(s, bad) {
		worst, margin := 0.0, int64(-1)
		for _, p := range at.partitions {
			if records, share, _ := p.Margin(); margin < 0 || records < margin {
				worst, margin = share, records
			}
		}
		found = append(found, Finding{
			Group: at.group.ID, Topic: at.topic, Value: worst,
			Summary: fmt.Sprintf("%s has %.0f %% of %s unread; retention reaches what is unread after %d records more",
				at.group.ID, 100*worst, at.where(), margin),
		})
	}
	return found, nil
}

func beyond(p *monitor.Partition) bool { return p.End >= 0 && p.Commit > p.End }

func commitBeyondEnd(s *monitor.Snapshot) (found []Finding, err error) {
	for _, at := range places(s, func(_ *monitor.Group, p *monitor.Partition) bool { return beyond(p) }) {
		first := at.partitions[0]
		found = append(found, Finding{
			Group: at.group.ID, Topic: at.topic, Value: float64(first.Commit - first.End),
			Summary: fmt.Sprintf("the commit of %s is beyond the end of %s: %d, where the log of partition %d ends at %d", at.group.ID,
				at.where(), first.Commit, first.Partition, first.End),
		})
	}
	return found, nil
}

// logs finds topics with partitions that are bad; the text takes the partitions and the topic.
func logs(s *monitor.Snapshot, text string, bad func(*monitor.Log) bool) (found []Finding) {
	for i := range s.Topics {
		t := &s.Topics[i]
		if t.Err != nil {
			continue // it was not seen
		}
		var numbers []int32
		for k := range t.Partitions {
			if bad(&t.Partitions[k]) {
				numbers = append(numbers, t.Partitions[k].Partition)
			}
		}
		if len(numbers) > 0 {
			summary := fmt.Sprintf(text, numbered(numbers), t.Name)
			found = append(found, Finding{Topic: t.Name, Value: float64(len(numbers)), Summary: summary})
		}
	}
	return found
}

func partitionOffline(s *monitor.Snapshot) ([]Finding, error) {
	return logs(s, "%s of %s without a leader", func(l *monitor.Log) bool {
		return l.Leader < 0 && !errors.Is(l.Err, kerr.UnknownTopicOrPartition)
	}), nil
}

func underReplicated(s *monitor.Snapshot) ([]Finding, error) {
	return logs(s, "%s of %s with fewer replicas in sync than it has", func(l *monitor.Log) bool {
		return l.Leader >= 0 && len(l.InSync) < len(l.Replicas)
	}), nil
}

// hangs is more than brokers allow a transaction by default, transaction.max.timeout.ms, and the time until they end it.
const hangs = 16 * time.Minute

func transactionHanging(s *monitor.Snapshot) ([]Finding, error) {
	return logs(s, "a transaction hangs on %s of %s", func(l *monitor.Log) bool {
		return l.Stable >= 0 && !l.OpenSince.IsZero() && s.At.Sub(l.OpenSince) > hangs
	}), nil
}

func monitorBlind(s *monitor.Snapshot) (found []Finding, err error) {
	if len(s.Problems) == 0 {
		return nil, nil
	}
	texts := make([]string, len(s.Problems))
	for i, p := range s.Problems {
		texts[i] = fmt.Sprintf("%s: %v", p.What, p.Err)
	}
	return []Finding{{Value: float64(len(s.Problems)), Summary: "the monitor cannot see " + strings.Join(texts, "; ")}}, nil
}
