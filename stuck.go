package sluice

import (
	"fmt"
	"strconv"
	"time"
)

// Stuck is the policy for a record that fails for long while others succeed. It matters where a record is tried for ever, or for long:
// Retry.MaxAttempts counts calls, Stuck counts time, and what comes first decides. The zero value: there is none.
//
// A record is judged when an attempt fails: once its first failure in this assignment is After ago, it is stuck. No outage counts: the
// clock of all records of a route stands still in one, and starts again with a record's first failure after it. Save with StuckWarn, a
// record counts only when others succeed, as [Retry] says of Breaker; when all fail, it is an outage, and nothing is stuck.
//
// It cannot be had on routes with Offsets, whose sinks say Poison and Outage by themselves.
type Stuck struct {
	// After is how long a record has to fail. Zero: no record is ever stuck.
	After time.Duration

	// Then says what becomes of a record that is stuck. Zero: StuckWarn. In any case Events.Stuck, the log and Stats.Stuck tell of it,
	// once.
	Then StuckAction
}

// StuckAction is what becomes of a record that is stuck.
type StuckAction int

const (
	// StuckWarn tells it, and the record is tried on; health is red until it is finished. The default.
	StuckWarn StuckAction = iota

	// StuckPark does not try the record again until a restart, or until the partition moves. What is behind it in its lane waits, other
	// lanes go on, and health is red: it spares a server from calls that fail, and loses nothing.
	StuckPark

	// StuckDeadLetter gives the record to Policy.OnFailure, which has to be a DeadLetter. Its error class is stuck.
	StuckDeadLetter

	// StuckHalt halts the record's partition, as Halt does.
	StuckHalt
)

func (a StuckAction) String() string {
	switch a {
	case StuckWarn:
		return "warn"
	case StuckPark:
		return "park"
	case StuckDeadLetter:
		return "dead letter"
	case StuckHalt:
		return "halt"
	}
	return fmt.Sprintf("StuckAction(%d)", int(a))
}

// check notes every mistake, also those that the rest of the policy makes of it.
func (s Stuck) check(p Policy, bad *mistakes) {
	if s.After < 0 {
		bad.add("Policy.Stuck.After", s.After.String(), "negative; give the time after which a record that fails is stuck, or 0 for none")
	}
	if s.Then < StuckWarn || s.Then > StuckHalt {
		bad.add("Policy.Stuck.Then", strconv.Itoa(int(s.Then)), "none of StuckWarn, StuckPark, StuckDeadLetter and StuckHalt")
		return
	}
	if s.Then != StuckWarn && s.After == 0 {
		bad.add("Policy.Stuck.After", "", fmt.Sprintf("Stuck.Then is %v, so say after what time, as in 10*time.Minute", s.Then))
	}
	if _, ok := p.OnFailure.(DeadLetter); s.Then == StuckDeadLetter && !ok {
		bad.add("Policy.Stuck.Then", s.Then.String(), "without a dead letter; set OnFailure to DeadLetter{Topic: …}, which says where "+
			"stuck records go, or have Then be StuckWarn, StuckPark or StuckHalt", "Policy.OnFailure")
	}
	if p.Commit.before && (s.Then == StuckPark || s.Then == StuckHalt) {
		bad.add("Policy.Stuck.Then", s.Then.String(), "it keeps a record for a person, but with BeforeHandle it is committed already; "+
			"use StuckWarn or StuckDeadLetter", "Policy.Commit")
	}
}
