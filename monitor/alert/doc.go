// Package alert tells people what a monitor sees: rules judge each of its snapshots, and receivers are told what came of it.
//
// An alert is what a rule found, known by its labels:
//
//	        found           for Rule.For          not found for Rule.KeepFiring
//	(none) ─────▶ pending ─────────────▶ firing ───────────────────────────────▶ resolved ──▶ (none)
//	   ▲             │                      ▲        found again: a new one,        │
//	   └─────────────┘                      └────────── pending at first ───────────┘
//	      not found
//
// What a round could not see keeps its alerts as they are: they are neither found nor gone, and the time does not count. MonitorBlind is
// the one alert of it. After a restart that holds for all that has not been seen yet.
//
// A receiver is told what it does not know yet: what fires, what fires still when Receiver.Repeat has passed, and what is resolved; also
// where the same fires again by then, and then first. There is no queue of messages that could grow; each receiver has a goroutine of its
// own, which compares what is so with what it was told. One that hangs or fails holds up nobody else, and learns what is so when it is
// back. What was told is kept in the state file, so that a restart repeats nothing, and a crash at most what was told in the last second.
package alert
