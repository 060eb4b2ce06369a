package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batchRoom is how many bytes topics take in a batch, of those that have refused one as too large, and take less than the client makes.
// That is no record's fault. Brokers are asked how much it is then, and now and then again. From the next transaction on what was written
// for such a topic is sent before it comes to more. Sizes are those before compression. A record that is larger goes by itself, as it may
// be small enough when it is compressed; if it is not, it is known to be to blame. A batchRoom is not changed.
type batchRoom map[string]int

// maxMessageBytes is what brokers call it.
const maxMessageBytes = "max.message.bytes"

// What a batch takes beside its records, and a record and each of its headers beside their bytes, at the most.
const (
	batchHeader      = 61
	encodedOverhead  = 36
	encodedPerHeader = 10
)

// encoded is how much room a record takes in a batch, at the most.
func encoded(r *kgo.Record) int {
	n := encodedOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += encodedPerHeader + len(h.Key) + len(h.Value)
	}
	return n
}

// bounds tells whether one of some records is for a topic that has a bound.
func (room batchRoom) bounds(records []*kgo.Record) bool {
	if len(room) == 0 {
		return false
	}
	for _, r := range records {
		if room[r.Topic] > 0 {
			return true
		}
	}
	return false
}

// placed tells whether a record has to be in no batch with what was written before it, and whether in one of its own: where its source
// record asks for that, or as it is larger than its topic's bound. The gate is held alone, save where neither can be.
func (t *transaction) placed(r *kgo.Record, alone bool) (apart, own bool) {
	most := t.room[r.Topic]
	if most == 0 {
		return alone, alone
	}
	n := encoded(r) + t.extra[r.Topic]
	own = alone || batchHeader+n > most
	apart = own || batchHeader+t.sent[r.Topic]+n > most
	if apart {
		clear(t.sent)
	}
	return apart, own
}

// given notes the room of a record that the client was given just now. Its hooks may have added headers, as those of package tracing do:
// bare is what it took without. What they add cannot be known before, so the most that was seen of the topic is counted for its next one,
// until it is asked again how much it takes. The gate is held alone, save where the topic has no bound.
func (t *transaction) given(r *kgo.Record, bare int) {
	if t.room[r.Topic] == 0 {
		return
	}
	n := encoded(r)
	t.sent[r.Topic] += n
	t.extra[r.Topic] = max(t.extra[r.Topic], n-bare)
}

// learnRoom asks how much a topic takes that has refused a batch of a transaction as too large, and tells whether there is something new
// in that, so that the next one is not refused for it. It may have been the client that did not take a record: then there is not, unless
// the topic takes less than the client does.
func (e *Engine) learnRoom(t *transaction) bool {
	e.mu.Lock()
	topic, blamed := t.tooLarge, t.blamed
	e.unlock()
	return topic != "" && !blamed && e.askRoom(topic)
}

// askEvery is how often topics are asked again: their operator may have changed how much they take.
const askEvery = time.Minute

// askAgain has topics that have a bound asked again now and then, between two transactions. Under mu.
func (e *Engine) askAgain() {
	now := time.Now()
	if len(e.batches) == 0 || now.Before(e.askAt) {
		return
	}
	e.askAt, e.extra = now.Add(askEvery), nil
	topics := slices.Collect(maps.Keys(e.batches))
	e.spawn(func() { e.askRoom(topics...) })
}

// askRoom asks how much topics take, and tells whether one of them has another bound now.
func (e *Engine) askRoom(topics ...string) (changed bool) {
	ctx, cancel := context.WithTimeout(e.running, e.cfg.CommitTimeout)
	defer cancel()
	configs, err := e.admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return false
	}
	made, _ := e.client.OptValue(kgo.ProducerBatchMaxBytes).(int32)
	for _, of := range configs {
		for _, c := range of.Configs {
			most, err := strconv.Atoi(c.MaybeValue())
			if c.Key != maxMessageBytes || err != nil || most <= 0 {
				continue
			}
			if most >= int(made) {
				most = 0
			}
			changed = e.bound(of.Name, most) || changed
		}
	}
	return changed
}

// bound sets how much a topic takes, 0 for all that the client makes, and tells whether that is new.
func (e *Engine) bound(topic string, most int) bool {
	e.mu.Lock()
	defer e.unlock()
	if most == e.batches[topic] {
		return false
	}
	room := maps.Clone(e.batches)
	if most == 0 {
		delete(room, topic)
		e.log.Info("a topic takes batches as large as the client makes them again", "event", "batches_unlimited", "topic", topic)
	} else {
		room[topic] = most
		e.log.Warn("a topic takes no batches as large as the client makes them; what is written for it goes in smaller ones from now "+
			"on: lower batch.size, or raise the topic's max.message.bytes", "event", "batches_limited",
			"topic", topic, "max_message_bytes", most)
	}
	e.batches, e.askAt = room, time.Now().Add(askEvery)
	return true
}

// notes are what health says of it. Under mu.
func (room batchRoom) notes() (notes []string) {
	for topic, most := range room {
		notes = append(notes, fmt.Sprintf("%s takes batches of up to %d bytes (%s) alone, so that what is written for it goes in more of "+
			"them; lower batch.size, or raise that", topic, most, maxMessageBytes))
	}
	return notes
}
