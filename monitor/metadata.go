package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	metadataTries  = 3       // brokers that are asked for the metadata
	mostPartitions = 100_000 // of a topic, and of a group's commits: more are not watched
)

// metadata asks for the cluster and all its topics. Any broker knows them: when one does not answer soon, the next one is asked as well.
func (m *Monitor) metadata(ctx context.Context) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	type answer struct {
		resp *kmsg.MetadataResponse
		err  error
	}
	answers := make(chan answer, metadataTries)
	patience := time.NewTicker(m.cfg.Timeout / (metadataTries + 1))
	defer patience.Stop()
	var errs []error
	for asked := 0; len(errs) < metadataTries; {
		if asked < metadataTries {
			asked++
			m.asking.Go(func() {
				resp, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, m.client)
				answers <- answer{resp, err}
			})
		}
		select {
		case a := <-answers:
			if a.err == nil {
				return a.resp, nil
			}
			errs = append(errs, a.err)
		case <-patience.C:
		case <-ctx.Done(): // the client may wait for longer: requests wait in line for a connection
			return nil, errors.Join(append(errs, fmt.Errorf("no broker answers within %v: %w", m.cfg.Timeout, ctx.Err()))...)
		}
	}
	return nil, errors.Join(errs...)
}

// learn takes the metadata over.
func (r *round) learn(m *kmsg.MetadataResponse) {
	r.cluster.Controller = m.ControllerID
	if m.ClusterID != nil {
		r.cluster.ID = *m.ClusterID
	}
	for _, b := range m.Brokers {
		r.cluster.Brokers = append(r.cluster.Brokers, Broker{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: text(b.Rack)})
	}
	there := make(map[string]bool, len(m.Topics))
	clear(r.book.names)
	for i := range m.Topics {
		if t := &m.Topics[i]; t.Topic != nil {
			there[*t.Topic] = true
			r.book.names[t.TopicID] = *t.Topic
			if err := r.book.learn(*t.Topic, t); err != nil {
				r.problem("partitions", err)
			}
		}
	}
	for name, t := range r.book.topics {
		switch {
		case there[name]:
			t.missing = time.Time{}
		case t.missing.IsZero() && t.id != [16]byte{}:
			t.missing, t.err = r.at, errNotNamed
			t.blank()
			r.book.names[t.id] = name
		case r.at.Sub(t.missing) > r.cfg.Rules.Window || t.id == [16]byte{}: // without an ID, nobody knows whether it is made again
			delete(r.book.topics, name)
		default:
			r.book.names[t.id] = name
		}
	}
}

// errNotNamed is why a topic cannot be seen that was there a moment ago. A broker that has just begun may not know all topics yet.
var errNotNamed = errors.New("the metadata does not name the topic: it was deleted, may not be seen, or the broker does not know it yet")

// learn takes a topic over from the metadata, and returns what is wrong with it, or with one of its partitions.
func (b *book) learn(name string, m *kmsg.MetadataResponseTopic) (wrong error) {
	t := b.topics[name]
	if t == nil || t.id != m.TopicID && m.ErrorCode == 0 { // made again: nothing of what was known is true
		t = &topicBook{name: name, id: m.TopicID, logs: map[int32]*log{}}
		b.topics[name] = t
	}
	t.internal, t.err = m.IsInternal, kerr.ErrorForCode(m.ErrorCode)
	if len(m.Partitions) > mostPartitions {
		t.err = fmt.Errorf("it has %d partitions: at most %d of a topic are watched", len(m.Partitions), mostPartitions)
		m.Partitions = nil
		clear(t.logs)
	}
	t.blank() // but for what is named below
	for _, p := range m.Partitions {
		l := t.logs[p.Partition]
		if l == nil {
			l = &log{place: place{name, p.Partition}}
			l.blank()
			t.logs[p.Partition] = l
		}
		l.leader, l.replicas, l.inSync, l.err = p.Leader, p.Replicas, p.ISR, kerr.ErrorForCode(p.ErrorCode)
		if l.err == nil && l.leader < 0 {
			l.err = kerr.LeaderNotAvailable
		}
		if l.err != nil {
			wrong = fmt.Errorf("%s[%d]: %w", name, p.Partition, l.err)
		}
	}
	if t.err != nil {
		return fmt.Errorf("%s: %w", name, t.err)
	}
	return wrong
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
