package sluice

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// teller runs the callbacks, one after the other, in the order in which the outcomes came. Its goroutine lives while there are any.
type teller struct {
	mu          sync.Mutex
	first, last *page     // what is to be told; nil: nothing
	free        []*page   // some, for use again
	left        []leaving // what the pages mean for slots; the goroutine tells them, so that the client's need not
	atOnce      int       // flushes that cannot wait for it
	running     bool
	id          uint64 // of the goroutine; 0: it has not begun

	unseen      int // failures of records without a callback
	firstUnseen error

	// The goroutine's own: the page that it is at, and which of it comes next.
	page *page
	next int
}

// page holds verdicts: a queue in one piece would be copied while it grows.
type page struct {
	verdicts [512]verdict
	n        int
	after    *page
}

const freePages = 64

// leaving is how many records of a slot have their outcome.
type leaving struct {
	slot *slot
	n    int64
}

// tell has a record's outcome told, and, with s, notes that it has left the slot.
func (o *outbox) tell(v verdict, s *slot) {
	t := &o.teller
	t.mu.Lock()
	p := t.last
	if p == nil || p.n == len(p.verdicts) {
		p = t.turn()
	}
	p.verdicts[p.n] = v
	p.n++
	atOnce := s != nil && t.atOnce > 0
	if s != nil && !atOnce {
		t.leave(s)
	}
	start := !t.running
	t.running = true
	t.mu.Unlock()
	if start {
		go o.callBack()
	}
	if atOnce {
		o.leaveAll([]leaving{{s, 1}})
	}
}

// turn adds a page. Called locked.
func (t *teller) turn() *page {
	var p *page
	if last := len(t.free) - 1; last >= 0 {
		p = t.free[last]
		t.free = t.free[:last]
	} else {
		p = new(page)
	}
	if t.last == nil {
		t.first = p
	} else {
		t.last.after = p
	}
	t.last = p
	return p
}

// leave notes a record that has left its slot. Called locked.
func (t *teller) leave(s *slot) {
	if last := len(t.left) - 1; last >= 0 && t.left[last].slot == s {
		t.left[last].n++
	} else {
		t.left = append(t.left, leaving{s, 1})
	}
}

// leaveAtOnce is called with 1 by who waits for slots, and with -1 when he waits no more: the goroutine that tells slots may
// itself be what waits, in a callback.
func (o *outbox) leaveAtOnce(n int) {
	t := &o.teller
	t.mu.Lock()
	t.atOnce += n
	left := t.left
	t.left = nil
	t.mu.Unlock()
	o.leaveAll(left)
}

func (o *outbox) leaveAll(left []leaving) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range left {
		o.leave(l.slot, l.n)
	}
}

// callBack runs callbacks until there are none. A callback that panics ends the program, as a goroutine that panics does: its
// stack says where. One that ends its goroutine (runtime.Goexit, as t.FailNow does) has another take over.
func (o *outbox) callBack() {
	ended := false
	defer func() {
		if !ended {
			go o.callBack()
		}
	}()
	t := &o.teller
	id := goroutine()
	t.mu.Lock()
	t.id = id
	t.mu.Unlock()
	for more := true; more; more = o.more() {
		for t.page != nil && t.next < t.page.n {
			t.next++
			t.call(&t.page.verdicts[t.next-1])
		}
	}
	ended = true
}

// more gives back the room of the page that was told, and goes to the next; without any, the goroutine ends.
func (o *outbox) more() bool {
	t := &o.teller
	told := t.page
	if told != nil {
		o.report(told.verdicts[:told.n])
	}
	t.mu.Lock()
	if told != nil {
		t.page, told.n, told.after = told.after, 0, nil
		if len(t.free) < freePages {
			t.free = append(t.free, told)
		}
	}
	if t.page == nil { // what was queued meanwhile
		t.page, t.first, t.last = t.first, nil, nil
	}
	t.next = 0
	if t.page == nil {
		t.running, t.id = false, 0
	}
	running, left := t.running, t.left
	t.left = nil
	t.mu.Unlock()
	if len(left) > 0 {
		o.leaveAll(left)
	}
	return running
}

// report gives back the room of what was told.
func (o *outbox) report(told []verdict) {
	var cost int64
	for i := range told {
		if d := told[i].delivery; d == nil {
			cost += told[i].cost
		} else {
			o.told(d)
		}
	}
	clear(told)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.release(cost)
}

// call runs one callback.
func (t *teller) call(v *verdict) {
	if v.record == nil { // of awaitTold
		v.done(nil, nil)
		return
	}
	failed := v.err()
	switch {
	case v.done != nil && failed != nil:
		v.done(v.record, failed)
	case v.done != nil:
		v.done(v.record, nil)
	case failed != nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.unseen == 0 {
			t.firstUnseen = failed
		}
		t.unseen++
	}
}

// inCallback says whether the caller runs within a callback of this producer.
func (t *teller) inCallback() bool {
	t.mu.Lock()
	id := t.id
	t.mu.Unlock()
	return id != 0 && id == goroutine()
}

// awaitTold waits until the callbacks of all outcomes have returned. From within a callback it does not: it would wait for
// itself.
func (o *outbox) awaitTold(ctx context.Context) error {
	t := &o.teller
	t.mu.Lock()
	running := t.running
	t.mu.Unlock()
	if !running || t.inCallback() {
		return nil
	}
	told := make(chan struct{})
	o.tell(verdict{done: func(*kgo.Record, error) { close(told) }}, nil)
	select {
	case <-told:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("callbacks are still running: %w", endOf(ctx))
	}
}

// unseenFailures are those of records without a callback, since they were asked for last.
func (t *teller) unseenFailures() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, first := t.unseen, t.firstUnseen
	t.unseen, t.firstUnseen = 0, nil
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d records without a callback failed, the first: %w", n, first)
}

// goroutine is the number of this goroutine, 0 if it cannot be told. Nothing but its own stack says on which goroutine a
// function runs, and a callback must not wait for callbacks.
func goroutine() uint64 {
	var buffer [64]byte
	text := strings.TrimPrefix(string(buffer[:runtime.Stack(buffer[:], false)]), "goroutine ")
	number, _, _ := strings.Cut(text, " ")
	id, _ := strconv.ParseUint(number, 10, 64)
	return id
}
