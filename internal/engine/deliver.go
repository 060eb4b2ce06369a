package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Deliver runs records through cfg's routes as Run would, without a client: on the caller's goroutine, without a commit, and without
// waiting. It is for tests of handlers. Where lanes wait to be tried again, it asks again for their first records, and goes on at
// once with those that it allows; it returns when nothing can run any more. The routes are changed, and are not to be used elsewhere.
func Deliver(cfg Config, records []*kgo.Record, again func(*kgo.Record) bool) error {
	for _, r := range cfg.Routes {
		if r.fenced() {
			return errors.New("a route with Offsets begins where its sink says, so it cannot do without one")
		}
		r.Workers = 0 // none is hired: the caller works
		r.CommitEach, r.CommitFirst, r.CommitInterval, r.CommitRecords = false, false, 0, 0
		r.MaxWait, r.Breaker, r.StuckAfter = 0, 0, 0
		r.RetryTopics = nil // nothing is read from there
	}
	e, err := New(cfg)
	if err != nil {
		return err
	}
	defer e.cancelClient()
	for _, r := range records {
		if e.RouteOf(r.Topic) == nil {
			return fmt.Errorf("no pattern matches the topic %q: it is Kafka's own, or that of the route's dead letters", r.Topic)
		}
	}
	e.still = true
	e.give(records)
	defer func() {
		e.mu.Lock()
		defer e.unlock()
		for _, a := range e.parts {
			e.close(a, ErrStopped)
		}
	}()
	for {
		for _, rt := range cfg.Routes {
			r := new(run)
			for more := e.first(rt, r); more; {
				if rt.HandleBatch != nil {
					more = e.runBatch(rt, r)
				} else {
					more = e.runRecords(rt, r)
				}
			}
		}
		if !e.wake(again) {
			return nil
		}
	}
}

// give opens an assignment a partition, in the order of their first records, and hands the records over.
func (e *Engine) give(records []*kgo.Record) {
	e.mu.Lock()
	defer e.unlock()
	var order []part
	parts := make(map[part][]*kgo.Record)
	for _, r := range records {
		p := part{r.Topic, r.Partition}
		if parts[p] == nil {
			order = append(order, p)
		}
		parts[p] = append(parts[p], r)
	}
	for _, p := range order {
		a := e.newAssignment(p, e.RouteOf(p.topic))
		a.start(position{next: parts[p][0].Offset, epoch: -1, committed: -1})
		e.takeRecords(a, parts[p])
	}
}

// wake makes the parked lane ready that is due first, as if the time had come for all that waits in it; false when there is none
// that again allows.
func (e *Engine) wake(again func(*kgo.Record) bool) bool {
	e.mu.Lock()
	defer e.unlock()
	var first *lane
	for _, a := range e.parts {
		for l := range a.parked {
			head := l.queue.peek()[0]
			if again(head.record) && (first == nil || head.due().Before(first.queue.peek()[0].due())) {
				first = l
			}
		}
	}
	if first == nil {
		return false
	}
	first.timer.Stop()
	delete(first.a.parked, first)
	for _, it := range first.queue.peek() {
		if it.trouble != nil {
			it.trouble.due = time.Time{}
		}
	}
	e.makeReady(first)
	return true
}
