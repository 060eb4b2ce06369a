package main

import (
	"math/rand/v2"
	"testing"
)

// Every job has its turn before one has another, and control jobs have theirs first.
func TestADrawIsFair(t *testing.T) {
	d := &draw{Rand: rand.New(rand.NewPCG(7, 7))}
	for _, j := range jobs {
		d.fleets = append(d.fleets, &fleet{job: j})
	}
	for round := range 3 {
		seen := make(map[string]bool)
		for i := range jobs {
			f := d.fleet()
			seen[f.job.Name] = true
			if control := i < 3; round == 0 && f.job.Control != control {
				t.Errorf("the first round has %s in place %d", f.job.Name, i)
			}
		}
		if len(seen) != len(jobs) {
			t.Errorf("round %d hit %d jobs of %d", round, len(seen), len(jobs))
		}
	}
}
