package sluice

import (
	"cmp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice/internal/engine"
)

// Totals are counters since the app was made, by topic and by reason; Stats are their sums. Package metrics tells them to Prometheus.
type Totals struct {
	// Topics are those that the app has or had partitions of, sorted, retry topics among them. One that only a Pattern matches is left
	// out, and begins at 0 when it comes back, some time after its last partition has gone.
	Topics []TopicTotals
	// Rebalances are the times that partitions came or went, by why: assigned, revoked, lost (the group gave them to another member
	// without asking) and expelled (the group had taken this member for dead, and they begin anew).
	Rebalances map[string]int64
	// Assigning is how long it took until it was known where partitions begin, and Revoking how long it took to give them back: the drain
	// and its commit.
	Assigning, Revoking Distribution
	// Commits are those that the broker acknowledged, and LastCommit is when it did so last; zero: not yet.
	Commits    Distribution
	LastCommit time.Time
}

// TopicTotals are the counters of one topic. Where it is not said otherwise they count records. What became of records of a TransactRoute
// (Finished, Skipped, DeadLettered, Dropped) counts when their transaction is committed.
type TopicTotals struct {
	Topic        string
	Polled       int64            // handed over
	PolledBytes  int64            // their keys, values and headers
	Finished     int64            // in whatever way
	Restored     int64            // not handed over again, as the group's commit said that they are finished
	Skipped      int64            // by their handler
	Failed       map[string]int64 // calls of a handler that failed, by class: error, timeout, outage, poison, panic, decode, write
	Retried      int64            // handed to a handler once more
	Delayed      int64            // that went on to a retry topic
	DeadLettered int64
	Dropped      int64
	Stuck        int64
	DataLosses   int64 // times that a position was no longer in its log
	Lost         int64 // offsets that retention took before they were read
	// Handling is how long a handler took for a record, failed calls included; on a BatchRoute, for a batch. Records that are faster than
	// 20 µs are timed several at once.
	Handling Distribution
}

// Distribution tells how long something took each time.
type Distribution struct {
	Count int64
	Sum   time.Duration
	// Within counts by DistributionBounds: what took longer than the bound before and at most this one.
	Within []int64
	// Fine counts by the buckets of Prometheus' native histograms: under i what took more than 2^((i-1)/8) seconds, and at most 2^(i/8).
	Fine map[int]int64
}

// DistributionBounds are the bounds of Distribution.Within.
func DistributionBounds() []time.Duration { return slices.Clone(engine.Bounds[:]) }

func distribution(d *engine.Distribution) Distribution {
	return Distribution{Count: d.Count, Sum: d.Sum, Within: slices.Clone(d.Within[:]), Fine: d.Fine()}
}

// Totals returns the app's counters; zeros before Run.
func (a *App) Totals() Totals {
	if e := a.running(); e != nil {
		return totals(e.Totals())
	}
	return totals(engine.Totals{})
}

func totals(from engine.Totals) Totals {
	t := Totals{
		Rebalances: make(map[string]int64), LastCommit: from.LastCommit, Commits: distribution(&from.Commits),
		Assigning: distribution(&from.RebalanceTime[engine.CameIn]),
		Revoking:  distribution(&from.RebalanceTime[engine.AskedFor]),
	}
	for why, name := range engine.Rebalances {
		t.Rebalances[name] = from.Rebalances[why]
	}
	for topic, of := range from.Topics {
		out := TopicTotals{
			Topic: topic, Polled: of.Polled, PolledBytes: of.PolledBytes, Finished: of.Finished, Restored: of.Restored, Skipped: of.Skipped,
			Failed: make(map[string]int64), Retried: of.Retried, Delayed: of.Delayed, DeadLettered: of.DeadLettered, Dropped: of.Dropped,
			Stuck: of.Stuck, DataLosses: of.DataLosses, Lost: of.LostRecords, Handling: distribution(&of.Handling),
		}
		for class, name := range engine.FailureClasses {
			out.Failed[name] = of.Failed[class]
		}
		t.Topics = append(t.Topics, out)
	}
	slices.SortFunc(t.Topics, func(a, b TopicTotals) int { return cmp.Compare(a.Topic, b.Topic) })
	return t
}

// Traffic is what went between an app's, or a producer's, clients and the brokers since it was made. An app's is also that of its dead
// letters and retry topics.
type Traffic struct {
	// Requests are sorted by their kinds.
	Requests []RequestTraffic
	// Fetched and Produced are batches of records, as they lie in the log. What a fetch brings on average is Fetched divided by the
	// requests of the kind Fetch.
	Fetched, Produced BatchTraffic
	// Connects are connections that were made, or tried to be, and ConnectsFailed those of them that failed; Disconnects ended.
	Connects, ConnectsFailed, Disconnects int64
	// Throttled is for how long brokers held requests back, by quotas.
	Throttled time.Duration
}

// RequestTraffic are the requests of one kind, and their answers.
type RequestTraffic struct {
	Kind          string // Kafka's name of it, as Fetch
	Count         int64
	Failed        int64         // of them, those that had no answer; an answer that tells of an error is one
	Written, Read int64         // bytes
	Took          time.Duration // together, from writing the request to having read the answer; a Fetch waits for records meanwhile
}

// BatchTraffic are batches of records.
type BatchTraffic struct {
	Batches, Records int64
	Bytes            int64 // compressed
	Uncompressed     int64 // bytes
}

// Traffic tells what went to the brokers and came back.
func (a *App) Traffic() Traffic { return traffic(&a.wire) }

func traffic(w *engine.Wire) Traffic {
	from := w.Traffic()
	t := Traffic{
		Fetched: BatchTraffic(from.Fetched), Produced: BatchTraffic(from.Produced),
		Connects: from.Connects, ConnectsFailed: from.ConnectsFailed, Disconnects: from.Disconnects, Throttled: from.Throttled,
	}
	for key, r := range from.Requests {
		t.Requests = append(t.Requests, RequestTraffic{
			Kind: kmsg.NameForKey(key), Count: r.Count, Failed: r.Failed, Written: r.Written, Read: r.Read, Took: r.Took,
		})
	}
	slices.SortFunc(t.Requests, func(a, b RequestTraffic) int { return cmp.Compare(a.Kind, b.Kind) })
	return t
}
