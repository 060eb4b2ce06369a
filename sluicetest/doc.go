// Package sluicetest tests consumers at three levels, each with nothing installed:
//
//   - [Deliver] and [DeliverBatch] give records to one route, without a broker: what does my handler do with this record?
//   - [NewCluster] starts brokers in this process: does my whole app work, also when a broker fails?
//   - [Bubble] is the same in virtual time, with processes that crash and freeze: hours in milliseconds.
//
// docs/testing.md shows them side by side.
package sluicetest
