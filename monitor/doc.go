// Package monitor watches all groups of a cluster, of any client: who lags, by how many records and by how much time, and why.
//
// A Monitor asks in rounds, in the background, batched by broker, and serves what the last round saw as a Snapshot, which never changes.
// A round asks for the logs' starts, then for the groups' commits, then for the logs' ends. So a lag is never negative, and what lies
// between a commit and a later start of its log is gone for certain. What a round cannot see spoils its own rows only, which say so.
//
// # Time lag
//
// Time lag is the age of the oldest record that a group has not handled, 0 when it has caught up. It is not the time that it takes to
// catch up, which is the drain. Kafka tells no group's record times; but the log's end, looked at now and then, tells between which two
// looks a record was written (history.go), and ListOffsets by time tells what the end was at any time in the past. So each round also
// sounds the logs of groups that lag, at one time each, until the two looks are no more than a second apart.
//
// # Status
//
// Burrow's words, on a window of time rather than of a number of commits (window.go, rules.go):
//
//	       lag 0 ──────────────▶ OK ◀───────────────────────────────┐ any lag of 0 in the window
//	                             │ lag                              │
//	             no progress     ▼     progress                     │
//	     ┌──────────────────── lagging ─────────┬───────────────────┤
//	     │ for longer than                      │ further behind    │ the commit went back
//	     ▼ its patience                         ▼ all along         ▼
//	STOP without a reader, STALL with one      WARN               REWIND, until it is where it was, or a window has passed
//
// The patience is the window. A group that has no members between its runs, like an hourly job, is known by its habit and has twice as
// long; one that is not known yet has Rules.FirstSight. One with
// members that commits seldom, and then all that it has read, as who writes a file an hour does, is known by its habit when it has done so
// twice.
package monitor
