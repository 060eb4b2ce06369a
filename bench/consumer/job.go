package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// values are what one run of an arm gave, by name.
type values map[string]float64

// What most arms tell.
const (
	rate      = "records a second"
	cpuMicros = "CPU, µs a record"
	rss       = "RSS, MiB" // at most
)

// errLeftOut is what an arm returns that cannot run here.
var errLeftOut = errors.New("left out")

// arm is one of the peers that take turns.
type arm struct {
	name string
	once func(context.Context, *stage) (values, error)
}

// figure is what a job is about: a number of each round, by what its arms gave.
type figure struct {
	name    string
	of      func(round map[string]values) float64 // NaN where an arm is left out
	atLeast float64                               // 0: no such bound
	atMost  float64                               // 0: no such bound
}

// ratio compares two arms of the same round, so that a slow minute slows both.
func ratio(name, of, ours, theirs string) figure {
	return figure{name: name, of: func(round map[string]values) float64 { return get(round, ours, of) / get(round, theirs, of) }}
}

// single is a value of one arm.
func single(name, of, ours string) figure {
	return figure{name: name, of: func(round map[string]values) float64 { return get(round, ours, of) }}
}

func (f figure) least(bound float64) figure { f.atLeast = bound; return f }
func (f figure) most(bound float64) figure  { f.atMost = bound; return f }

type job struct {
	name    string
	rounds  int
	arms    []arm
	figures []figure
}

func jobs() []job {
	return []job{partitionJob(), keyJob(), workersJob(), crashJob(), rebalanceJob(), backoffJob(), idleJob(), copyJob()}
}

// run runs each arm in turn, several times.
func (j job) run(ctx context.Context, s *stage) (jobReport, error) {
	n := j.rounds
	if s.rounds > 0 {
		n = s.rounds
	}
	rounds := make([]map[string]values, n)
	leftOut := map[string]string{}
	for i := range rounds {
		rounds[i] = map[string]values{}
		for k := range j.arms {
			a := j.arms[(i+k)%len(j.arms)] // every round begins with another, so that none always follows the same
			if leftOut[a.name] != "" || s.arms != nil && !slices.Contains(s.arms, a.name) {
				continue
			}
			v, err := a.once(ctx, s)
			if errors.Is(err, errLeftOut) {
				leftOut[a.name] = err.Error()
				progressf("%s: %s: %v", j.name, a.name, err)
				continue
			}
			if err != nil {
				return jobReport{}, fmt.Errorf("arm %s, round %d: %w", a.name, i+1, err)
			}
			rounds[i][a.name] = v
			progressf("%s %d/%d: %-24s %s", j.name, i+1, n, a.name, v)
		}
	}
	return j.report(rounds, leftOut), nil
}

func (v values) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		parts = append(parts, fmt.Sprintf("%s %.*f", name, digits(v[name]), v[name]))
	}
	return strings.Join(parts, "; ")
}
