// Package alertfile is the file that `sluice monitor --alerts` reads: who is told, objectives, changes to the rules that are built in,
// rules of one's own, and silences.
//
// [Load] returns every mistake at once, each with its line, column and field. An expression of a rule that does not compile is none of
// these: the others go on, and the alert RuleFailed tells of it.
package alertfile
