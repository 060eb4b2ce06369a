package sluice

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Partitioner chooses the partition of a record.
type Partitioner string

// The partitioners. A record with a key goes where its key's hash says under Murmur2, which is what Kafka's Java clients do;
// one without goes to a partition that changes with each batch.
const (
	Murmur2           Partitioner = "murmur2"     // by key as in Java; sticky without a key
	StickyOnly        Partitioner = "sticky"      // whatever the key: a partition a batch
	RoundRobinRecords Partitioner = "round-robin" // whatever the key: one record each
	ManualPartition   Partitioner = "manual"      // Record.Partition
)

type namedPartitioner struct {
	name Partitioner
	kgo  func() kgo.Partitioner
}

var partitioners = []namedPartitioner{
	{Murmur2, func() kgo.Partitioner { return kgo.StickyKeyPartitioner(nil) }},
	{StickyOnly, kgo.StickyPartitioner},
	{RoundRobinRecords, kgo.RoundRobinPartitioner},
	{ManualPartition, kgo.ManualPartitioner},
}

// checkPartitioner judges the partitioner's name.
func (c ProducerConfig) checkPartitioner(m *mistakes) {
	names := make([]string, len(partitioners))
	for i, p := range partitioners {
		names[i] = string(p.name)
	}
	if !slices.Contains(names, string(c.Partitioner)) {
		m.add("ProducerConfig.Partitioner", string(c.Partitioner), noneOf(string(c.Partitioner), names))
	}
}

// partitioner is what kgo is told. The configuration was checked.
func (c ProducerConfig) partitioner() kgo.Opt {
	i := slices.IndexFunc(partitioners, func(p namedPartitioner) bool { return p.name == c.Partitioner })
	return kgo.RecordPartitioner(partitioners[i].kgo())
}

// noneOf says that a value is none of some names, and which is the nearest.
func noneOf(value string, names []string) string {
	last := len(names) - 1
	text := "is none of " + strings.Join(names[:last], ", ") + " and " + names[last]
	near := slices.MinFunc(names, func(a, b string) int { return editDistance(value, a) - editDistance(value, b) })
	if editDistance(value, near) <= len(near)/2 {
		text += "; did you mean " + near + "?"
	}
	return text
}
