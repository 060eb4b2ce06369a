package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
)

// scenario is what a seed decides.
type scenario struct {
	seed  uint64
	theme theme

	brokers    int
	partitions int32
	slots      int // at the start
	protocol   protocol

	session, rebalance, drain, commitTimeout time.Duration

	ordering sluice.Ordering
	workers  int
	commit   commitPlan
	attempts int           // 0: for ever
	breaker  int           // as Retry.Breaker; -1 off
	timeout  time.Duration // of a call; 0 none
	failure  sluice.OnFailure
	backoff  time.Duration
	batch    int           // 0: a Route
	wait     time.Duration // of a batch
	rollBack bool
	stream   bool // a StreamRoute
	stuck    sluice.Stuck
	retries  []time.Duration // delays of retry topics
	topics   []string        // the topic, then its retry topics
	transact transact        // a TransactRoute
	static   bool            // members are

	keys    int
	feeds   []feed
	outages []window
	plain   bool // in an outage, handlers fail as if a record were to blame
	faults  []fault
	length  time.Duration // of feeding and of faults

	fetchWait time.Duration // that brokers hold a fetch for; 0: as the default

	grows    time.Duration // when a partition is added; 0 never
	truncate bool          // retention passes the group's commit
}

// most is how many partitions there are in the end.
func (s *scenario) most() int32 {
	if s.grows > 0 {
		return s.partitions + 1
	}
	return s.partitions
}

// drops tells whether records that failed are dropped.
func (s *scenario) drops() bool {
	_, ok := s.failure.(sluice.Drop)
	return ok
}

// theme is what a scenario is mostly about, so that each kind of trouble comes up within a few dozen seeds.
type theme int

const (
	themeCrash   theme = iota // processes die, freeze and come back
	themeScale                // members come and go, handlers are slow
	themeBrokers              // brokers answer with errors, leaders and coordinators move
	themeWork                 // handlers fail in every way
	themeSteady               // members come and go, and what stays must not notice
	themeMixed                // everything
	themes
)

var themeNames = [...]string{"crash", "scale", "brokers", "work", "steady", "mixed"}

func (t theme) String() string { return themeNames[t] }

// protocol is how the members of the group agree.
type protocol string

const (
	cooperative protocol = "cooperative"
	eager       protocol = "eager"
	consumer    protocol = "consumer" // KIP-848
)

// commitPlan is a strategy, with what the oracle has to know of it.
type commitPlan struct {
	name   string
	policy sluice.Commit
	before bool // at most once
	manual bool
	waits  bool // records wait for commits, and so for rebalances
}

// window is a time in which no handler succeeds.
type window struct{ from, to time.Duration }

// dice is where decisions come from.
type dice struct{ *rand.Rand }

func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between is a time in [from, to).
func (d dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64(to-from)))
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// newScenario makes the scenario of a seed.
func newScenario(seed uint64) *scenario {
	d := dice{rand.New(rand.NewPCG(seed, 20260918))}
	s := &scenario{seed: seed, theme: theme(seed % uint64(themes)), topics: []string{topic}}
	s.brokers = pick(d, 1, 1, 2, 3)
	s.partitions = int32(pick(d, 1, 2, 3, 4, 6))
	s.slots = pick(d, 1, 2, 2, 3)
	s.protocol = pick(d, cooperative, cooperative, cooperative, eager, consumer, consumer)
	s.session = pick(d, 10*time.Second, 12*time.Second)
	s.drain = pick(d, 2*time.Second, 4*time.Second)
	s.commitTimeout = pick(d, 2*time.Second, 3*time.Second)
	s.rebalance = 9 * time.Second // below the session: the brokers here take who waits for others to join for dead
	s.length = d.between(30*time.Second, 60*time.Second)
	switch s.theme {
	case themeSteady:
		s.brokers = 1
		if s.protocol == eager {
			s.protocol = cooperative
		}
		s.partitions = int32(pick(d, 4, 6))
		s.slots = pick(d, 1, 2)
	case themeScale:
		s.partitions = max(2, s.partitions)
	case themeBrokers:
		s.brokers = pick(d, 2, 3)
	case themeCrash, themeWork, themeMixed, themes:
	}
	if s.theme != themeSteady && d.chance(10) {
		s.grows = d.between(5*time.Second, s.length/2)
	}
	s.truncate = s.theme == themeMixed && d.chance(15)
	s.policy(d)
	s.feed(d)
	s.schedule(d)
	s.more(dice{rand.New(rand.NewPCG(seed, 20261127))})
	s.shape(dice{rand.New(rand.NewPCG(seed, 20261128))})
	s.delays(dice{rand.New(rand.NewPCG(seed, 20261129))})
	s.transactions(dice{rand.New(rand.NewPCG(seed, 20261130))})
	s.statics(dice{rand.New(rand.NewPCG(seed, 20261201))})
	s.refusals(dice{rand.New(rand.NewPCG(seed, 20261202))})
	s.stretch(dice{rand.New(rand.NewPCG(seed, 20261203))})
	return s
}

// more decides what a seed did not decide at first. It has dice of its own, so that all else of a seed stays as it was.
func (s *scenario) more(d dice) {
	steady := s.theme == themeSteady
	s.breaker = -1
	if s.attempts > 0 && d.chance(60) {
		s.breaker = pick(d, 0, 0, 5)
		s.attempts = pick(d, s.attempts, s.attempts, 1)
	}
	if !steady && (s.attempts == 0 || s.breaker >= 0) && d.chance(60) { // without a breaker, nobody could tell that no record is to blame
		s.plain = true
		if d.chance(70) {
			from := d.between(time.Second, s.length)
			s.outages = append(s.outages, window{from, from + d.between(time.Second, 20*time.Second)})
		}
	}
	if !steady && !s.commit.manual && d.chance(25) {
		s.timeout = pick(d, 700*time.Millisecond, 1500*time.Millisecond, 3*time.Second)
	}
	if !s.commit.before && !s.truncate && d.chance(35) {
		for range 1 + d.IntN(3) {
			s.faults = append(s.faults, fault{
				at: d.between(2*time.Second, s.length), what: move, slot: d.IntN(int(s.partitions)), by: pick[int64](d, -1, 1) * (1 + d.Int64N(20)),
			})
		}
	}
	if d.chance(35) {
		for range 1 + d.IntN(3) {
			s.faults = append(s.faults, fault{
				at: d.between(2*time.Second, s.length), what: pause, slot: d.IntN(s.slots + 1),
				partition: pick(d, -1, d.Int32N(s.partitions), d.Int32N(s.partitions)), lasts: d.between(500*time.Millisecond, 8*time.Second),
			})
		}
	}
	s.faults = slices.DeleteFunc(s.faults, func(f fault) bool { // kgo asks for a new leader again and again, which takes no virtual time
		return f.what == leaders && slices.ContainsFunc(s.faults, func(o fault) bool {
			return o.what == answer && o.key == kmsg.Metadata && o.at < f.at && f.at < o.at+o.lasts
		})
	})
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// policy decides how records are treated.
func (s *scenario) policy(d dice) {
	s.ordering = pick(d, sluice.ByPartition, sluice.ByKey, sluice.ByKey, sluice.Unordered)
	s.workers = pick(d, 1, 2, 4, 16)
	s.keys = pick(d, 1, 3, 10)
	s.backoff = pick(d, 50*time.Millisecond, 500*time.Millisecond)
	s.commit = pick(d,
		commitPlan{name: "every 200ms", policy: sluice.Every(200 * time.Millisecond)},
		commitPlan{name: "every 1s", policy: sluice.Every(time.Second)},
		commitPlan{name: "every 1h", policy: sluice.Every(time.Hour)},
		commitPlan{name: "every 5", policy: sluice.EveryN(5)},
		commitPlan{name: "1s or 5", policy: sluice.EveryOrN(time.Second, 5)},
		commitPlan{name: "each", policy: sluice.EachRecord(), waits: true},
	)
	if s.theme != themeSteady && d.chance(25) {
		s.batch, s.wait, s.rollBack = pick(d, 1, 5, 50), pick(d, 0, 0, 300*time.Millisecond), d.chance(30)
	}
	if s.theme != themeSteady && d.chance(20) {
		s.commit = pick(d, commitPlan{name: "before", policy: sluice.BeforeHandle(), before: true, waits: true},
			commitPlan{name: "manual", policy: sluice.Manual(), manual: true})
	}
	if d.chance(70) {
		s.failure = pick[sluice.OnFailure](d, sluice.DeadLetter{Topic: deadLetters}, sluice.DeadLetter{Topic: deadLetters}, sluice.Drop{})
		s.attempts = pick(d, 0, 2, 4)
	}
	if s.theme == themeSteady {
		s.workers = 16
		s.commit = pick(d, commitPlan{name: "every 200ms", policy: sluice.Every(200 * time.Millisecond)},
			commitPlan{name: "every 1s", policy: sluice.Every(time.Second)})
	}
}

func (s *scenario) String() string {
	shape := "route"
	if s.batch > 0 {
		shape = fmt.Sprintf("batches of %d waiting %v", s.batch, s.wait)
	}
	if s.stream {
		shape = "stream"
	}
	if s.transacts() {
		shape = fmt.Sprintf("transactions of %v (old brokers: %v),", s.transact.timeout, s.transact.old)
	}
	n := 0
	for _, f := range s.feeds {
		n += len(f.records)
	}
	more := ""
	if s.grows > 0 {
		more += fmt.Sprintf(", one more partition at %v", s.grows.Round(time.Millisecond))
	}
	if s.truncate {
		more += ", retention passes the commit"
	}
	if s.static {
		more += ", static members"
	}
	if s.timeout > 0 {
		more += fmt.Sprintf(", deadline %v", s.timeout)
	}
	if s.breaker >= 0 {
		more += fmt.Sprintf(", breaker %d", s.breaker)
	}
	if s.plain {
		more += ", outages are not named"
	}
	if len(s.retries) > 0 {
		more += fmt.Sprintf(", retry topics %v", s.retries)
	}
	if s.stuck.After > 0 {
		more += fmt.Sprintf(", stuck after %v: %v", s.stuck.After, s.stuck.Then)
	}
	return fmt.Sprintf("seed %d, theme %v: %d brokers, %d partitions, %d members (%s), %s %v, %d workers, commit %s, attempts %d, on failure %T, "+
		"session %v, drain %v, commit timeout %v, %d records, %d outages, %d faults in %v%s",
		s.seed, s.theme, s.brokers, s.partitions, s.slots, s.protocol, shape, s.ordering, s.workers, s.commit.name, s.attempts, s.failure,
		s.session, s.drain, s.commitTimeout, n, len(s.outages), len(s.faults), s.length.Round(time.Second), more)
}
