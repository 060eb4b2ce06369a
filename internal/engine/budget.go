package engine

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The budget, Config.MaxBytes, is divided so that what is held stays within it, and no partition waits for another:
//
//	1/8    one fetch: what the client buffers, and so what the next poll may bring. A poll waits until this much is free.
//	1/4    free for whoever comes first.
//	1/2    shared out evenly. Beyond the free quarter a partition is paused at half of its share, as a fetch may bring the
//	       other half, and resumed at a quarter of it.
//
// Fetches are asked for in compressed bytes, so their sizes follow from what a compressed byte came to until now.
const (
	fetchPart = 8
	freePart  = 4
	sharePart = 2

	recordOverhead = 200     // what a held record costs beside its payload
	batchOverhead  = 61      // what a batch costs on the wire beside its records
	smallestFetch  = 1 << 10 // a batch that is larger comes all the same

	// What a compressed byte is taken for before the first is seen, and at least later: another topic may compress better, and
	// its first fetch comes unannounced.
	firstExpansion = 64
	leastExpansion = 4
)

// SmallestBudget is the least that Config.MaxBytes may be: a fetch of an eighth of it has no room for much.
const SmallestBudget = 64 << 10

// FetchSizes are how much brokers are asked for, in bytes on the wire.
type FetchSizes struct {
	Most, MostOfPartition   int32
	Fixed, FixedOfPartition bool // always as much; else at most, and less as the budget demands
}

// full tells that nothing is polled until something is finished: a poll may bring more than there is room for. A partition counts
// with no more than it may take, so that one whose batch alone is too large does not stop the others.
func (e *Engine) full() bool {
	room := e.cfg.MaxBytes - e.cfg.MaxBytes/fetchPart
	if e.heldBytes <= room {
		return false
	}
	held, most := e.heldBytes, e.cfg.MaxBytes/freePart+e.share()
	for _, a := range e.parts {
		held -= max(0, a.heldBytes-most)
	}
	return held > room
}

// scarce tells that partitions have to keep to their shares.
func (e *Engine) scarce() bool { return e.heldBytes > e.cfg.MaxBytes/freePart }

// share is what one partition may come to hold, however much the others do.
func (e *Engine) share() int64 { return e.cfg.MaxBytes / sharePart / int64(max(1, len(e.parts))) }

// restrain pauses a partition that holds its share. Its batch waits for no more records, as none come. What waits for its delay keeps
// to the share in any case, so that it never makes memory scarce for the others.
func (e *Engine) restrain(a *assignment) {
	if a.paused || !e.scarce() && a.delayed.len() == 0 || a.heldBytes <= e.share()/2 {
		return
	}
	a.paused = true
	e.pauseChange = append(e.pauseChange, a.part)
	if a.route.HandleBatch != nil && a.ready.len() > 0 {
		e.batchDue(a, true)
	}
}

// hold counts what is held in memory, and lets the poll loop look at it again.
func (e *Engine) hold(a *assignment, bytes int64, records int) {
	e.count(a, bytes, records)
	if bytes < 0 {
		e.freed(a)
	}
}

// count counts what is held in memory.
func (e *Engine) count(a *assignment, bytes int64, records int) {
	a.heldBytes += bytes
	a.heldRecords += records
	e.heldBytes += bytes
	e.heldRecords += records
}

// freed lets the poll loop look again at what is held.
func (e *Engine) freed(a *assignment) {
	e.resume(a)
	e.cond.Broadcast()
}

// resume has a paused partition fetched again, unless it still holds too much.
func (e *Engine) resume(a *assignment) {
	if _, rests := e.resting[a.part]; rests || e.owesStart(a) {
		return
	}
	if a.paused && a.state == open && a.heldBytes <= e.share()/4 {
		a.paused = false
		e.pauseChange = append(e.pauseChange, a.part)
		e.kick()
	}
}

// size is what a record is counted as.
func size(r *kgo.Record) int64 {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}

// fetchSizes are what the next fetches ask a broker for; together the brokers' answers come to an eighth of the budget. While
// memory is scarce, a partition's part comes to no more than half of its share.
func (e *Engine) fetchSizes(brokers int) (all, one int32) {
	expansion := e.expansion.largest()
	asked := func(bytes int64, most int32) int32 {
		return int32(min(max(smallestFetch, int64(float64(bytes)/expansion)), int64(most)))
	}
	s := e.cfg.Fetch
	all, one = s.Most, s.MostOfPartition
	if !s.Fixed {
		all = asked(e.cfg.MaxBytes/fetchPart/int64(max(1, min(brokers, len(e.parts)))), s.Most)
	}
	switch {
	case s.FixedOfPartition:
		return max(all, one), one
	case e.scarce():
		one = asked(e.share()/2, one)
	}
	return all, min(one, all)
}

// followBudget tells the client the sizes of its next fetches. Of the poll loop.
func (e *Engine) followBudget() {
	if s := e.cfg.Fetch; s.Fixed && s.FixedOfPartition {
		return
	}
	brokers := len(e.client.DiscoveredBrokers())
	e.mu.Lock()
	all, one := e.fetchSizes(brokers)
	e.unlock()
	e.client.UpdateFetchMaxBytes(all, one)
}

// expansion is what a byte on the wire came to in memory lately, by topic. The client tells it on goroutines of its own, so it
// has its own lock.
type expansion struct {
	mu     sync.Mutex
	topics map[string]*traffic
}

// traffic is bytes of a topic; older ones count for less.
type traffic struct{ wire, memory float64 }

// trafficWindow is how many bytes on the wire count.
const trafficWindow = 256 << 10

func (x *expansion) note(topic string, m kgo.FetchBatchMetrics) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.topics[topic]
	if t == nil {
		t = new(traffic)
		if x.topics == nil {
			x.topics = make(map[string]*traffic)
		}
		x.topics[topic] = t
	}
	if t.wire > trafficWindow {
		t.wire, t.memory = t.wire/2, t.memory/2
	}
	t.wire += float64(m.CompressedBytes + batchOverhead)
	t.memory += float64(m.UncompressedBytes + recordOverhead*m.NumRecords)
}

// largest is that of the topic where it is most.
func (x *expansion) largest() float64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.topics) == 0 {
		return firstExpansion
	}
	most := float64(leastExpansion)
	for _, t := range x.topics {
		most = max(most, t.memory/t.wire)
	}
	return most
}

// OnFetchBatchRead measures what a fetched batch comes to.
func (h hooks) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, m kgo.FetchBatchMetrics) {
	h.e.expansion.note(topic, m)
}
