package sluice

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// meet has a topic looked for that records are sent to for the first time. The client would count how often brokers say that
// they do not know a topic, and then fail what it has for it, also while a topic that it did write to moves between brokers: it
// is told to be patient, and we look once. Called locked.
func (o *outbox) meet(topic string) {
	o.topic = topic
	if _, met := o.topics[topic]; !met {
		o.topics[topic] = struct{}{}
		o.looking.Go(func() { o.look(topic) })
	}
}

// look fails the records of a topic that does not exist. One that was made just now may not be known to every broker.
func (o *outbox) look(topic string) {
	admin := kadm.NewClient(o.client)
	for missing := 0; missing < topicTries; {
		switch err := o.find(admin, topic); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing++
		case err == nil:
			o.mu.Lock()
			delete(o.missing, topic)
			o.mu.Unlock()
			return
		}
		select {
		case <-o.open.Done():
			return
		case <-time.After(topicWait):
		}
	}
	o.mu.Lock()
	o.missing[topic] = struct{}{}
	delete(o.topics, topic) // it is looked for again when the next record comes
	o.topic = ""
	o.mu.Unlock()
	o.client.PurgeTopicsFromProducing(topic)
}

// find asks for a topic; nil when there is no reason to look further.
func (o *outbox) find(admin *kadm.Client, topic string) error {
	ctx, cancel := context.WithTimeout(o.open, checkTimeout)
	defer cancel()
	found, err := admin.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	if err := found.Topics[topic].Err; errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	return nil // what else there may be, the client tells
}

// isMissing says whether the client gave up a topic's records since there is no such topic.
func (o *outbox) isMissing(topic string, err error) bool {
	if err.Error() != purgedText {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, missing := o.missing[topic]
	return missing
}

// purgedText is what records fail with whose topic we had the client forget; it has no name for it.
const purgedText = "topic purged while buffered"
