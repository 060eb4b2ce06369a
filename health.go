package sluice

import "time"

// Health tells whether an app does its work.
type Health struct {
	// Live is false only when the process cannot recover by itself.
	Live bool `json:"live"`
	// Ready is true while the app is a member of its group and nothing is wrong.
	Ready bool `json:"ready"`
	// Problems says what is wrong, a sentence each; empty when all is well.
	Problems []string `json:"problems"`
	// Partitions are the partitions that are assigned now, sorted.
	Partitions []PartitionHealth `json:"partitions"`
}

// PartitionHealth is one assigned partition.
type PartitionHealth struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Epoch     uint64 `json:"epoch"`
	Frontier  int64  `json:"frontier"`  // the lowest unfinished offset
	Committed int64  `json:"committed"` // as acknowledged by the broker; -1 none yet
	Position  int64  `json:"position"`  // the next offset to be polled
	LogEnd    int64  `json:"log_end"`   // the log's end as of the last fetch: the last stable offset for read_committed; -1 unknown
	Queued    int    `json:"queued"`
	Running   int    `json:"running"`
	Parked    int    `json:"parked"` // lanes that wait for a retry
	State     string `json:"state"`  // open, leaving, halted, or reclaiming
	LastError string `json:"last_error,omitempty"`
}

// Stats are counters since the app was made. They only grow.
type Stats struct {
	Polled        int64 `json:"polled"`   // records handed over
	Finished      int64 `json:"finished"` // records finished, in whatever way
	Failed        int64 `json:"failed"`   // attempts that failed
	DeadLettered  int64 `json:"dead_lettered"`
	Dropped       int64 `json:"dropped"`
	Skipped       int64 `json:"skipped"`
	Commits       int64 `json:"commits"`
	CommitsFailed int64 `json:"commits_failed"`
	Rebalances    int64 `json:"rebalances"` // times that partitions came or went
	DataLosses    int64 `json:"data_losses"`
	Reclaims      int64 `json:"reclaims"`
	// CommitTime is what all commits took together, in nanoseconds in JSON.
	CommitTime    time.Duration `json:"commit_time"`
	BufferedBytes int64         `json:"buffered_bytes"` // now; may fall
	Buffered      int64         `json:"buffered"`       // records, now; may fall
}
