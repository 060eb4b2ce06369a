// Package sim runs whole clusters in virtual time: a seed decides the members, their policies, what their handlers do, and a
// schedule of faults; an oracle watches that what docs/guarantees.md promises holds all the while.
//
// A world is a bubble (internal/bubble) with brokers, a feeder that produces, and slots. A slot is a place that a process runs
// in, as a pod is: its processes come one after the other, each with a link to the cluster that can be frozen and cut. The
// oracle knows every record, every call of a handler and every commit that reaches the group's coordinator. It does not look
// into the engine.
//
//	scenario   what a seed decides: pure data; plan has its records, fault its faults, shape and stuck its kind of route, stretch how long it lasts
//	world      runs one scenario: brokers, feeder, schedule; ending its end
//	process    one life of a member; app is the program that it runs, handler and stream what that does with records
//	ledger     records and lanes, and the rules about them
//	tenure     one partition in the hands of one process
//	call       one call of a handler, held against the rules
//	commits    what reaches the coordinator, and the rules about it
//	copies     what is written to retry topics and comes back from there, and the rules about it
//	transact   what is scenario and process where a route works in transactions; audit what readers of committed records see of it
//	refuse     answers that brokers do not take
//	static     members that the group knows by name
//	faults     what can be done to a world; seek and pause are those that a user does, with their rules
//
// The seed decides what happens, not who comes first where two things happen at once: the scheduler is not part of it. So rules
// are about what may never be seen, and about virtual time only with room to spare.
package sim
