package sluice

import (
	"context"
	"errors"
)

// Offsets is implemented by sinks that keep a partition's offset beside their data, as package sqlsink does. A BatchRoute
// with Offsets starts each partition where Claim says. The sink is the authority; commits to Kafka mirror it, so that lag
// tools see it.
type Offsets interface {
	// Claim takes over a partition that the group gave us, so that no earlier owner can write any more, and tells where to
	// go on. It may be called again for a partition that is claimed already: the last claim counts. Return Refused for what
	// a person has to mend: the partition is left alone and health is red. Every other error is tried again with backoff
	// until ctx ends.
	Claim(ctx context.Context, r ClaimRequest) (Claim, error)
}

// ClaimRequest is a partition to be claimed.
type ClaimRequest struct {
	Group     string
	Topic     string
	Partition int32

	// TopicID is the topic's id, zero where the broker tells none. A topic that was deleted and made again has another.
	TopicID [16]byte

	// Committed is the group's commit in Kafka; -1 when there is none. CommittedEpoch is its leader epoch, -1 unknown.
	Committed      int64
	CommittedEpoch int32

	// Start resolves Config.Start to an offset of this partition.
	Start func(context.Context) (int64, error)
}

// Claim is the answer to a ClaimRequest.
type Claim struct {
	// Next is the offset to go on with.
	Next int64

	// NextEpoch is the leader epoch of the record before Next; -1 when unknown (then a log that went back is noticed only
	// when Next lies beyond its end).
	NextEpoch int32

	// Token comes back in every Batch of this assignment.
	Token any
}

// Refused says that a partition cannot be claimed until a person mends something. err should say what.
func Refused(err error) error { return &refusedError{err} }

type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// IsRefused tells whether err was made by Refused.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*refusedError](err)
	return ok
}
