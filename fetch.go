package sluice

import (
	"cmp"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// Fetch says how much brokers are asked for, and how long they may wait for it: the long polling of a consumer. A broker
// answers as soon as it has MinBytes, at the latest after MaxWait.
type Fetch struct {
	// MaxBytes bounds one answer (fetch.max.bytes), in bytes on the wire. A single larger batch still comes. Zero: as much as
	// comes to an eighth of Config.MaxBufferedBytes once it is decompressed, shared out among the brokers, and at most 50 MiB.
	MaxBytes int32

	// MaxPartitionBytes bounds one partition's share of an answer (max.partition.fetch.bytes); at most MaxBytes. Zero: 1 MiB, or
	// MaxBytes where that is less; and less where Config.MaxBufferedBytes is a quarter full.
	MaxPartitionBytes int32

	// MaxWait is how long a broker may wait for MinBytes (fetch.max.wait.ms). Zero: 500 ms.
	MaxWait time.Duration

	// MinBytes is what a broker waits for (fetch.min.bytes). Higher values mean fewer and larger answers, later. Zero: 1.
	MinBytes int32
}

const (
	largestFetch          = 50 << 20 // where MaxBytes is not given
	largestPartitionFetch = 1 << 20
)

// fetchSizes are the bounds of what brokers are asked for. What was given in ClientOptions is left alone.
func (c Config) fetchSizes() engine.FetchSizes {
	given := optionNamed(c.ClientOptions, "FetchMaxBytes", "FetchMaxPartitionBytes") != ""
	most := cmp.Or(c.Fetch.MaxBytes, max(largestFetch, c.Fetch.MaxPartitionBytes))
	return engine.FetchSizes{
		Most: most, Fixed: given || c.Fetch.MaxBytes > 0,
		MostOfPartition:  cmp.Or(c.Fetch.MaxPartitionBytes, min(largestPartitionFetch, most)),
		FixedOfPartition: given || c.Fetch.MaxPartitionBytes > 0,
	}
}
