// Package pipeline is the file that `sluice run` runs: it is read, checked as a whole, and made into a sink and a route.
//
// [Load] reads a file into a [Spec] and returns every mistake at once, each with its line, column and field. It opens
// nothing. [Open] makes the database handle and the sink, [Pipeline.Check] asks broker and database whether the file can
// work, and changes neither.
//
// A [Mapper] makes a row of a record: it decodes the value, asks the filter, and takes each column from the record or from an
// [Expression]. [Mapper.Preview] tells the same for a dry run.
package pipeline
