package monitor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// questionsAtOnce are under way to each broker: while one answer is read, the next one is made.
const questionsAtOnce = 2

// halvesARound are the portions of each broker that are halved in a round. One bad group in a portion takes nine.
const halvesARound = 40

// question is a request to one broker. kgo's own division of requests among brokers is not used: there, whoever is asked together waits for
// the slowest, and fails with it.
type question struct {
	broker  int32
	request kmsg.Request
	tell    func(reply) // under the round's lock
}

// reply is what a broker answered, when it was asked, and when it had answered. Either resp is nil, or err.
type reply struct {
	resp            kmsg.Response
	err             error
	asked, answered time.Time
}

// ask is a question whose answer has a known type. The answer is nil where the reply has an error.
func ask[R kmsg.Response](broker int32, request kmsg.Request, tell func(R, reply)) question {
	return question{broker, request, func(a reply) {
		resp, _ := a.resp.(R)
		tell(resp, a)
	}}
}

// step asks all questions and waits for the answers. No broker waits for another one.
func (r *round) step(ctx context.Context, questions ...question) {
	r.askAtOnce(ctx, questionsAtOnce, questions)
	for len(r.halves) > 0 { // one after the other: a broker that drops a connection drops all that is under way on it
		halves := r.halves
		r.halves = nil
		r.askAtOnce(ctx, 1, halves)
	}
}

func (r *round) askAtOnce(ctx context.Context, atOnce int, questions []question) {
	var wg sync.WaitGroup
	for _, p := range portions(questions, len(questions), func(q question) int32 { return q.broker }) {
		line := make(chan question, len(p.of))
		for _, q := range p.of {
			line <- q
		}
		close(line)
		for range atOnce {
			wg.Go(func() {
				for q := range line {
					r.put(ctx, q)
				}
			})
		}
	}
	wg.Wait()
}

// put puts a question to its broker. One that does not answer in time is asked nothing more in this round.
func (r *round) put(ctx context.Context, q question) {
	r.mu.Lock()
	a := reply{err: r.late[q.broker], asked: time.Now()}
	r.mu.Unlock()
	if a.err == nil {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		a.resp, a.err = r.client.Broker(int(q.broker)).RetriableRequest(ctx, q.request)
		a.answered = time.Now()
		late := ctx.Err() != nil
		cancel()
		switch {
		case a.err == nil:
		case late:
			a.err = fmt.Errorf("broker %d does not answer within %v: %w", q.broker, r.cfg.Timeout, a.err)
		default:
			a.err = fromBroker(q.broker, a.err)
		}
		if late && a.err != nil {
			r.mu.Lock()
			r.late[q.broker] = a.err
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	q.tell(a)
}

// halve has the two halves of a portion asked for by themselves, after a request for all of it has failed: one may be what the broker
// cannot tell of. ok is false where that is of no use, or has been done too often in this round.
func halve[T any](r *round, p portion[T], ask func(portion[T]) question) (ok bool) {
	if len(p.of) < 2 || r.late[p.broker] != nil || r.halved[p.broker] == halvesARound {
		return false
	}
	r.halved[p.broker]++
	half := len(p.of) / 2
	r.halves = append(r.halves, ask(portion[T]{p.broker, p.of[:half]}), ask(portion[T]{p.broker, p.of[half:]}))
	return true
}

// fromBroker names the broker that an error comes from.
func fromBroker(broker int32, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("broker %d: %w", broker, err)
}

// portion is what one broker is asked about in one request.
type portion[T any] struct {
	broker int32
	of     []T
}

// portions are all, by broker, at most that many in each; their order stays.
func portions[T any](all []T, most int, broker func(T) int32) (parts []portion[T]) {
	of := map[int32][]T{}
	for _, one := range all {
		of[broker(one)] = append(of[broker(one)], one)
	}
	for _, b := range slices.Sorted(maps.Keys(of)) {
		for part := range slices.Chunk(of[b], most) {
			parts = append(parts, portion[T]{b, part})
		}
	}
	return parts
}
