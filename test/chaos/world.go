package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/test/servers"
)

const (
	brokers = 3
	fewest  = 2 // members of a job
	most    = 4

	settleTimeout = 150 * time.Second // for the end: lag 0 of all jobs
	endTimeout    = 4 * time.Minute   // after the last fault, for all that comes
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

	mu      sync.Mutex
	log     io.Writer
	ended   []unexpected
	samples []sample
}

// sample is how far behind each job is at one moment.
type sample struct {
	At  time.Time        `json:"at"`
	Lag map[string]int64 `json:"lag"`
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
	w := &world{settings: s, log: log, began: time.Now()}
	w.sayf("seed %d, %v, into %s", s.seed, s.duration, s.out)
	defer w.close()
	if err := w.start(); err != nil {
		return nil, err
	}
	l, err := newLedger(w.cluster.Seeds())
	if err != nil {
		return nil, err
	}
	defer l.client.Close()
	if err := l.create(ctx); err != nil {
		return nil, err
	}
	for _, j := range s.jobs {
		f := &fleet{job: j, task: task{Job: j, Brokers: w.cluster.Seeds(), Topic: topic}, out: s.out, watch: w.unexpected}
		w.fleets = append(w.fleets, f)
		if err := f.resize(fewest + 1); err != nil {
			return nil, err
		}
	}
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	written := make(chan error, 1)
	go func() { written <- l.write(writing, rand.New(rand.NewPCG(s.seed, 0)), s.rate) }()
	looking, stopLooking := context.WithCancel(ctx)
	looked := make(chan struct{})
	go func() { defer close(looked); w.look(looking) }()
	defer func() { stopLooking(); <-looked }()

	b := &breaker{world: w, seed: s.seed}
	faults, err := b.run(ctx, s.duration)
	if err != nil {
		return nil, err
	}
	caughtUp, behind := w.settle(ctx, faults)
	stopWriting()
	if err := <-written; err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	behind = append(behind, w.drain(ctx)...)
	stopLooking()
	<-looked
	late := w.leave()
	w.sayf("%d records; reading what the topic and the jobs have", l.count())
	if err := l.verify(ctx, w.cluster.Seeds()); err != nil {
		return nil, fmt.Errorf("the cluster did not keep the ledger, so nothing can be said about the jobs: %w", err)
	}
	r := &report{
		Seed: s.seed, Seconds: s.duration.Seconds(), Began: w.began, Records: l.count(), Faults: faults, Behind: behind, Late: late,
		Ended: w.ended, Samples: w.samples,
	}
	for _, f := range w.fleets {
		j, err := f.check(l)
		if err != nil {
			return nil, err
		}
		j.CaughtUp = caughtUp[f.job.Name].Seconds()
		r.Jobs = append(r.Jobs, j)
	}
	return r, r.finish(s.out)
}

// start starts the servers.
func (w *world) start() error {
	var err error
	if w.cluster, err = servers.StartKafkaCluster(brokers, 0, properties); err != nil {
		return err
	}
	w.client, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.Seeds()...), kgo.RequestRetries(2), kgo.RetryTimeout(3*time.Second))
	if err != nil {
		return err
	}
	w.admin = kadm.NewClient(w.client)
	w.sayf("%d brokers run", brokers)
	return nil
}

// up starts the brokers that do not run, at once: none answers before most of them do.
func (w *world) up() error {
	errs := make([]error, len(w.cluster.Nodes))
	var starting sync.WaitGroup
	for i, n := range w.cluster.Nodes {
		starting.Go(func() { errs[i] = n.Up() })
	}
	starting.Wait()
	return errors.Join(errs...)
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
	if w.client != nil {
		w.client.Close()
	}
	if w.cluster != nil {
		w.cluster.Remove()
	}
}

func (w *world) unexpected(u unexpected) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = append(w.ended, u)
	w.sayf("%s ended by itself:\n%s", u.Member, u.Log)
}

// look samples the lag once a second, and starts members again that ended by themselves.
func (w *world) look(ctx context.Context) {
	for idle(ctx, time.Second) {
		for _, f := range w.fleets {
			if err := f.revive(); err != nil {
				w.sayf("%v", err)
			}
		}
		ends, err := w.ends(ctx)
		if err != nil {
			continue // brokers are down
		}
		s := sample{At: time.Now(), Lag: make(map[string]int64)}
		for _, f := range w.fleets {
			if behind, err := w.behind(ctx, f, ends); err == nil {
				s.Lag[f.job.Name] = behind
			}
		}
		w.mu.Lock()
		w.samples = append(w.samples, s)
		w.mu.Unlock()
	}
}

// ends are the offsets at which the partitions end now.
func (w *world) ends(ctx context.Context) (map[int32]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	listed, err := w.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, err
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

// behind is how many records before these ends a job's group has not committed.
func (w *world) behind(ctx context.Context, f *fleet, ends map[int32]int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	committed, err := w.admin.FetchOffsets(ctx, f.job.Name)
	if err != nil {
		return 0, err
	}
	var behind int64
	for partition, end := range ends {
		at, ok := committed.Lookup(topic, partition)
		if ok && at.Err != nil {
			return 0, at.Err
		}
		if ok {
			end -= at.At
		}
		behind += max(0, end)
	}
	return behind, nil
}

// settle waits until every job has committed all that there was when the last fault was mended, and says how long each took. Records
// are still written meanwhile.
func (w *world) settle(ctx context.Context, faults []fault) (took map[string]time.Duration, behind []string) {
	mended := time.Now()
	for _, f := range faults {
		if f.Until.After(mended) || len(faults) == 1 {
			mended = f.Until
		}
	}
	w.sayf("the last of %d faults is mended", len(faults))
	return w.await(ctx, mended)
}

// drain waits until every job has committed all that there is.
func (w *world) drain(ctx context.Context) (behind []string) {
	_, behind = w.await(ctx, time.Now())
	return behind
}

// await waits until every job has committed all that there is now, and says how long each took since a moment.
func (w *world) await(ctx context.Context, since time.Time) (took map[string]time.Duration, behind []string) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout/2)
	defer cancel()
	took = make(map[string]time.Duration)
	var ends map[int32]int64
	var err error
	for ends == nil && idle(ctx, 50*time.Millisecond) {
		ends, err = w.ends(ctx)
	}
	for len(took) < len(w.fleets) && idle(ctx, 100*time.Millisecond) {
		for _, f := range w.fleets {
			if _, ok := took[f.job.Name]; ok {
				continue
			}
			if left, failed := w.behind(ctx, f, ends); failed == nil && left == 0 {
				took[f.job.Name] = time.Since(since)
			}
		}
	}
	for _, f := range w.fleets {
		if _, ok := took[f.job.Name]; !ok {
			left, failed := w.behind(context.WithoutCancel(ctx), f, ends)
			behind = append(behind, fmt.Sprintf("%s is %d records behind after %.0f s (%v)", f.job.Name, left, time.Since(since).Seconds(),
				errors.Join(err, failed)))
		}
	}
	return took, behind
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
