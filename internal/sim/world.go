package sim

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-go/sluice/internal/bubble"
)

// world is one scenario at work.
type world struct {
	*bubble.Cluster
	addresses []string // of the brokers
	scenario  *scenario
	trace     *trace
	look      chan struct{} // a commit came
	stopped   chan struct{} // closed at a failure
	jobs      sync.WaitGroup
	slots     []*slot
	burying   *kfake.FaultHandle
	feeder    *kgo.Client // of transactions; nil without any
	audit     *audit      // of what transactions wrote; nil without any
	did       map[what]int

	names map[[16]byte]string // of topics that members write to

	mu           sync.Mutex
	ledger       *ledger
	commits      *commits
	alive        map[string]*process
	clients      map[string]string // the names of processes by their ids as members, where those do not tell
	instances    map[string]string // the ids as members of those that are static, by their own
	processes    int
	seeking      int       // seeks under way
	tenures      []*tenure // all that there ever were
	ending       bool
	failed       bool
	failure      string
	trouble      string
	troubleUntil time.Time
}

// outcome is what a world came to.
type outcome struct {
	failure    string
	trace      *trace
	virtual    time.Duration
	records    int
	copies     int // of them, those in retry topics
	calls      int
	answers    int
	commits    int
	processes  int
	duplicates map[string]int
	faults     map[what]int
}

// run runs a scenario in a bubble.
func run(t *testing.T, s *scenario, tr *trace) outcome {
	t.Helper()
	var out outcome
	opts := []kfake.Opt{
		kfake.NumBrokers(s.brokers), kfake.Ports([]int{9092, 9093, 9094}[:s.brokers]...),
		kfake.BrokerConfigs(map[string]string{
			"group.consumer.session.timeout.ms":    strconv.FormatInt(s.session.Milliseconds(), 10),
			"group.consumer.heartbeat.interval.ms": "2000",
		}),
	}
	topics := map[string]int32{deadLetters: 1}
	for _, name := range s.topics {
		topics[name] = s.partitions
	}
	if s.transacts() {
		topics[answerTopic] = 2
	}
	if s.transact.old {
		opts = append(opts, kfake.MaxVersions(kversion.V3_9_0()))
	}
	bubble.Run(t, topics, func(_ *testing.T, c *bubble.Cluster) {
		tr.began = time.Now()
		w := &world{
			Cluster: c, addresses: c.ListenAddrs(), scenario: s, trace: tr,
			look: make(chan struct{}, 1), stopped: make(chan struct{}), did: make(map[what]int),
			ledger: newLedger(s.logs()), commits: newCommits(s.logs()), alive: make(map[string]*process), clients: make(map[string]string),
			instances: make(map[string]string),
			names:     make(map[[16]byte]string),
		}
		w.run()
		out = outcome{
			failure: w.failure, trace: tr, virtual: time.Since(tr.began), records: len(w.ledger.records), copies: w.ledger.copies, calls: w.ledger.calls,
			answers: w.ledger.answers,
			commits: w.commits.seen, processes: w.processes, duplicates: w.ledger.again, faults: w.did,
		}
	}, opts...)
	return out
}

func (w *world) run() {
	w.trace.notef("world", "%v", w.scenario)
	for i, name := range w.scenario.topics[1:] {
		w.trace.notef("world", "%s has the partitions from %d on", name, w.scenario.log(w.scenario.topics[i+1], 0))
	}
	w.watch()
	if w.scenario.static {
		w.fence()
	}
	over := make(chan struct{})
	w.spawn(func() { w.comparing(over) })
	if w.scenario.transacts() {
		if err := w.beginAudit(over); err != nil {
			w.failf("setup: %v", err)
		}
	}
	for i := range w.scenario.slots {
		s := &slot{name: fmt.Sprintf("slot %d", i), wanted: true}
		w.slots = append(w.slots, s)
		w.start(s)
	}
	w.live()
	if w.settle() {
		w.stop()
	} else {
		w.stopAll()
	}
	close(over)
	w.jobs.Wait()
	if w.feeder != nil {
		w.feeder.Close()
	}
}

// live feeds and does the faults.
func (w *world) live() {
	feeds, faults := w.scenario.feeds, w.scenario.faults
	for len(feeds) > 0 || len(faults) > 0 {
		isFeed := len(faults) == 0 || len(feeds) > 0 && feeds[0].at <= faults[0].at
		var at time.Duration
		if isFeed {
			at = feeds[0].at
		} else {
			at = faults[0].at
		}
		if !w.sleep(at - time.Since(w.trace.began)) {
			return
		}
		if isFeed {
			w.produce(feeds[0])
			feeds = feeds[1:]
		} else {
			w.do(faults[0])
			faults = faults[1:]
		}
	}
	w.sleep(w.scenario.calm() - time.Since(w.trace.began))
}

func (w *world) hasFailed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// comparing looks at the group's commits whenever one came.
func (w *world) comparing(over chan struct{}) {
	for {
		select {
		case <-w.look:
			w.compare()
		case <-over:
			return
		}
	}
}

// sleep sleeps in virtual time; false once something failed.
func (w *world) sleep(d time.Duration) bool {
	select {
	case <-w.stopped:
		return false
	case <-time.After(max(0, d)):
		return true
	}
}

// spawn runs f, and has the world wait for it.
func (w *world) spawn(f func()) { w.jobs.Go(f) }

// after calls f after d, unless the world ended.
func (w *world) after(d time.Duration, f func()) {
	w.spawn(func() {
		if w.sleep(d) {
			f()
		}
	})
}

func (w *world) failf(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failLockedf(format, args...)
}

// failLockedf notes the first rule that was broken, and ends the world.
func (w *world) failLockedf(format string, args ...any) {
	if w.failed {
		return
	}
	w.failed = true
	w.failure = fmt.Sprintf(format, args...)
	w.trace.notef("oracle", "%s", w.failure)
	if f := w.trace.broken; f != nil {
		f(w.failure, w.trace.last())
	}
	close(w.stopped)
}

func (w *world) recordOf(id string) *record {
	n, err := strconv.Atoi(id)
	if err != nil || n >= len(w.ledger.records) {
		return nil
	}
	return w.ledger.records[n]
}
