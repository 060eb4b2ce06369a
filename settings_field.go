package sluice

import (
	"math"
	"time"

	"github.com/sluice-go/sluice/internal/engine"
)

// fieldSettings are numbers of ours that Kafka has no property for.
var fieldSettings = []setting{
	{
		field: "CommitMetadata", of: consumer, kind: aCount,
		number: &number{
			at: func(c *Config) any { return &c.CommitMetadata }, unset: 4096, low: 64, high: math.MaxInt16, off: true,
			why: "these are characters, and Kafka's protocol carries no more; a broker takes as many as its offset.metadata.max.bytes says",
		},
		note: "characters in the metadata of a partition's commit",
	},
	{
		field: "CommitTimeout", of: consumer, kind: milliseconds,
		number: &number{
			at:    func(c *Config) any { return &c.CommitTimeout },
			unset: int64(10 * time.Second), low: 1, high: int64(10 * time.Second),
			why: "a group cannot rebalance while a commit is under way",
		},
	},
	{
		field: "DrainTimeout", of: consumer, kind: milliseconds,
		number: &number{
			at:    func(c *Config) any { return &c.DrainTimeout },
			unset: int64(20 * time.Second), low: 1, high: int64(longestOnWire),
		},
	},
	{
		field: "MaxBufferedBytes", of: consumer, kind: bytes,
		number: &number{
			at:    func(c *Config) any { return &c.MaxBufferedBytes },
			unset: 256 << 20, low: engine.SmallestBudget, high: math.MaxInt64,
			why: "an eighth of it is one fetch",
		},
	},
	{
		field: "Network.KeepAlive", of: common, kind: milliseconds,
		number: &number{
			at:    func(c *Config) any { return &c.Network.KeepAlive },
			unset: int64(15 * time.Second), low: int64(time.Second), high: int64(24 * time.Hour), off: true,
		},
		note: "Kafka's clients leave it to the operating system, which waits 2 hours on Linux",
	},
}
