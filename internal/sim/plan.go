package sim

import (
	"fmt"
	"time"

	"github.com/sluice-go/sluice"
)

// feed is some records that are produced together.
type feed struct {
	at      time.Duration
	records []recordPlan
	txn     txn
	open    time.Duration // how long its transaction takes
}

// txn is whether records are produced in a transaction, and how it ends.
type txn int

const (
	noTxn txn = iota
	committed
	aborted
)

// recordPlan is what a handler makes of a record.
type recordPlan struct {
	partition int32
	key       string // "" none
	kind      kind
	takes     time.Duration
	times     int // failing: how often
}

// kind is the outcome of a handler.
type kind int

const (
	succeeds   kind = iota
	hangs           // at the first call, until its context ends or a long time has passed
	stubborn        // takes long and does not look at its context
	fails           // some times, then succeeds
	failsLater      // as fails, with a wait of its own
	failsAlways
	poison
	panics
	undecodable
	skips
	refused // succeeds, and brokers do not take its answer
)

var kindNames = [...]string{"ok", "hangs", "stubborn", "fails", "fails later", "fails always", "poison", "panics", "undecodable", "skips", "refused"}

func (k kind) String() string { return kindNames[k] }

// feed decides what is produced, and what handlers make of it.
func (s *scenario) feed(d dice) {
	odds := map[theme]struct{ slow, hang, fail, dead int }{
		themeCrash: {10, 2, 5, 2}, themeScale: {15, 3, 3, 1}, themeBrokers: {5, 1, 5, 5},
		themeWork: {5, 3, 20, 10}, themeSteady: {2, 0, 0, 0}, themeMixed: {8, 2, 8, 4},
	}[s.theme]
	one := func() recordPlan {
		r := recordPlan{partition: d.Int32N(s.partitions), takes: pick(d, 0, 0, time.Millisecond, 10*time.Millisecond)}
		if d.chance(90) {
			r.key = fmt.Sprintf("k%d", d.IntN(s.keys))
		}
		switch roll := d.IntN(100); {
		case roll < odds.slow:
			r.takes = d.between(200*time.Millisecond, 3*time.Second)
		case roll < odds.slow+odds.hang:
			r.kind, r.takes = pick(d, hangs, stubborn), d.between(5*time.Second, 20*time.Second)
		case roll < odds.slow+odds.hang+odds.fail:
			r.kind, r.times = pick(d, fails, fails, failsLater, skips), 1+d.IntN(3)
		case roll < odds.slow+odds.hang+odds.fail+odds.dead && s.failure != nil:
			r.kind = pick(d, poison, panics, undecodable)
			if s.attempts > 0 {
				r.kind = pick(d, poison, panics, undecodable, failsAlways)
			}
			if _, drops := s.failure.(sluice.Drop); drops && s.batch > 0 && r.kind == undecodable {
				r.kind = poison // whether it was dropped cannot be seen from outside
			}
		}
		return r
	}
	first := feed{}
	for range 20 + d.IntN(100) {
		first.records = append(first.records, one())
	}
	s.feeds = append(s.feeds, first)
	txns := s.theme != themeSteady && d.chance(15)
	every := d.between(500*time.Millisecond, 3*time.Second)
	if s.theme == themeSteady {
		every = 250 * time.Millisecond
	}
	for at := every; at < s.length; at += every {
		f := feed{at: at}
		if s.theme == themeSteady {
			for p := range s.partitions {
				r := one()
				r.partition = p
				f.records = append(f.records, r)
			}
		} else {
			for range d.IntN(10) {
				r := one()
				if s.grows > 0 && at > s.grows && d.chance(20) {
					r.partition = s.partitions
				}
				f.records = append(f.records, r)
			}
			if txns && len(f.records) > 0 {
				f.txn, f.open = pick(d, noTxn, committed, aborted), d.between(0, time.Second)
			}
		}
		s.feeds = append(s.feeds, f)
	}
	if s.theme != themeSteady && d.chance(30) {
		from := d.between(0, s.length-10*time.Second)
		s.outages = append(s.outages, window{from, from + d.between(time.Second, 10*time.Second)})
	}
}
