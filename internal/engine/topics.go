package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// The client says nothing of a partition whose fetches bring nothing, nor, in some cases, of a topic that is gone. So once a minute
// the topics and their ends are asked for. It takes no timer: the group's heartbeats are the clock.

const (
	topicsEvery   = time.Minute
	topicsTimeout = 10 * time.Second
)

// topicTrouble is what is wrong with a topic that we have partitions of.
type topicTrouble struct {
	text   string
	remade bool // deleted and made again: the client never reads the new one
}

// beat comes with every answer of the group's coordinator. It takes no lock.
func (e *Engine) beat(now time.Time) {
	if last := e.topicsSeen.Load(); now.UnixNano()-last >= int64(topicsEvery) && e.topicsSeen.CompareAndSwap(last, now.UnixNano()) {
		e.lookAtTopicsSoon()
	}
}

func (e *Engine) lookAtTopicsSoon() {
	select {
	case e.topicsNow <- struct{}{}:
	default:
	}
}

// topicsLoop looks at the topics whenever it is asked to.
func (e *Engine) topicsLoop(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.topicsNow:
			e.lookAtTopics(ctx)
			e.lookAtMembers(ctx)
		case <-again:
		}
		again = nil
		if d := e.lookForOwnerless(ctx); d > 0 {
			again = time.After(d)
		}
	}
}

// lookAtTopics asks for the ids and the ends of the topics of our partitions.
func (e *Engine) lookAtTopics(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	ours := make(map[string]struct{})
	e.mu.Lock()
	for p := range e.parts {
		ours[p.topic] = struct{}{}
	}
	for t := range e.topicTrouble {
		ours[t] = struct{}{}
	}
	if len(ours) == 0 {
		e.forgetTotals()
		e.unlock()
		return
	}
	e.unlock()
	topics := make([]string, 0, len(ours))
	for t := range ours {
		topics = append(topics, t)
	}
	md, err := e.admin.Metadata(ctx, topics...)
	if err != nil {
		return // the group's silence, or the next look, will tell
	}
	list := e.admin.ListCommittedOffsets
	if e.cfg.ReadUncommitted {
		list = e.admin.ListEndOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		ends = nil
	}
	e.mu.Lock()
	defer e.unlock()
	for _, t := range md.Topics {
		e.judgeTopic(t)
	}
	now := time.Now()
	for p, a := range e.parts {
		if o, ok := ends.Lookup(p.topic, p.partition); ok && o.Err == nil && o.Offset > a.logEnd && a.tracker != nil {
			a.sawEnd(o.Offset, now)
		}
		e.watchForStall(a, now)
	}
	e.forgetTotals()
}

// judgeTopic takes in what the brokers say of a topic.
func (e *Engine) judgeTopic(t kadm.TopicDetail) {
	if t.Err != nil {
		text := e.explain(t.Err, t.Topic).Error()
		switch {
		case errors.Is(t.Err, kerr.UnknownTopicOrPartition), errors.Is(t.Err, kerr.UnknownTopicID):
			if e.routes[t.Topic] == nil && !e.has(t.Topic) { // a pattern's, which is let go
				delete(e.topicTrouble, t.Topic)
				return
			}
			text = "the topic does not exist any more; make it again and restart this process, or take it out of its route"
		case kerr.IsRetriable(t.Err):
			return
		}
		e.troubleTopic(t.Topic, topicTrouble{text: text})
		return
	}
	for _, a := range e.parts {
		was := a.work.TopicID
		if a.topic != t.Topic || a.tracker == nil || was == ([16]byte{}) || was == [16]byte(t.ID) || t.ID == (kadm.TopicID{}) {
			continue
		}
		err := fmt.Errorf("the topic was deleted and made again: its id was %s and is %s",
			hex.EncodeToString(was[:]), hex.EncodeToString(t.ID[:]))
		if e.cfg.HaltOnLoss || a.route.fenced() {
			if a.state == open {
				e.halt(a, a.tracker.Next(), err)
			}
			continue
		}
		e.troubleTopic(t.Topic, topicTrouble{
			text: err.Error() + "; nothing of the new one is read until this process is restarted", remade: true,
		})
		return
	}
	delete(e.topicTrouble, t.Topic)
}

// has tells whether we have a partition of a topic.
func (e *Engine) has(topic string) bool {
	for p := range e.parts {
		if p.topic == topic {
			return true
		}
	}
	return false
}

func (e *Engine) troubleTopic(topic string, trouble topicTrouble) {
	if e.topicTrouble[topic] != trouble {
		e.log.Error("topic cannot be read", "event", "topic_unreadable", "topic", topic, "reason", trouble.text)
	}
	e.topicTrouble[topic] = trouble
}
