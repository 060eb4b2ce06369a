package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
)

// fault is one thing that was broken, and mended again.
type fault struct {
	Kind   string    `json:"kind"`
	Target string    `json:"target"`
	Jobs   []string  `json:"jobs"` // that it hit
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"` // mended
}

// breaker makes faults until its time is up. Every lane makes one fault after the other; lanes go side by side, each with a random
// source of its own, so that a seed decides what each does, whatever the others' timing.
type breaker struct {
	world *world
	seed  uint64

	// all is held for reading by every fault, and for writing by the one that breaks everything.
	all sync.RWMutex

	any *rand.Rand // for what does not matter

	mu     sync.Mutex
	faults []fault
	failed error // the first: something could not be mended
}

// lane is a kind of faults and its pace.
type lane struct {
	name       string
	pauseFrom  time.Duration // between two faults
	pauseUntil time.Duration
	once       func(ctx context.Context, b *breaker, draw *draw) error
}

var lanes = []lane{
	{"kills of members", 3 * time.Second, 8 * time.Second, killMember},
	{"frozen members", 2 * time.Second, 6 * time.Second, freezeMember},
	{"rolling restarts", 15 * time.Second, 30 * time.Second, rollingRestart},
	{"brokers", 8 * time.Second, 16 * time.Second, breakBroker},
	{"databases", 10 * time.Second, 20 * time.Second, breakDatabase},
	{"networks", 6 * time.Second, 14 * time.Second, breakNetwork},
	{"partitions", 40 * time.Second, 80 * time.Second, addPartition},
}

// run makes faults until ctx ends, mends the last of them, and returns them all.
func (b *breaker) run(ctx context.Context, duration time.Duration) ([]fault, error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var running sync.WaitGroup
	for i, l := range lanes {
		running.Go(func() {
			draw := &draw{Rand: rand.New(rand.NewPCG(b.seed, uint64(i+1))), fleets: b.world.fleets}
			for idle(ctx, draw.between(l.pauseFrom, l.pauseUntil)) {
				b.all.RLock()
				err := l.once(ctx, b, draw)
				b.all.RUnlock()
				if err != nil {
					b.fail(fmt.Errorf("%s: %w", l.name, err))
					cancel()
				}
			}
		})
	}
	running.Go(func() {
		if idle(ctx, duration*6/10) {
			if err := b.everything(ctx); err != nil {
				b.fail(fmt.Errorf("everything at once: %w", err))
				cancel()
			}
		}
	})
	running.Wait()
	return b.faults, b.failed
}

// idle waits, and is false when the context ended.
func idle(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// hold waits whatever happens: what is broken stays so for as long as was decided.
func hold(d time.Duration) { idle(context.Background(), d) }

func (b *breaker) note(kind, target string, jobs []string, from time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := fault{Kind: kind, Target: target, Jobs: jobs, From: from, Until: time.Now()}
	b.faults = append(b.faults, f)
	b.world.sayf("%s: %s, %.1f s", kind, target, f.Until.Sub(f.From).Seconds())
}

func (b *breaker) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed == nil {
		b.failed = err
	}
}

// killMember ends a member with SIGKILL, and starts another in its place after a while.
func killMember(_ context.Context, b *breaker, draw *draw) error {
	f, down := draw.fleet(), draw.between(200*time.Millisecond, 2*time.Second)
	p := f.pick(draw.Rand)
	if p == nil {
		return nil
	}
	defer f.release(p)
	name, from := p.name, time.Now()
	p.process.Kill()
	hold(down)
	err := f.start(p)
	b.note("member killed", name, []string{f.job.Name}, from)
	return err
}

// freezeMember stops a member for longer than its session lasts, and lets it go on: it wakes up as a zombie.
func freezeMember(_ context.Context, b *breaker, draw *draw) error {
	f, frozen := draw.fleet(), draw.between(sessionTimeout+time.Second, sessionTimeout+5*time.Second)
	p := f.pick(draw.Rand)
	if p == nil {
		return nil
	}
	defer f.release(p)
	from := time.Now()
	p.process.Freeze()
	hold(frozen)
	p.process.Thaw()
	b.note("member frozen", p.name, []string{f.job.Name}, from)
	return nil
}

// rollingRestart stops and starts the members of a job one after the other, and leaves it with another number of them.
func rollingRestart(_ context.Context, b *breaker, draw *draw) error {
	f, from := draw.fleet(), time.Now()
	count := fewest + (f.count()-fewest+1)%(most-fewest+1)
	var taken []*place
	defer func() {
		for _, p := range taken {
			f.release(p)
		}
	}()
	for p := f.pick(draw.Rand); p != nil; p = f.pick(draw.Rand) {
		if len(taken) > 0 {
			hold(time.Second)
		}
		taken = append(taken, p)
		f.end(p)
		if p.number != 0 && f.count() > count { // the first one's ways can be cut: it stays
			f.shrink(p)
			continue
		}
		if err := f.start(p); err != nil {
			return err
		}
	}
	for f.count() < count {
		if err := f.grow(); err != nil {
			return err
		}
	}
	b.note("rolling restart", fmt.Sprintf("%s, then %d members", f.job.Name, f.count()), []string{f.job.Name}, from)
	return nil
}

// breakBroker kills or freezes one broker, and waits until the cluster is whole again.
func breakBroker(ctx context.Context, b *breaker, draw *draw) error {
	n := b.world.cluster.Nodes[draw.IntN(len(b.world.cluster.Nodes))]
	kill, down := draw.IntN(2) == 0, draw.between(time.Second, 6*time.Second)
	from, kind := time.Now(), "broker killed"
	if kill {
		n.Process().Kill()
		hold(down)
		if err := up(n); err != nil {
			return err
		}
	} else {
		kind = "broker frozen"
		n.Process().Freeze()
		hold(down + 3*time.Second) // its own session with the controllers lasts 3 s
		n.Process().Thaw()
	}
	b.note(kind, n.Process().Name, b.world.jobNames(), from)
	return b.world.awaitWhole(ctx)
}

// breakDatabase kills or freezes a server, or leaves no room for SQLite's file.
func breakDatabase(ctx context.Context, b *breaker, draw *draw) error {
	choice, kill, down := draw.IntN(len(engines)), draw.IntN(2) == 0, draw.between(time.Second, 6*time.Second)
	d := b.world.databases[engines[choice]]
	if d == nil {
		return nil // no job of this run uses it
	}
	from, kind := time.Now(), "database killed"
	switch {
	case d.server == nil:
		kind = "disk full"
		empty, err := d.fill(ctx)
		if err != nil {
			return err
		}
		hold(down)
		if err := empty(); err != nil {
			return err
		}
	case kill:
		d.server.Process().Kill()
		hold(down)
		if err := up(d.server); err != nil {
			return err
		}
	default:
		kind = "database frozen"
		d.server.Process().Freeze()
		hold(down + 3*time.Second)
		d.server.Process().Thaw()
	}
	b.note(kind, string(d.engine), b.world.jobsOf(d), from)
	return nil
}

// breakNetwork makes trouble between the first member of a job and its brokers, one of them, or its database.
func breakNetwork(_ context.Context, b *breaker, draw *draw) error {
	f, t := draw.fleet(), troubles[draw.IntN(len(troubles))]
	which, choice, lasts := draw.IntN(3), draw.IntN(brokers), draw.between(2*time.Second, 8*time.Second)
	p := f.pickFirst(draw.Rand)
	if p == nil {
		return nil
	}
	defer f.release(p)
	proxies, what := f.detour.brokers, "all brokers"
	switch {
	case which == 0:
		proxies, what = proxies[choice:choice+1], fmt.Sprintf("broker %d", choice+1)
	case which == 1 && f.detour.database != nil:
		proxies, what = []*toxiproxy.Proxy{f.detour.database}, "its database"
	}
	from := time.Now()
	mend, err := cut(proxies, t)
	if err == nil {
		hold(lasts)
	}
	if mended := mend(); err == nil {
		err = mended
	}
	b.note("network: "+t.name, p.name+" and "+what, []string{f.job.Name}, from)
	return err
}

// addPartition makes the topic wider.
func addPartition(ctx context.Context, b *breaker, _ *draw) error {
	from := time.Now()
	if err := b.world.ledger.grow(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	b.note("partition added", fmt.Sprintf("%s, now %d", topic, b.world.ledger.partitions.Load()), b.world.jobNames(), from)
	return nil
}

// everything kills all members, all brokers and all databases at once, and starts them again.
func (b *breaker) everything(ctx context.Context) error {
	b.all.Lock()
	defer b.all.Unlock()
	from := time.Now()
	members := make(map[*place]*fleet)
	for _, f := range b.world.fleets {
		for p := f.pick(b.any); p != nil; p = f.pick(b.any) {
			members[p] = f
		}
	}
	var going sync.WaitGroup
	for p := range members {
		going.Go(p.process.Kill)
	}
	for _, server := range b.world.servers() {
		going.Go(server.Process().Kill)
	}
	going.Wait()
	if err := b.world.up(); err != nil {
		return err
	}
	for p, f := range members {
		if err := f.start(p); err != nil {
			return err
		}
		f.release(p)
	}
	b.note("everything killed", fmt.Sprintf("%d members, %d servers", len(members), len(b.world.servers())), b.world.jobNames(), from)
	return b.world.awaitWhole(ctx)
}
