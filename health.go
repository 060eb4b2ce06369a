package sluice

import "time"

// Health tells whether an app does its work. It is short, for probes; [Snapshot] has the rest.
type Health struct {
	// Live is false only when a restart is what mends it: a topic was deleted and made again while the app ran.
	Live bool `json:"live"`
	// Ready is true while the app is a member of its group and nothing is wrong.
	Ready bool `json:"ready"`
	// Protocol is how the group is managed, as seen on the wire: ClassicProtocol or ConsumerProtocol; empty before the first join.
	Protocol GroupProtocol `json:"protocol,omitempty"`
	// Problems says what is wrong, a sentence each; empty when all is well.
	Problems []string `json:"problems"`
	// Notes says what is worth knowing and makes nothing unready: that other members of the group read other topics, as they may while
	// a new version is deployed; that a copy in a retry topic has failed for five minutes, and nothing else has succeeded here that would
	// show that it is the copy's own fault. Omitted in JSON when there are none.
	Notes []string `json:"notes,omitempty"`
}

// Stats are counters since the app was made. They only grow.
type Stats struct {
	Polled        int64 `json:"polled"`   // records handed over
	Finished      int64 `json:"finished"` // records finished, in whatever way; in a transaction, once it is committed
	Restored      int64 `json:"restored"` // records that the group's commit said are finished: they were not handed over again
	Failed        int64 `json:"failed"`   // attempts that failed
	Delayed       int64 `json:"delayed"`  // records that went on to a retry topic
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
	Outages       int64         `json:"outages"`        // times that a route stood still
	Stuck         int64         `json:"stuck"`          // records that were stuck: see Policy.Stuck
	BufferedBytes int64         `json:"buffered_bytes"` // now; may fall
	Buffered      int64         `json:"buffered"`       // records, now; may fall
}
