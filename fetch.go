package sluice

import "time"

// Fetch says how much brokers are asked for, and how long they may wait for it: the long polling of a consumer. A broker
// answers as soon as it has MinBytes, at the latest after MaxWait.
type Fetch struct {
	// MaxBytes bounds one answer (fetch.max.bytes). A single larger batch still comes. Zero: 50 MiB.
	MaxBytes int32

	// MaxPartitionBytes bounds one partition's share of an answer (max.partition.fetch.bytes); at most MaxBytes. Zero: 1 MiB, or
	// MaxBytes where that is less.
	MaxPartitionBytes int32

	// MaxWait is how long a broker may wait for MinBytes (fetch.max.wait.ms). Zero: 500 ms.
	MaxWait time.Duration

	// MinBytes is what a broker waits for (fetch.min.bytes). Higher values mean fewer and larger answers, later. Zero: 1.
	MinBytes int32
}
