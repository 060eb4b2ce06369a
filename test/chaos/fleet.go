package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sluice-go/sluice/test/process"
)

// fleet is a job's members, each a process. A place in it keeps its number; every process in it has a name of its own.
type fleet struct {
	job   job
	task  task
	out   string
	watch func(unexpected) // told of a process that ended by itself

	mu     sync.Mutex
	places []*place
	names  []string // of all processes so far
}

type place struct {
	number  int
	process *process.Process
	name    string
	busy    bool // a fault has it
}

// unexpected is a member that ended although nobody had ended it.
type unexpected struct {
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
	self, err := os.Executable()
	if err != nil {
		return err
	}
	t := f.task
	t.Journal = f.journal(name)
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	member := &process.Process{
		Name: name, Argv: []string{self}, Env: append(os.Environ(), taskVariable+"="+string(text), "GOMAXPROCS=1"),
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

// resize starts or stops members until there are so many.
func (f *fleet) resize(count int) error {
	for len(f.places) < count {
		p := &place{number: len(f.places)}
		if err := f.start(p); err != nil {
			return err
		}
		f.mu.Lock()
		f.places = append(f.places, p)
		f.mu.Unlock()
	}
	for len(f.places) > count {
		f.mu.Lock()
		last := f.places[len(f.places)-1]
		f.places = f.places[:len(f.places)-1]
		f.mu.Unlock()
		f.end(last)
	}
	return nil
}

const leaveTimeout = 25 * time.Second // the drain's 20 s, and the rest

// end stops a member as an operator does.
func (f *fleet) end(p *place) bool { return p.process.StopWithin(leaveTimeout) }

// pick takes a member for a fault; nil when all are taken.
func (f *fleet) pick(random *rand.Rand) *place {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range random.Perm(len(f.places)) {
		if p := f.places[i]; !p.busy {
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
			f.watch(unexpected{Member: p.name, At: time.Now(), Log: p.process.Tail()})
		}
	}
	f.mu.Unlock()
	for _, p := range ended {
		if err := f.start(p); err != nil {
			return err
		}
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
