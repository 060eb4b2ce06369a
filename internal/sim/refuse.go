package sim

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refusals decides which answers brokers refuse, as a topic's own rules have it: the handler succeeds, and nothing can be written of that. It
// has dice of its own, as more has.
func (s *scenario) refusals(d dice) {
	if !s.transacts() || s.failure == nil || !d.chance(40) {
		return
	}
	for _, f := range s.feeds {
		for i := range f.records {
			if r := &f.records[i]; r.kind == succeeds && d.chance(3) {
				r.kind = refused
			}
		}
	}
}

// refuse has brokers refuse every batch that has an answer in it which they do not take.
func (w *world) refuse() {
	for _, p := range w.PartitionInfos(answerTopic) {
		w.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: answerTopic, Partitions: []int32{p.Partition}, Err: kerr.InvalidRecord, Count: -1,
			When: func(req kmsg.Request) bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				for _, t := range req.(*kmsg.ProduceRequest).Topics {
					for _, o := range t.Partitions {
						if cmp.Or(t.Topic, w.names[t.TopicID]) == answerTopic && o.Partition == p.Partition && w.refuses(o.Records) {
							return true
						}
					}
				}
				return false
			},
		})
	}
}

// refuses tells whether a batch has an answer that brokers do not take.
func (w *world) refuses(batch []byte) bool {
	return slices.ContainsFunc(idForm.FindAllSubmatch(batch, -1), func(found [][]byte) bool {
		r := w.recordOf(string(found[1]))
		return r != nil && r.kind == refused
	})
}
