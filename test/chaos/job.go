package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-go/sluice"
)

// mode is what a member does with a record.
type mode string

const (
	byPartition mode = "by partition" // the library at least once, in the order of partitions
	byKey       mode = "by key"       // the same, in the order of keys
)

// job is one group of members that reads all of the ledger.
type job struct {
	Name     string               `json:"name"`
	Mode     mode                 `json:"mode"`
	Protocol sluice.GroupProtocol `json:"protocol"`
}

var jobs = []job{
	{"partition-classic", byPartition, sluice.ClassicProtocol},
	{"partition-consumer", byPartition, sluice.ConsumerProtocol},
	{"key-classic", byKey, sluice.ClassicProtocol},
	{"key-consumer", byKey, sluice.ConsumerProtocol},
}

func jobNames() []string {
	var names []string
	for _, j := range jobs {
		names = append(names, j.Name)
	}
	return names
}

// chosen are the jobs of a list of names with commas; all of them when it is empty.
func chosen(names string) ([]job, error) {
	if names == "" {
		return jobs, nil
	}
	var out []job
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(jobs, func(j job) bool { return j.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-jobs: there is no %q; there are %s", name, strings.Join(jobNames(), ", "))
		}
		out = append(out, jobs[i])
	}
	return out, nil
}
