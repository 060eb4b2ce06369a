package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
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

	mu     sync.Mutex
	faults []fault
	failed error // the first: something could not be mended
}

// lane is a kind of faults and its pace.
type lane struct {
	name       string
	pauseFrom  time.Duration // between two faults
	pauseUntil time.Duration
	once       func(ctx context.Context, b *breaker, random *rand.Rand) error
}

var lanes = []lane{
	{"kills of members", 3 * time.Second, 8 * time.Second, killMember},
	{"frozen members", 2 * time.Second, 6 * time.Second, freezeMember},
	{"rolling restarts", 15 * time.Second, 30 * time.Second, rollingRestart},
	{"brokers", 8 * time.Second, 16 * time.Second, breakBroker},
}

// run makes faults until ctx ends, mends the last of them, and returns them all.
func (b *breaker) run(ctx context.Context, duration time.Duration) ([]fault, error) {
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var running sync.WaitGroup
	for i, l := range lanes {
		running.Go(func() {
			random := rand.New(rand.NewPCG(b.seed, uint64(i+1)))
			for idle(ctx, between(random, l.pauseFrom, l.pauseUntil)) {
				b.all.RLock()
				err := l.once(ctx, b, random)
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
			if err := b.everything(); err != nil {
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

func between(random *rand.Rand, from, until time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(until-from)))
}

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

func (b *breaker) anyFleet(random *rand.Rand) *fleet {
	return b.world.fleets[random.IntN(len(b.world.fleets))]
}

// killMember ends a member with SIGKILL, and starts another in its place after a while.
func killMember(_ context.Context, b *breaker, random *rand.Rand) error {
	f, down := b.anyFleet(random), between(random, 200*time.Millisecond, 2*time.Second)
	p := f.pick(random)
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
func freezeMember(_ context.Context, b *breaker, random *rand.Rand) error {
	f, frozen := b.anyFleet(random), between(random, sessionTimeout+time.Second, sessionTimeout+5*time.Second)
	p := f.pick(random)
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
func rollingRestart(_ context.Context, b *breaker, random *rand.Rand) error {
	f := b.anyFleet(random)
	count := f.count()%most + 1
	count = max(count, fewest)
	from := time.Now()
	for {
		p := f.pick(random)
		if p == nil {
			break
		}
		f.end(p)
		err := f.start(p)
		defer f.release(p) //nolint:revive // each is restarted once
		if err != nil {
			return err
		}
	}
	err := f.resize(count)
	b.note("rolling restart", fmt.Sprintf("%s, then %d members", f.job.Name, count), []string{f.job.Name}, from)
	return err
}

// breakBroker kills or freezes one broker, and waits until the cluster is whole again.
func breakBroker(ctx context.Context, b *breaker, random *rand.Rand) error {
	n := b.world.cluster.Nodes[random.IntN(len(b.world.cluster.Nodes))]
	kill, down := random.IntN(2) == 0, between(random, time.Second, 6*time.Second)
	from, kind := time.Now(), "broker killed"
	if kill {
		n.Process().Kill()
		hold(down)
		if err := n.Up(); err != nil {
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

// everything kills all members and all brokers at once, and starts them again.
func (b *breaker) everything() error {
	b.all.Lock()
	defer b.all.Unlock()
	from := time.Now()
	var going sync.WaitGroup
	for _, f := range b.world.fleets {
		for _, p := range f.places {
			going.Go(p.process.Kill)
		}
	}
	for _, n := range b.world.cluster.Nodes {
		going.Go(n.Process().Kill)
	}
	going.Wait()
	if err := b.world.up(); err != nil {
		return err
	}
	for _, f := range b.world.fleets {
		for _, p := range f.places {
			if err := f.start(p); err != nil {
				return err
			}
		}
	}
	b.note("everything killed", "all members and all brokers", b.world.jobNames(), from)
	return nil
}
