// Package engine runs one member of a consumer group: poll, lanes, workers, commits, rebalances and the drain. It knows
// nothing of values, of SQL or of the program; package sluice is its face.
//
// An assignment is one partition from one assign to its revoke, loss or re-claim. Its states:
//
//	starting ──start known──▶ open ──revoke, stop──▶ leaving ──drained, committed──▶ closed
//	    │                      │ ▲ └──▶ finishing ─────▲                              ▲
//	    │                      │ └──── new epoch ◀─── moving (re-claim, data loss)     │
//	    │                      ├──▶ halted ────────────────────────────────────────────┤
//	    └── refused ──▶ halted └──────────── lost, offsets went back ──────────────────┘
//
// A halted one is moving when it is sought, or when the group had taken this member for dead.
//
// Finishing is what commits come first in: what is committed is still handled, and nothing else.
//
// With Config.Transact one loop polls, waits until all that it polled is finished, and commits (transact.go); there is no committer. After
// an abort what was in the transaction is moving until the client has gone back, and opens a new epoch at its last commit.
//
// Goroutines and their owners: Run owns the poll loop, the committer and the workers, and waits for each. Workers are
// started when a lane becomes ready and end when none is. kgo calls the rebalance callbacks on goroutines of its own; they
// wait for handlers of leaving partitions only, and no longer than the drain deadline. Timers (retries, batches that wait,
// commits that are due) are time.AfterFunc and only take the lock.
//
// Locks: Engine.swap, then Engine.committing, then Engine.mu. The first two are channels, so that waiting for them ends
// with a context. Nothing blocks, no user code and nothing of kgo is called under mu: what has to be told is put into
// Engine.later and called after the unlock.
package engine
