package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/process"
	"github.com/sluice-go/sluice/test/servers"
)

const (
	brokers = 3
	fewest  = 2 // members of a job
	most    = 4

	endTimeout = 225 * time.Second // after the last fault, for all that comes
)

// properties are what the brokers need for sessions of 3 s.
const properties = `
group.min.session.timeout.ms=2000
group.consumer.session.timeout.ms=3000
group.consumer.min.session.timeout.ms=2000
group.consumer.heartbeat.interval.ms=1000
group.consumer.min.heartbeat.interval.ms=500
`

// world is all that runs.
type world struct {
	settings settings
	cluster  *servers.KafkaCluster
	client   *kgo.Client // of our own
	admin    *kadm.Client
	fleets   []*fleet
	began    time.Time
	ledger   *ledger

	databases map[engine]*database

	mu      sync.Mutex
	log     io.Writer
	ended   []unexpected
	samples []sample
}

func (w *world) sayf(format string, args ...any) {
	fmt.Fprintf(w.log, "%6.1f "+format+"\n", append([]any{time.Since(w.began).Seconds()}, args...)...)
}

func (w *world) jobNames() []string {
	var names []string
	for _, f := range w.fleets {
		names = append(names, f.job.Name)
	}
	return names
}

// chaos is a whole run.
func chaos(ctx context.Context, s settings, log io.Writer) (*report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.duration+endTimeout)
	defer cancel()
	w := &world{settings: s, log: log, began: time.Now(), databases: make(map[engine]*database)}
	w.sayf("seed %d, %v, into %s", s.seed, s.duration, s.out)
	defer w.close()
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	written, spoiled := make(chan error, 1), make(chan struct{})
	go func() { written <- w.ledger.write(writing, rand.New(rand.NewPCG(s.seed, 0)), s.rate) }()
	go func() { defer close(spoiled); w.ledger.spoil(writing) }()
	looking, stopLooking := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() { defer close(looked); w.look(looking) }()
	defer func() { stopLooking(); <-looked }()

	b := &breaker{world: w, seed: s.seed, any: rand.New(rand.NewPCG(s.seed, 1<<32))}
	faults, err := b.run(ctx, s.duration)
	if err != nil {
		return nil, err
	}
	w.sayf("the last of %d faults is mended", len(faults))
	took, behind := w.await(ctx, lastMended(faults)) // records are still written meanwhile
	stopWriting()
	<-spoiled
	if err := <-written; err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	_, stillBehind := w.await(ctx, time.Now())
	stopLooking()
	<-looked
	r := &report{
		Seed: s.seed, Seconds: s.duration.Seconds(), Began: w.began, Records: w.ledger.count(), Aborted: w.ledger.aborted,
		Faults: faults, Behind: append(behind, stillBehind...), Late: w.leave(), Ended: w.ended, Samples: w.samples,
	}
	w.sayf("%d records; reading what the topic and the jobs have", r.Records)
	if err := w.ledger.verify(ctx); err != nil {
		return nil, fmt.Errorf("the cluster did not keep the ledger, so nothing can be said about the jobs: %w", err)
	}
	for _, f := range w.fleets {
		o, err := w.check(ctx, f)
		if err != nil {
			return nil, err
		}
		o.CaughtUp = took[f.job.Name].Seconds()
		r.Jobs = append(r.Jobs, o)
	}
	if err := r.finish(s.out); err != nil {
		return nil, err
	}
	return r, nil
}

// lastMended is when the last fault was over.
func lastMended(faults []fault) time.Time {
	var last time.Time
	for _, f := range faults {
		if f.Until.After(last) {
			last = f.Until
		}
	}
	return last
}

// start starts servers, makes topics and tables, and starts the members.
func (w *world) start(ctx context.Context) error {
	jobs := w.settings.jobs
	var err error
	if w.cluster, err = servers.StartKafkaCluster(brokers, len(jobs), properties); err != nil {
		return err
	}
	w.sayf("%d brokers run", brokers)
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.Seeds()...), kgo.RequestRetries(2), kgo.RetryTimeout(3*time.Second))
	if err != nil {
		return err
	}
	w.admin = kadm.NewClient(w.client)
	if w.ledger, err = newLedger(w.cluster.Seeds()); err != nil {
		return err
	}
	if err := w.create(ctx, topic); err != nil {
		return err
	}
	for i, j := range jobs {
		f, err := w.fleet(ctx, i, j)
		if err != nil {
			return fmt.Errorf("%s: %w", j.Name, err)
		}
		w.fleets = append(w.fleets, f)
	}
	for _, f := range w.fleets {
		for range fewest + 1 {
			if err := f.grow(); err != nil {
				return err
			}
		}
	}
	w.sayf("%d jobs run", len(w.fleets))
	return nil
}

func (w *world) create(ctx context.Context, name string) error {
	_, err := w.admin.CreateTopic(ctx, partitions, -1, nil, name)
	return err
}

// fleet prepares a job: its database and table, or its topic, and the ways of its first member.
func (w *world) fleet(ctx context.Context, number int, j job) (*fleet, error) {
	f := &fleet{job: j, out: w.settings.out, watch: w.unexpected}
	var err error
	if f.program, err = os.Executable(); err != nil {
		return nil, err
	}
	if j.Unfenced {
		root, err := servers.Repository()
		if err != nil {
			return nil, err
		}
		if f.program, err = buildUnfenced(ctx, root, w.settings.out); err != nil {
			return nil, err
		}
	}
	f.task = task{Job: j, Brokers: w.cluster.Seeds(), Topic: topic}
	if j.Engine != "" {
		if w.databases[j.Engine] == nil {
			if w.databases[j.Engine], err = startDatabase(ctx, j.Engine, w.settings.out, w.settings.rate*int((w.settings.duration+endTimeout).Seconds())); err != nil {
				return nil, err
			}
			w.sayf("%s runs", j.Engine)
		}
		f.database = w.databases[j.Engine]
		f.task.Driver, f.task.DSN = f.database.driver, f.database.dsn
		err = f.database.create(ctx, j)
	} else if j.Mode == toKafka {
		err = w.create(ctx, j.table())
	}
	if err != nil {
		return nil, err
	}
	f.detour, err = newDetour(ctx, w.cluster, number, f.database)
	return f, err
}

// server is what can be killed and started again.
type server interface {
	Process() *process.Process
	Up() error
}

// up starts a server again. On a busy machine one may miss the time for that, and is given as much once more.
func up(s server) error {
	if s.Up() == nil {
		return nil
	}
	return s.Up()
}

// servers are all that run.
func (w *world) servers() []server {
	var all []server
	for _, n := range w.cluster.Nodes {
		all = append(all, n)
	}
	for _, d := range w.databases {
		if d.server != nil {
			all = append(all, d.server)
		}
	}
	return all
}

// up starts the servers that do not run, at once: no broker answers before most of them do.
func (w *world) up() error {
	all := w.servers()
	errs := make([]error, len(all))
	var starting sync.WaitGroup
	for i, s := range all {
		starting.Go(func() { errs[i] = up(s) })
	}
	starting.Wait()
	return errors.Join(errs...)
}

// jobsOf are the jobs that write to a database.
func (w *world) jobsOf(d *database) []string {
	var names []string
	for _, f := range w.fleets {
		if f.database == d {
			names = append(names, f.job.Name)
		}
	}
	return names
}

// close ends all that runs.
func (w *world) close() {
	var closing sync.WaitGroup
	for _, f := range w.fleets {
		for _, p := range f.places {
			closing.Go(p.process.Kill)
		}
	}
	closing.Wait()
	for _, f := range w.fleets {
		f.detour.close()
	}
	if w.ledger != nil {
		w.ledger.client.Close()
	}
	if w.client != nil {
		w.client.Close()
	}
	if w.cluster != nil {
		w.cluster.Remove()
	}
	servers.Stop()
}

func (w *world) unexpected(u unexpected) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, u)
	w.sayf("%s ended by itself:\n%s", u.Member, u.Log)
}

// awaitWhole waits until every partition has all of its copies again.
func (w *world) awaitWhole(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for idle(ctx, 200*time.Millisecond) {
		asking, stop := context.WithTimeout(ctx, 3*time.Second)
		topics, err := w.admin.ListTopicsWithInternal(asking)
		stop()
		whole := err == nil && len(topics) > 0
		for _, t := range topics {
			for _, p := range t.Partitions {
				whole = whole && len(p.ISR) == brokers
			}
		}
		if whole {
			return nil
		}
	}
	return errors.New("a minute later the cluster still lacks copies")
}

// leave ends all members as an operator does.
func (w *world) leave() (late []string) {
	lates := make([][]string, len(w.fleets))
	var leaving sync.WaitGroup
	for i, f := range w.fleets {
		leaving.Go(func() { lates[i] = f.close() })
	}
	leaving.Wait()
	for _, l := range lates {
		late = append(late, l...)
	}
	return late
}
