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
	toSQL       mode = "to SQL"       // sqlsink
	toKafka     mode = "to Kafka"     // transactions
	guideAuto   mode = "guide, auto"  // the usual guide's loop with auto-commit, a row a record
	guideThird  mode = "guide, third" // the same with a commit every third record
)

// engine is the database that a job writes to.
type engine string

const (
	mariaDB  engine = "MariaDB"
	postgres engine = "PostgreSQL"
	sqLite   engine = "SQLite"
)

// job is one group of members that reads all of the ledger.
type job struct {
	Name     string               `json:"name"`
	Mode     mode                 `json:"mode"`
	Protocol sluice.GroupProtocol `json:"protocol"`
	Engine   engine               `json:"engine,omitempty"`

	// Control jobs must come out dirty, or the checker and the faults are worth nothing.
	Control bool `json:"control,omitempty"`
	// Unfenced jobs run a build of this program in which the SQL sink's fence is taken out.
	Unfenced bool `json:"unfenced,omitempty"`
}

var jobs = []job{
	{Name: "partition-classic", Mode: byPartition, Protocol: sluice.ClassicProtocol},
	{Name: "partition-consumer", Mode: byPartition, Protocol: sluice.ConsumerProtocol},
	{Name: "key-classic", Mode: byKey, Protocol: sluice.ClassicProtocol},
	{Name: "key-consumer", Mode: byKey, Protocol: sluice.ConsumerProtocol},
	{Name: "mariadb-classic", Mode: toSQL, Protocol: sluice.ClassicProtocol, Engine: mariaDB},
	{Name: "mariadb-consumer", Mode: toSQL, Protocol: sluice.ConsumerProtocol, Engine: mariaDB},
	{Name: "postgres-classic", Mode: toSQL, Protocol: sluice.ClassicProtocol, Engine: postgres},
	{Name: "postgres-consumer", Mode: toSQL, Protocol: sluice.ConsumerProtocol, Engine: postgres},
	{Name: "sqlite-classic", Mode: toSQL, Protocol: sluice.ClassicProtocol, Engine: sqLite},
	{Name: "kafka-classic", Mode: toKafka, Protocol: sluice.ClassicProtocol},
	{Name: "kafka-consumer", Mode: toKafka, Protocol: sluice.ConsumerProtocol},
	{Name: "guide-auto", Mode: guideAuto, Protocol: sluice.ClassicProtocol, Engine: mariaDB, Control: true},
	{Name: "guide-third", Mode: guideThird, Protocol: sluice.ClassicProtocol, Engine: mariaDB, Control: true},
	{Name: "unfenced", Mode: toSQL, Protocol: sluice.ClassicProtocol, Engine: mariaDB, Control: true, Unfenced: true},
}

// atLeastOnce jobs may repeat what the members that they lost had not committed; the others may repeat nothing.
func (j job) atLeastOnce() bool { return j.Mode == byPartition || j.Mode == byKey }

// table is the name of the job's table, and of its topic.
func (j job) table() string { return "out_" + strings.ReplaceAll(j.Name, "-", "_") }

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
