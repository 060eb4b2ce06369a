package sluice

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// Route gives the records of some topics to a handler, one at a time.
type Route[V any] struct {
	// Topics are the topics that the records come from. Required, unless there is a Pattern. Topics of an app's routes are disjoint,
	// and a missing topic is an error at start.
	Topics []string

	// Pattern is a regular expression (Go's) for whole names of topics, beside Topics. Topics that come later are noticed within
	// Network.MetadataMaxAge. It never matches names that begin with "__", nor the topics of the app's own dead letters. A topic that a
	// route names is that route's alone; one that two patterns match is an error at start, and, when it comes later, goes to the
	// route that was added first. Zero: none.
	Pattern string

	// Decode makes a value of a record. Required.
	Decode Decoder[V]
	// Handle does the work. Required. What it returns is the record's outcome: nil, Poison, Skip, RetryAfter, Outage, or any
	// other error, which is retried. Its context ends when the partition is lost, or when it was revoked and the drain ran
	// out of time; context.Cause tells which.
	Handle func(ctx context.Context, m Message[V]) error

	// Policy says how records are ordered, retried and committed.
	Policy Policy
}

// BatchRoute gives the records of some topics to a handler, many at a time, all of one partition.
type BatchRoute[V any] struct {
	// Topics and Pattern, as for Route. One of them is required.
	Topics  []string
	Pattern string

	// Decode makes a value of a record. Required. With ordering ByPartition and no Middleware, the next batch is decoded while
	// this one is in its handler.
	Decode Decoder[V]

	// Handle does the work. Required. It returns nil, a *BatchError for some of the messages, or an outcome for all of
	// them. A batch that is poison, or that failed as a whole as often as Retry.MaxAttempts allows, is tried once more record
	// by record, so that only those that fail by themselves go to OnFailure.
	Handle func(ctx context.Context, b Batch[V]) error

	// MaxSize bounds a batch in records. Zero: 1,000.
	MaxSize int

	// MaxWait is how long a batch that is not full waits for more. Zero: it does not wait; a batch takes what is there,
	// which grows by itself when the handler is slower than the topic.
	MaxWait time.Duration

	// Offsets is the sink that keeps the offsets, nil for a sink that does not. It demands the ordering ByPartition.
	Offsets Offsets

	// Policy says how records are ordered, retried and committed.
	Policy Policy
}

const defaultBatchSize = 1000

// Add adds a route to an app. It returns every mistake at once, each a *ConfigError; an app with a bad route does not run.
func Add[V any](app *App, r Route[V]) error {
	var bad mistakes
	pattern := checkRoute(&bad, r.Topics, r.Pattern, r.Decode == nil, r.Handle == nil)
	policy := r.Policy.withDefaults(&bad)
	checkRetryTopicNames(&bad, app.cfg.Group, r.Topics, r.Pattern, policy)
	if err := bad.err(); err != nil {
		return app.refuse(fmt.Errorf("Route %s: %w", sources(r.Topics, r.Pattern), err))
	}
	return app.add(addedRoute{topics: r.Topics, pattern: pattern, policy: policy, handler: recordHandler(app, r)})
}

// AddBatch adds a batch route to an app, as Add does.
func AddBatch[V any](app *App, r BatchRoute[V]) error {
	var bad mistakes
	pattern := checkRoute(&bad, r.Topics, r.Pattern, r.Decode == nil, r.Handle == nil)
	policy := r.Policy.withDefaults(&bad)
	checkRetryTopicNames(&bad, app.cfg.Group, r.Topics, r.Pattern, policy)
	if r.Offsets != nil && len(policy.RetryTopics) > 0 {
		bad.add(retryField, fmt.Sprint(policy.RetryTopics), "with Offsets; the sink's offsets are its own topic's, and it would "+
			"have to undo what is retried later: leave it out, and let the sink say Poison and Outage")
	}
	if r.MaxSize < 0 {
		bad.add("MaxSize", strconv.Itoa(r.MaxSize), fmt.Sprintf("negative; give a number of records, or 0 for %d", defaultBatchSize))
	}
	if r.MaxWait < 0 {
		bad.add("MaxWait", r.MaxWait.String(), "negative; give a time to wait for more records, or 0 for none")
	}
	if r.Offsets != nil && policy.Ordering != ByPartition {
		bad.add("Policy.Ordering", policy.Ordering.String(), "with Offsets; a sink that keeps one offset a partition needs ByPartition")
	}
	if r.Offsets != nil && policy.Stuck != (Stuck{}) {
		bad.add("Policy.Stuck", policy.Stuck.Then.String(), "with Offsets; a sink that keeps the offsets says Poison and Outage by "+
			"itself: leave it out")
	}
	if r.Offsets != nil && (policy.Commit.before || policy.Commit.manual) {
		bad.add("Policy.Commit", "", "BeforeHandle or Manual with Offsets; the sink keeps the offsets beside its data, and commits to "+
			"Kafka only mirror them: leave it to an interval")
	}
	if err := bad.err(); err != nil {
		return app.refuse(fmt.Errorf("BatchRoute %s: %w", sources(r.Topics, r.Pattern), err))
	}
	r.MaxSize = cmp.Or(r.MaxSize, defaultBatchSize)
	return app.add(addedRoute{
		topics: r.Topics, pattern: pattern, policy: policy, handler: batchHandler(app, r),
		batch: true, maxSize: r.MaxSize, maxWait: r.MaxWait, offsets: r.Offsets,
	})
}

func checkRoute(bad *mistakes, topics []string, pattern string, noDecode, noHandle bool) (compiled *regexp.Regexp) {
	if len(topics) == 0 && pattern == "" {
		bad.add("Topics", "", "name at least one")
	}
	for i, t := range topics {
		if t == "" {
			bad.add(fmt.Sprintf("Topics[%d]", i), "", "empty; name a topic")
		}
	}
	if pattern != "" {
		var err error
		if compiled, err = regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			bad.add("Pattern", pattern, "not a regular expression of Go's: "+err.Error()+"; see https://pkg.go.dev/regexp/syntax")
		}
	}
	if noDecode {
		bad.add("Decode", "", "required (JSON, Raw, Text or your own)")
	}
	if noHandle {
		bad.add("Handle", "", "required")
	}
	return compiled
}

// sources are what a route reads, for messages.
func sources(topics []string, pattern string) string {
	if pattern == "" {
		return fmt.Sprint(topics)
	}
	return fmt.Sprintf("%v /%s/", topics, pattern)
}
