// Package mutants proves that the tests of the engine's invariants can fail. Each *.patch breaks the code in one way that
// people do get wrong; `make mutants` builds the tests over each and demands that those of the invariant fail.
//
// A patch is a unified diff against the module's root, named <invariant>-<what it breaks>.patch. Before the diff it says
// what is broken, and in one line of its own where that must be noticed:
//
//	Must fail: invariant 3 in . ./internal/engine
//
// Those that the simulation (internal/sim) must notice as well, while it runs whole clusters, say so in a second line:
//
//	Sim: caught within 500 seeds
//
// A third line may save time: the test that is known to catch it runs before the others, which then need not run.
//
//	First: TestInvariant3NothingIsCommittedAfterALoss in ./internal/engine
//
// A mutant counts as caught only if its patch applies without fuzz, the test binary builds, and TestInvariant3… of one of
// these packages fails with a message that says "invariant 3:". It gets up to three runs, since scheduling is not
// deterministic; a run that takes too long catches nothing. The simulation stops at the first seed that breaks a rule.
//
// Nearly all of the time is the compiler's, and most of that went into tests which then did not run: a mutant is built with the tests of
// its invariant, and what those use (prune_test.go). Below the table is where the processor time went.
package mutants
