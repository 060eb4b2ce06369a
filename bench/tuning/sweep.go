package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sluice-go/sluice"
)

// sweep is one setting at several values, everything else left alone.
type sweep struct {
	Name   string // of its files
	Title  string
	Axis   string
	Load   string // what it was measured under
	points []point
}

// point is one value of the setting.
type point struct {
	label   string
	measure func(ctx context.Context, s *stage) (measure, error)
}

// measure is what one point showed.
type measure struct {
	Throughput float64 `json:"records_per_second"`
	P99        float64 `json:"p99_ms"`
	Requests   float64 `json:"requests_per_second"`
	Wire       float64 `json:"megabytes_per_second"` // on the wire, after compression
}

// measured is a sweep with its numbers, the medians of some rounds.
type measured struct {
	Name   string          `json:"name"`
	Title  string          `json:"title"`
	Axis   string          `json:"axis"`
	Load   string          `json:"load"`
	Kafka  string          `json:"kafka"`
	At     string          `json:"measured"`
	Rounds int             `json:"rounds"`
	Points []measuredPoint `json:"points"`
}

type measuredPoint struct {
	Value string `json:"value"`
	measure
}

const (
	pacedRate = 20_000 // records a second
	paced     = "a producer that offers 20,000 records of 256 B a second to 6 partitions, acks=all"
	saturated = "a producer that offers as many records of 256 B as its buffer takes, to 6 partitions, acks=all"
	backlog   = "a consumer with a handler that does nothing, on a backlog of 6 partitions"
)

var sweeps = []sweep{
	{
		Name: "batch-size", Title: "batch.size", Axis: "batch.size, bytes", Load: saturated,
		points: sizes(1<<10, 4<<10, 16<<10, 64<<10, 256<<10, 1_000_000),
	},
	{Name: "linger", Title: "linger.ms", Axis: "linger.ms", Load: paced, points: lingers(0, 1, 5, 20, 50, 100)},
	{Name: "compression", Title: "compression.type", Axis: "compression.type", Load: saturated, points: codecs(
		sluice.Uncompressed, sluice.Snappy, sluice.LZ4, sluice.Zstd, sluice.Gzip)},
	{
		Name: "fetch-min-bytes", Title: "fetch.min.bytes", Axis: "fetch.min.bytes, with fetch.max.wait.ms = 500",
		Load: "a consumer behind " + paced, points: fetches(1, 10_000, 100_000, 1_000_000, 5_000_000),
	},
	{Name: "commit-frequency", Title: "how often to commit", Axis: "Policy.Commit", Load: backlog, points: []point{
		commits("each record", sluice.EachRecord()),
		commits("every 3", sluice.EveryN(3)),
		commits("every 100", sluice.EveryN(100)),
		commits("every 10,000", sluice.EveryN(10_000)),
		commits("100 ms", sluice.Every(100*time.Millisecond)),
		commits("1 s", sluice.Every(time.Second)),
		commits("before handle", sluice.BeforeHandle()),
	}},
}

func sweepNames() []string {
	var names []string
	for _, s := range sweeps {
		names = append(names, s.Name)
	}
	return names
}

func (sw sweep) run(ctx context.Context, s *stage, rounds int) (measured, error) {
	m := measured{
		Name: sw.Name, Title: sw.Title, Axis: sw.Axis, Load: sw.Load, Kafka: s.version,
		At: time.Now().UTC().Format(time.DateOnly), Rounds: rounds,
	}
	seen := make([][]measure, len(sw.points))
	for round := range rounds {
		for i, p := range sw.points { // in turns, so that a slow minute slows all values
			fmt.Fprintf(os.Stderr, "%s: round %d of %d: %s\n", sw.Name, round+1, rounds, p.label)
			one, err := p.measure(ctx, s)
			if err != nil {
				return m, fmt.Errorf("%s: %w", p.label, err)
			}
			seen[i] = append(seen[i], one)
		}
	}
	for i, p := range sw.points {
		middle := func(of func(measure) float64) float64 {
			values := make([]float64, len(seen[i]))
			for j, one := range seen[i] {
				values[j] = of(one)
			}
			slices.Sort(values)
			return values[len(values)/2]
		}
		m.Points = append(m.Points, measuredPoint{Value: p.label, measure: measure{
			Throughput: middle(func(m measure) float64 { return m.Throughput }),
			P99:        middle(func(m measure) float64 { return m.P99 }),
			Requests:   middle(func(m measure) float64 { return m.Requests }),
			Wire:       middle(func(m measure) float64 { return m.Wire }),
		}})
	}
	return m, nil
}
