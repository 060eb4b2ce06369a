package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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
	joins     time.Time       // since when it waits for the others to join; zero it does not
	asked     map[int32]int64 // what it committed last
	askedAt   map[int32]time.Time
	stalled   time.Time // until when it gets no processor
	kicked    time.Time // when it was told that it is no member
	calls     map[*call]struct{}
	tenures   map[int32]*tenure
	held      []*tenure // all that it ever had
	lanes     map[laneName]*record
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
	if w.ending || !s.wanted || (s.current != nil && !s.current.gone && s.current.stopped.IsZero()) {
		return
	}
	w.processes++
	p := &process{
		w: w, name: fmt.Sprintf("p%d", w.processes), slot: s, link: w.NewLink(), over: make(chan struct{}),
		tenures: make(map[int32]*tenure), lanes: make(map[laneName]*record), asked: make(map[int32]int64),
		askedAt: make(map[int32]time.Time), calls: make(map[*call]struct{}),
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

func (p *process) make() (*sluice.App, error) {
	cfg, err := p.config()
	if err != nil {
		return nil, err
	}
	app, err := sluice.New(cfg)
	if err != nil {
		return nil, err
	}
	return app, p.route(app)
}

func (p *process) config() (sluice.Config, error) {
	s := p.w.scenario
	cfg, err := sluice.FromProperties(strings.NewReader("compression.type=none")) // the oracle reads dead letters off the wire
	if err != nil {
		return cfg, err
	}
	cfg.Brokers, cfg.Group, cfg.ClientID = p.w.addresses, group, p.name
	cfg.ClientOptions = []kgo.Opt{kgo.Dialer(p.link.Dial), kgo.WithHooks(stalling{p})}
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.Network.MetadataMaxAge = 15 * time.Second // new partitions are seen within it
	cfg.RebalanceTimeout = s.rebalance
	cfg.DrainTimeout, cfg.CommitTimeout = s.drain, s.commitTimeout
	cfg.Events = sluice.Events{
		Assigned: p.assigned, Released: p.released, DrainOverran: p.overran, CommitFailed: p.commitFailed, Committed: p.committed,
	}
	if p.w.trace.live != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(p.w.trace, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: noTime})).With("p", p.name)
	}
	switch s.protocol {
	case consumer: // the brokers have the session's limit
		cfg.GroupProtocol = sluice.ConsumerProtocol
	case eager:
		cfg.Assignors, cfg.SessionTimeout = []sluice.Assignor{sluice.Range}, s.session
	case cooperative:
		cfg.SessionTimeout = s.session
	}
	return cfg, nil
}

// stalling is a client's hook that holds up the goroutine that polls, when it has records in its hand.
type stalling struct{ p *process }

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (s stalling) OnFetchRecordUnbuffered(*kgo.Record, bool) {
	s.p.w.mu.Lock()
	d := time.Until(s.p.stalled)
	s.p.w.mu.Unlock()
	if d > 0 {
		s.p.w.trace.notef(s.p.name, "stalls for %v with records in its hand", d)
		s.p.w.sleep(d)
	}
}

func noTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func (p *process) route(app *sluice.App) error {
	s := p.w.scenario
	policy := sluice.Policy{
		Ordering: s.ordering, Workers: s.workers, Commit: s.commit.policy, OnFailure: s.failure,
		// No breaker: the oracle knows what becomes of a record by its own calls, and not by those of others.
		Retry: sluice.Retry{MaxAttempts: s.attempts, Backoff: s.backoff, MaxBackoff: 4 * time.Second, Breaker: -1},
	}
	if s.batch > 0 {
		return sluice.AddBatch(app, sluice.BatchRoute[*record]{
			Topics: []string{topic}, Decode: p.decode, Handle: p.handleBatch, MaxSize: s.batch, MaxWait: s.wait, Policy: policy,
		})
	}
	return sluice.Add(app, sluice.Route[*record]{Topics: []string{topic}, Decode: p.decode, Handle: p.handle, Policy: policy})
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
	gone, stopped, again := p.gone, p.stopped, p.slot.wanted && !w.ending
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
	for _, t := range p.held {
		if t.ended.Before(p.stopped) || w.scenario.commit.before {
			continue
		}
		if at := info.Commits[topic][t.partition].Offset; at < t.frontier {
			w.failLockedf("invariant 10: Run of %s returned nil, and of partition %d only %d is committed, not its frontier, %d",
				p.name, t.partition, at, t.frontier)
		}
	}
	if p.running > 0 {
		w.failLockedf("invariant 10: Run of %s returned nil while %d handlers run", p.name, p.running)
	}
	// Else the time was up, or the coordinator refused it, and the group waits for the session's end.
	leaves := took < w.scenario.drain+w.scenario.commitTimeout && time.Now().After(w.troubleUntil) && p.kicked.IsZero()
	for _, m := range info.Members {
		if m.ClientID == p.name && leaves {
			w.failLockedf("invariant 10: %s stopped cleanly, and is a member of the group still", p.name)
		}
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

func (p *process) assigned(i sluice.AssignedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.gone {
		return
	}
	t := &tenure{process: p, partition: i.Partition, epoch: i.Epoch, began: time.Now(), atLeast: w.commits.at(i.Partition)}
	if time.Now().Before(w.troubleUntil) {
		t.pardon(w.trouble)
	}
	if time.Since(p.kicked) < 10*time.Second { // it may have been on its way already
		t.pardon("thrown out")
	}
	p.tenures[i.Partition] = t
	p.held = append(p.held, t)
	w.tenures = append(w.tenures, t)
	w.trace.notef(p.name, "has partition %d, epoch %d", i.Partition, i.Epoch)
}

func (p *process) released(i sluice.ReleasedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range p.held {
		if t.epoch != i.Epoch {
			continue
		}
		t.ended, t.frontier, t.given = time.Now(), i.Frontier, !i.Lost
		if p.tenures[i.Partition] == t {
			delete(p.tenures, i.Partition)
		}
		w.trace.notef(p.name, "lets go of partition %d, epoch %d, frontier %d, lost %v (excuse %q)", i.Partition, i.Epoch, i.Frontier, i.Lost, t.excuse)
		p.waited()
		if at := p.askedAt[i.Partition]; i.Lost && at.After(p.kicked) && p.kicked.After(t.began) && !p.gone && !p.gaveUpSince(p.kicked) {
			w.failLockedf("invariant 3: %s committed partition %d %v after it had lost it", p.name, i.Partition, at.Sub(p.kicked))
		}
		if i.Lost && t.excuse == "" && !p.gone {
			w.failLockedf("invariant 6: %s lost partition %d for no reason", p.name, i.Partition)
		}
	}
}

// gaveUpSince tells whether a partition was revoked: while that lasts, the client tells of no loss.
func (p *process) gaveUpSince(at time.Time) bool {
	return slices.ContainsFunc(p.held, func(t *tenure) bool { return t.given && !t.ended.Before(at) })
}

func (p *process) overran(i sluice.DrainOverranInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	p.tenures[i.Partition].pardon("overran")
	for c := range p.calls {
		if d := time.Since(c.began); c.t == p.tenures[i.Partition] && d < w.scenario.drain && !p.gone && !w.scenario.commit.before && !w.failed {
			w.failLockedf("invariant 4: a drain of partition %d gave up on %v, which runs for %v in %s", i.Partition, c.messages[0].Value, d, p.name)
		}
	}
	w.trace.notef(p.name, "drain of partition %d overran: %v", i.Partition, i.Offsets)
}

func (p *process) commitFailed(i sluice.CommitFailedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range p.tenures {
		if t.excuse == "" {
			t.excuse = commitFailed
		}
	}
	w.trace.notef(p.name, "commit failed after %v: %v", i.Took, i.Err)
}

const commitFailed = "commit failed"

func (p *process) committed(i sluice.CommittedInfo) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range i.Offsets[topic] {
		t := p.tenures[n]
		if t == nil || p.gone {
			continue
		}
		if t.excuse == commitFailed {
			t.excuse = ""
		}
		t.recorded = time.Now().Add(-i.Took)
	}
	w.trace.notef(p.name, "committed %v", i.Offsets[topic])
}

var idForm = regexp.MustCompile(`#(\d+)#`)

func value(id int) []byte { return fmt.Appendf(nil, "#%d#", id) }

// decode finds the record of a value.
func (p *process) decode(rec *kgo.Record) (*record, error) {
	w := p.w
	found := idForm.FindSubmatch(rec.Value)
	if found == nil {
		p.w.failf("a record of an aborted transaction was delivered: offset %d of partition %d", rec.Offset, rec.Partition)
		return nil, errGone
	}
	id, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.ledger.records[id]
	w.ledger.place(r, rec.Offset)
	if r.kind == undecodable {
		p.give(r, p.tenures[r.partition])
		return nil, errors.New("no such thing")
	}
	return r, nil
}
