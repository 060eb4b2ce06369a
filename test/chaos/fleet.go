package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/test/process"
)

// fleet is a job's members, each a process. A place in it keeps its number; every process in it has a name of its own.
type fleet struct {
	job      job
	task     task
	program  string // that its members run
	database *database
	detour   *detour // of the member in the first place
	out      string
	watch    func(unexpected) // told of a process that ended by itself

	mu     sync.Mutex
	places []*place
	next   int      // place's number
	names  []string // of all processes so far
}

type place struct {
	number  int
	process *process.Process
	name    string
	busy    bool // a fault has it, and nobody else may touch it
}

// unexpected is a member that ended although nobody had ended it.
type unexpected struct {
	Job    string    `json:"job"`
	Member string    `json:"member"`
	At     time.Time `json:"at"`
	Log    string    `json:"log"` // its end
}

// start starts a process in a place.
func (f *fleet) start(p *place) error {
	f.mu.Lock()
	name := fmt.Sprintf("%s-%d-%d", f.job.Name, p.number, len(f.names))
	f.names = append(f.names, name)
	f.mu.Unlock()
	t := f.task
	t.Member, t.Journal = name, f.journal(name)
	if p.number%2 == 1 { // a group has both kinds
		t.Instance = fmt.Sprintf("%s-%d", f.job.Name, p.number)
	}
	if p.number == 0 {
		t.Brokers = f.detour.seeds()
		if through := f.detour.database; through != nil {
			t.DSN = f.database.through(through.Listen)
		}
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	member := &process.Process{
		Name: name, Argv: []string{f.program}, Env: append(os.Environ(), taskVariable+"="+string(text), "GOMAXPROCS=1"),
		Log: filepath.Join(f.out, name+".log"),
	}
	if err := member.Start(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.process, p.name = member, name
	return nil
}

func (f *fleet) journal(name string) string { return filepath.Join(f.out, name+".journal") }

// grow starts a member in a new place.
func (f *fleet) grow() error {
	f.mu.Lock()
	p := &place{number: f.next}
	f.next++
	f.mu.Unlock()
	if err := f.start(p); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.places = append(f.places, p)
	return nil
}

// shrink gives up a place that the caller has, whose member has ended.
func (f *fleet) shrink(p *place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.places = slices.DeleteFunc(f.places, func(other *place) bool { return other == p })
}

const leaveTimeout = 25 * time.Second // the drain's 20 s, and the rest

// end stops a member as an operator does.
func (f *fleet) end(p *place) bool { return p.process.StopWithin(leaveTimeout) }

// pick takes a member for a fault; nil when all are taken.
func (f *fleet) pick(random *rand.Rand) *place {
	return f.take(random, func(*place) bool { return true })
}

// pickFirst takes the member whose ways can be cut; nil when it is taken, or gone.
func (f *fleet) pickFirst(random *rand.Rand) *place {
	return f.take(random, func(p *place) bool { return p.number == 0 })
}

func (f *fleet) take(random *rand.Rand, fits func(*place) bool) *place {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range random.Perm(len(f.places)) {
		if p := f.places[i]; !p.busy && fits(p) {
			p.busy = true
			return p
		}
	}
	return nil
}

func (f *fleet) release(p *place) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.busy = false
}

// revive starts again what has ended by itself, and tells of it.
func (f *fleet) revive() error {
	f.mu.Lock()
	var ended []*place
	for _, p := range f.places {
		if !p.busy && !p.process.Running() {
			ended = append(ended, p)
			p.busy = true
			f.watch(unexpected{Job: f.job.Name, Member: p.name, At: time.Now(), Log: p.process.Tail()})
		}
	}
	f.mu.Unlock()
	for _, p := range ended {
		if err := f.start(p); err != nil {
			return err
		}
		f.release(p)
	}
	return nil
}

// close ends all members, at once, and returns the names of those that did not end by themselves.
func (f *fleet) close() (late []string) {
	ended := make([]bool, len(f.places))
	var ending sync.WaitGroup
	for i, p := range f.places {
		ending.Go(func() { ended[i] = f.end(p) })
	}
	ending.Wait()
	for i, ok := range ended {
		if !ok {
			late = append(late, f.places[i].name)
		}
	}
	return late
}

func (f *fleet) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.places)
}
