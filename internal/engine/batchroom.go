package engine

import (
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// batchRoom is how many bytes topics take in a batch, of those that have refused one as too large. The client makes batches of up to a
// size of its own, so that this is no record's fault. Brokers are asked how much it is then, and from the next transaction on what was
// written for such a topic is sent before it comes to more. Sizes are those before compression. A record that is larger goes by itself, as
// it may be small enough when it is compressed; if it is not, it is known to be to blame. A batchRoom is not changed.
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
	n := encoded(r)
	own = alone || batchHeader+n > most
	apart = own || batchHeader+t.sent[r.Topic]+n > most
	if apart {
		clear(t.sent)
	}
	t.sent[r.Topic] += n
	return apart, own
}

// learnRoom asks how much a topic takes that has refused a batch of a transaction as too large, and tells whether there is something new
// in that, so that the next one is not refused for it.
func (e *Engine) learnRoom(t *transaction) bool {
	e.mu.Lock()
	topic, blamed := t.tooLarge, t.blamed
	e.unlock()
	if topic == "" || blamed {
		return false
	}
	ctx, cancel := context.WithTimeout(e.running, e.cfg.CommitTimeout)
	defer cancel()
	configs, err := e.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return false
	}
	for _, of := range configs {
		for _, c := range of.Configs {
			most, err := strconv.Atoi(c.MaybeValue())
			if c.Key != maxMessageBytes || err != nil || most <= 0 || most == e.batches[topic] {
				continue
			}
			e.log.Warn("a topic takes no batches as large as the client makes them; what is written for it goes in smaller ones from now "+
				"on: lower batch.size, or raise the topic's max.message.bytes", "event", "batches_limited",
				"topic", topic, "max_message_bytes", most)
			room := maps.Clone(e.batches)
			room[topic] = most
			e.mu.Lock()
			e.batches = room
			e.unlock()
			return true
		}
	}
	return false
}

// notes are what health says of it. Under mu.
func (room batchRoom) notes() (notes []string) {
	for topic, most := range room {
		notes = append(notes, fmt.Sprintf("%s takes batches of up to %d bytes (%s) alone, so that what is written for it goes in more of "+
			"them; lower batch.size, or raise that", topic, most, maxMessageBytes))
	}
	return notes
}
