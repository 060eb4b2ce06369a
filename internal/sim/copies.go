package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
)

// delays decides on retry topics, and takes out what does not go together with them, or with what the oracle knows of them. It has dice
// of its own, as more has.
func (s *scenario) delays(d dice) {
	if s.theme == themeSteady || s.stream || s.stuck.After > 0 || !d.chance(20) {
		return
	}
	s.retries = pick(d, []time.Duration{time.Second}, []time.Duration{4 * time.Second}, []time.Duration{time.Second, 3 * time.Second},
		[]time.Duration{2 * time.Second, 10 * time.Second})
	for _, delay := range s.retries {
		s.topics = append(s.topics, fmt.Sprintf("%s.%s.retry.%v", topic, group, delay))
	}
	s.failure = sluice.DeadLetter{Topic: deadLetters}
	if s.attempts == 0 {
		s.attempts = pick(d, 1, 2, 3)
		s.breaker = pick(d, -1, 0, 5)
		if s.plain { // without a breaker, nobody could tell that no record is to blame
			s.breaker = 0
		}
	}
	if s.breaker < 0 && d.chance(50) {
		s.breaker = pick(d, 0, 5)
	}
	if s.breaker >= 0 && d.chance(50) { // an outage that is not named, when there are copies
		s.plain = true
		from := d.between(s.length/4, s.length)
		s.outages = append(s.outages, window{from, from + d.between(3*time.Second, 20*time.Second)})
	}
	if s.batch == 0 && d.chance(30) {
		s.batch, s.wait = pick(d, 5, 50), pick(d, 0, 300*time.Millisecond)
	}
	if s.commit.before || s.commit.manual {
		s.commit = commitPlan{name: "every 200ms", policy: sluice.Every(200 * time.Millisecond)}
	}
	s.grows, s.truncate = 0, false
	s.faults = slices.DeleteFunc(s.faults, func(f fault) bool { return f.what == move || f.what == grow || f.what == truncate })
	for _, f := range s.feeds {
		for i := range f.records {
			r := &f.records[i]
			r.partition %= s.partitions
			if r.kind == fails || r.kind == failsLater {
				r.kind, r.times = pick(d, r.kind, r.kind, failsAlways), 1+d.IntN(3+s.attempts)
			}
		}
	}
}

// log is the number of a partition among all that the group reads: those of the topic first, then those of each retry topic.
func (s *scenario) log(name string, partition int32) int32 {
	return s.most()*int32(slices.Index(s.topics, name)) + partition
}

// logs is how many partitions the group reads.
func (s *scenario) logs() int32 { return s.most() * int32(len(s.topics)) }

// written are the topics that members write to.
func (s *scenario) written() []string {
	if s.transacts() {
		return []string{answerTopic, deadLetters}
	}
	return append(slices.Clone(s.topics[1:]), deadLetters)
}

// place is the partition of a number.
func (s *scenario) place(log int32) (name string, partition int32) {
	return s.topics[log/s.most()], log % s.most()
}

// mark is the header that says which of the oracle's records a copy or a dead letter was made of, and by whom. The engine takes along
// what it does not know.
const mark = "sim"

// marked are a record's headers with another mark.
func marked(k *kgo.Record, id, by string) []kgo.RecordHeader {
	hs := slices.DeleteFunc(slices.Clone(k.Headers), func(h kgo.RecordHeader) bool { return h.Key == mark })
	return append(hs, kgo.RecordHeader{Key: mark, Value: fmt.Appendf(nil, "@%s@%s@", id, by)})
}

// idOf is the number of the oracle's record that a record is: that of its mark, or else of its value; "" when it has none.
func idOf(k *kgo.Record) string {
	for _, h := range k.Headers {
		if h.Key == mark {
			return strings.Split(string(h.Value), "@")[1]
		}
	}
	found := idForm.FindSubmatch(k.Value)
	if found == nil {
		return ""
	}
	return string(found[1])
}

// marking is a client's hook that marks the copies that a process reads and writes. To its handlers a copy is its source record.
type marking struct{ p *process }

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (m marking) OnFetchRecordUnbuffered(k *kgo.Record, polled bool) {
	if polled && k.Topic != topic {
		k.Headers = marked(k, strconv.Itoa(m.p.w.found(k).id), "")
	}
}

// OnProduceRecordBuffered implements kgo.HookProduceRecordBuffered.
func (m marking) OnProduceRecordBuffered(k *kgo.Record) { k.Headers = marked(k, idOf(k), m.p.name) }

// markForm finds the marks in a batch.
var markForm = regexp.MustCompile(`@(\d+)@(p\d+)@`)

// found is the oracle's record of a copy that somebody was given.
func (w *world) found(k *kgo.Record) *record {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.scenario.log(k.Topic, k.Partition)
	if known := w.ledger.at(log, k.Offset); known != nil {
		return known
	}
	of := w.recordOf(idOf(k))
	plan := of.recordPlan
	plan.partition, plan.times = log, max(0, of.times-of.failures)
	if plan.kind == hangs || plan.kind == stubborn {
		plan.kind, plan.takes = succeeds, 0
	}
	r := w.ledger.add(w.scenario, plan)
	r.of, r.level = of, of.level+1
	r.due = later(of.gaveUp, k.Timestamp).Add(w.scenario.retries[of.level])
	w.ledger.place(r, k.Offset)
	w.ledger.copies++
	of.copies = append(of.copies, r)
	w.trace.notef("retry", "%v is there", r)
	var by []*tenure
	for _, t := range of.given {
		if !slices.Contains(by, t) {
			by = append(by, t)
		}
	}
	if len(of.copies) > len(by) || w.scenario.topics[r.level] != k.Topic {
		w.failLockedf("duplicate: %v is copy %d in %s, and %d assignments gave the record up", r, len(of.copies), k.Topic, len(by))
	}
	return r
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// passOn notes that the copy of a record, by some process, reached a retry topic: that finishes the record.
func (w *world) passOn(r *record, by, to string) {
	if len(r.given) == 0 || !w.outlived(r.blamed) && (r.poisonous() || r.faults == 0) {
		w.failLockedf("invariant 2: %v goes on to %s after %d calls, and of its failures %d were its own", r, to, r.calls, r.faults)
	}
	for _, t := range slices.Backward(r.given) {
		if t.process.name == by && !r.finishedBy(t) {
			w.trace.notef(by, "%v goes on to %s", r, to)
			w.ledger.finish(r, t)
			r.finished[len(r.finished)-1].copied = true
			return
		}
	}
}

// early checks that a copy has waited for its delay. Timestamps are of whole milliseconds.
func (c *call) early(r *record) {
	if left := time.Until(r.due); left > time.Millisecond {
		c.p.w.failLockedf("invariant 5: %s handles %v, which is due in %v", c.p.name, r, left)
	}
}

// unseen is the first offset of a range of a retry topic that nobody was given; -1 when there is none.
func (l *ledger) unseen(log int32, from, to int64) int64 {
	for o := max(0, from); o < to; o++ {
		if l.at(log, o) == nil {
			return o
		}
	}
	return -1
}

// astray is a record that is finished only because it went on to a retry topic, where no copy of it is; nil when there is none.
func (l *ledger) astray() *record {
	for _, r := range l.records {
		handled := func(f finish) bool { return !f.copied }
		if len(r.finished) > 0 && len(r.copies) == 0 && !slices.ContainsFunc(r.finished, handled) {
			return r
		}
	}
	return nil
}

// ends are how many records the retry topics' partitions have, by number.
func (w *world) ends() map[int32]int64 {
	ends := make(map[int32]int64)
	for _, name := range w.scenario.topics[1:] {
		for _, p := range w.PartitionInfos(name) {
			ends[w.scenario.log(name, p.Partition)] = p.HighWatermark
		}
	}
	return ends
}

// coming says which copies nobody was given yet; "" when there are none.
func (w *world) coming(ends map[int32]int64) string {
	for log, end := range ends {
		if o := w.ledger.unseen(log, 0, end); o >= 0 {
			return fmt.Sprintf("nobody was given offset %d of partition %d", o, log)
		}
	}
	if r := w.ledger.astray(); r != nil {
		return fmt.Sprintf("%v went on to a retry topic, and no copy of it is there", r)
	}
	return ""
}
