package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

const (
	group       = "g"
	topic       = "orders"
	deadLetters = "orders.dlq"
)

// process is one life of a member.
type process struct {
	w    *world
	name string
	slot *slot
	link *bubble.Link
	app  *sluice.App
	end  context.CancelFunc
	over chan struct{} // closed when Run has returned

	// Guarded by world.mu.
	gone      bool // crashed: what it does from now on does not count
	stopped   time.Time
	err       error // of Run
	frozen    bool  // at least once
	thaws     time.Time
	member    string          // its id in the group, where it joins; a client that was made anew has another one
	joins     time.Time       // since when it waits for the others to join; zero it does not
	asked     map[int32]int64 // what it committed last
	askedAt   map[int32]time.Time
	stalled   time.Time // until when it gets no processor
	leaves    bool      // as a static member that has to
	kicked    time.Time // when it was told that it is no member
	calls     map[*call]struct{}
	tenures   map[int32]*tenure
	held      []*tenure // all that it ever had
	lanes     map[laneName]*record
	seeks     []*seek
	paused    map[int32]time.Time // since when
	resumed   map[int32]time.Time // the last time
	running   int
	saturated time.Time // the last time that every worker was busy
}

// slot is a place for a process.
type slot struct {
	name    string
	wanted  bool
	current *process
}

// start begins a new life in a slot.
func (w *world) start(s *slot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := s.current; w.ending || !s.wanted || c != nil && !c.gone && (c.stopped.IsZero() || w.scenario.static && w.alive[c.name] == c) {
		return // of a static member's processes, the next one waits for the end of the last: it would be thrown out else
	}
	w.processes++
	p := &process{
		w: w, name: fmt.Sprintf("p%d", w.processes), slot: s, link: w.NewLink(), over: make(chan struct{}),
		tenures: make(map[int32]*tenure), lanes: make(map[laneName]*record), asked: make(map[int32]int64),
		askedAt: make(map[int32]time.Time), calls: make(map[*call]struct{}),
		paused: make(map[int32]time.Time), resumed: make(map[int32]time.Time),
	}
	app, err := p.make()
	if err != nil {
		w.failLockedf("setup: %v", err)
		return
	}
	p.app, s.current = app, p
	w.alive[p.name] = p
	ctx, cancel := context.WithCancel(context.Background())
	p.end = cancel
	w.trace.notef(p.name, "starts in %s", s.name)
	w.spawn(func() { p.run(ctx) })
}

// run is the process' life.
func (p *process) run(ctx context.Context) {
	w := p.w
	if w.scenario.commit.manual {
		w.spawn(p.commitNowAndThen)
	}
	err := p.app.Run(ctx)
	close(p.over)
	w.mu.Lock()
	p.err = err
	delete(w.alive, p.name)
	gone, stopped, again := p.gone, p.stopped, p.slot.wanted && !w.ending && p.slot.current == p
	took := time.Since(stopped)
	w.mu.Unlock()
	w.trace.notef(p.name, "Run returned: %v", err)
	w.expel(p)
	switch {
	case gone:
	case stopped.IsZero(): // it could not start, as a broker said no: whoever supervises it starts it again
		w.mu.Lock()
		p.stopped = time.Now()
		w.mu.Unlock()
	default:
		if most := w.scenario.drain + w.scenario.commitTimeout + 3*time.Second; took > most {
			w.failf("invariant 10: Run of %s returned after %v, the deadline is %v", p.name, took, most)
		}
		if err == nil {
			p.left(took)
		}
	}
	if again {
		w.after(500*time.Millisecond, func() { w.start(p.slot) })
	}
}

// commitNowAndThen commits where nobody else does.
func (p *process) commitNowAndThen() {
	for {
		select {
		case <-p.over:
			return
		case <-time.After(700 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := p.app.Commit(ctx); err != nil {
			p.w.trace.notef(p.name, "Commit: %v", err)
		}
		cancel()
	}
}

// left checks what a clean stop promises.
func (p *process) left(took time.Duration) {
	w := p.w
	info := w.GroupInfo(group)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, t := range p.held {
		again := slices.ContainsFunc(p.held[i+1:], func(o *tenure) bool { return o.partition == t.partition })
		if again || t.ended.Before(p.stopped) || w.scenario.commit.before {
			continue
		}
		name, partition := w.scenario.place(t.partition)
		if at := info.Commits[name][partition].Offset; at < t.frontier {
			w.failLockedf("invariant 10: Run of %s returned nil, and of partition %d only %d is committed, not its frontier, %d",
				p.name, t.partition, at, t.frontier)
		}
	}
	if p.running > 0 {
		w.failLockedf("invariant 10: Run of %s returned nil while %d handlers run", p.name, p.running)
	}
	// Else the time was up, or the coordinator refused it, and the group waits for the session's end.
	leaves := took < w.scenario.drain+w.scenario.commitTimeout && time.Now().After(w.troubleUntil) && p.kicked.IsZero()
	had := slices.ContainsFunc(p.held, func(t *tenure) bool { return t.given && !t.ended.Before(p.stopped) })
	stays := slices.ContainsFunc(info.Members, func(m kfake.GroupMember) bool { // a client that was given up and could not leave has said so then
		if w.scenario.static { // or who has taken its place under its id
			return m.InstanceID != nil && *m.InstanceID == w.instance(p.slot)
		}
		return m.ClientID == p.name && (p.member == "" || p.member == m.MemberID)
	})
	switch {
	case !leaves:
	case w.scenario.static && had && !stays && !p.frozen && !p.leaves:
		w.failLockedf("static: %s stopped cleanly, and the group has forgotten it: a restart is to move no partition", p.name)
	case !w.scenario.static && stays:
		w.failLockedf("invariant 10: %s stopped cleanly, and is a member of the group still", p.name)
	}
}

// stop begins a clean stop.
func (p *process) stop() {
	p.w.mu.Lock()
	if p.stopped.IsZero() {
		p.stopped = time.Now()
	}
	p.w.mu.Unlock()
	p.w.trace.notef(p.name, "is stopped")
	p.end()
}

// crash ends the process as a SIGKILL does.
func (p *process) crash() {
	p.w.mu.Lock()
	p.gone = true
	for _, t := range p.held {
		t.pardon("crash")
	}
	p.w.mu.Unlock()
	p.w.trace.notef(p.name, "crashes")
	p.link.Cut()
	p.app.Abort()
	p.end()
}
