// Package burrow answers from a monitor's snapshots as Burrow does, under /v3/kafka, for what was made to ask Burrow:
//
//	http.Handle("/v3/", burrow.Handler(m.Snapshot, ""))
//
// Paths and names are Burrow's. It only tells: Burrow's DELETE is refused, and its configuration is not there. What it tells differs in
// four ways. Status is judged on a window of time (see package monitor). Start and end are the ends of that window, and their timestamps
// those of looks, as Kafka tells nobody when a commit was made. Groups that Burrow does not see, of share groups too, are there. And OK is
// said only of what the last round saw: while a broker is away, what was OK is NOTFOUND, with a complete below 1, and the message says why;
// WARN and ERR stay.
package burrow
