package sluice

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	ofCommits = "only what a handler has finished is committed, never what was merely polled"
	ofDecode  = "a record's bytes are decoded by its route: Route.Decode"
	ofShare   = "share groups are not supported; a route with the ordering Unordered shares a partition among workers"
)

// consumerSettings are those of Kafka's consumers alone.
var consumerSettings = []setting{
	{
		name: "allow.auto.create.topics", of: consumer, kind: aBoolean, kafka: "true", accept: []string{"false"},
		refused: "a typo would make a topic; App.Check names the topics that are missing. Create them: kafka-topics --create",
	},
	{
		name: "auto.commit.interval.ms", of: consumer, kind: milliseconds, kafka: "5000",
		refused: ofCommits + "; Policy.Commit says when: Every, EveryN, EveryOrN, EachRecord",
	},
	{
		name: "auto.offset.reset", of: consumer, kind: aText, kafka: "latest", field: "Start", ours: "earliest", set: setStart,
		note: "only for a group without a commit; where a commit's position is lost, OnDataLoss decides. A duration counts from when " +
			"the file is read",
	},
	{
		name: "check.crcs", of: consumer, kind: aBoolean, kafka: "true", accept: []string{"true"},
		refused: "a batch that was damaged on its way would be handed to a handler; leave it out",
	},
	{
		name: "client.rack", of: consumer, kind: aText, field: "Rack", ours: "leaders only",
		set: setText(func(c *Config) *string { return &c.Rack }),
	},
	{
		name: "default.api.timeout.ms", of: consumer, kind: milliseconds, kafka: "60000",
		refused: "calls end with their context; CommitTimeout bounds a commit, and App.Check takes at most 10 s",
	},
	{
		name: "enable.auto.commit", of: consumer, kind: aBoolean, kafka: "true", accept: []string{"false"},
		refused: "it commits records whose handler may still fail; here " + ofCommits +
			". Leave it out; Policy.Commit says when, and BeforeHandle is for at most once",
	},
	{
		name: "exclude.internal.topics", of: consumer, kind: aBoolean, kafka: "true", accept: []string{"true"},
		refused: "a pattern never matches Kafka's own topics; Route.Topics can name them",
	},
	{
		name: "fetch.max.bytes", of: consumer, kind: bytes, kafka: "52428800", field: "Fetch.MaxBytes",
		ours:   "what comes to an eighth of MaxBufferedBytes, at most 50 MiB",
		number: &number{at: func(c *Config) any { return &c.Fetch.MaxBytes }, low: 1, high: 1 << 30},
	},
	{
		name: "fetch.max.wait.ms", of: consumer, kind: milliseconds, kafka: "500", field: "Fetch.MaxWait",
		number: &number{
			at:    func(c *Config) any { return &c.Fetch.MaxWait },
			unset: int64(500 * time.Millisecond), low: int64(10 * time.Millisecond), high: int64(15 * time.Minute),
		},
		note: "a partition that was paused waits as long for its next fetch",
	},
	{
		name: "fetch.min.bytes", of: consumer, kind: bytes, kafka: "1", field: "Fetch.MinBytes",
		number: &number{at: func(c *Config) any { return &c.Fetch.MinBytes }, unset: 1, low: 1, high: 1 << 30},
	},
	{
		name: "group.id", of: consumer, kind: aText, field: "Group", ours: "required",
		set: setText(func(c *Config) *string { return &c.Group }),
	},
	{
		name: "group.instance.id", of: consumer, kind: aText, field: "InstanceID", ours: "a dynamic member",
		set: func(c *Config, v string) error {
			if problem := instanceProblem(v); problem != "" {
				return errors.New(problem)
			}
			c.InstanceID = v
			return nil
		},
	},
	{
		name: "group.protocol", of: consumer, kind: aText, kafka: "classic",
		field: "GroupProtocol", ours: "classic", set: setProtocol,
		note: "with consumer (KIP-848) every broker has to speak it, or the app does not start. Then session.timeout.ms, " +
			"heartbeat.interval.ms and partition.assignment.strategy are refused, as the broker decides",
	},
	{
		name: "group.remote.assignor", of: consumer, kind: aText, field: "RemoteAssignor", ours: "uniform", set: setRemoteAssignor,
		note: "uniform or range, and only with group.protocol=consumer",
	},
	{
		name: "heartbeat.interval.ms", of: consumer, kind: milliseconds, kafka: "3000", field: "HeartbeatInterval",
		ours: "a third of SessionTimeout, at most 3 s",
		number: &number{
			at:  func(c *Config) any { return &c.HeartbeatInterval },
			low: int64(time.Millisecond), high: int64(24 * time.Hour),
		},
	},
	{
		name: "isolation.level", of: consumer, kind: aText, kafka: "read_uncommitted", field: "ReadUncommitted", ours: "read_committed",
		set: func(c *Config, v string) error {
			switch v {
			case "read_uncommitted":
				c.ReadUncommitted = true
			case "read_committed":
			default:
				return oneOf(v, "read_committed", "read_uncommitted")
			}
			return nil
		},
	},
	{name: "key.deserializer", of: consumer, kind: aClass, refused: ofDecode},
	{
		name: "max.partition.fetch.bytes", of: consumer, kind: bytes, kafka: "1048576", field: "Fetch.MaxPartitionBytes",
		ours:   "1 MiB, or less where Fetch.MaxBytes is, or where MaxBufferedBytes is a quarter full",
		number: &number{at: func(c *Config) any { return &c.Fetch.MaxPartitionBytes }, low: 1, high: 1 << 30},
	},
	{
		name: "max.poll.interval.ms", of: consumer, kind: milliseconds, kafka: "300000", field: "RebalanceTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.RebalanceTimeout },
			unset: int64(time.Minute), low: int64(100 * time.Millisecond), high: int64(longestOnWire),
		},
		note: "it is only how long a rebalance waits for this member: a handler may take as long as it likes, since polls and " +
			"heartbeats never wait for one (Policy.Timeout bounds it)",
	},
	{
		name: "max.poll.records", of: consumer, kind: aCount, kafka: "500",
		refused: "no poll hands records over here: BatchRoute.MaxSize bounds a batch, and MaxBufferedBytes what is held in memory",
	},
	{
		name: "partition.assignment.strategy", of: consumer, kind: aList, kafka: "RangeAssignor, CooperativeStickyAssignor",
		field: "Assignors", ours: "cooperative-sticky", set: setAssignors,
		note: "Java's class names and the short ones: cooperative-sticky, sticky, range, roundrobin",
	},
	{
		name: "session.timeout.ms", of: consumer, kind: milliseconds, kafka: "45000", field: "SessionTimeout",
		number: &number{
			at:    func(c *Config) any { return &c.SessionTimeout },
			unset: int64(45 * time.Second), low: int64(100 * time.Millisecond), high: int64(longestOnWire),
		},
		note: "the broker bounds it, by default to 6 s to 30 minutes",
	},
	{name: "share.acknowledgement.mode", of: consumer, kind: aText, kafka: "implicit", refused: ofShare},
	{name: "share.acquire.mode", of: consumer, kind: aText, kafka: "batch_optimized", refused: ofShare},
	{name: "value.deserializer", of: consumer, kind: aClass, refused: ofDecode},
}

// setStart reads auto.offset.reset.
func setStart(c *Config, v string) error {
	if text, ok := strings.CutPrefix(v, "by_duration:"); ok {
		d, ok := parseISODuration(text)
		if !ok {
			return fmt.Errorf("%q is not a duration such as by_duration:P1DT6H30M", v)
		}
		c.Start = StartAt(time.Now().Add(-d))
		return nil
	}
	switch v {
	case "earliest":
		c.Start = Earliest()
	case "latest":
		c.Start = Latest()
	case "none":
		return errors.New("refused because a group has to begin somewhere; give earliest or latest. OnDataLoss: HaltPartition stops a " +
			"partition whose position is lost")
	default:
		return oneOf(v, "earliest", "latest", "by_duration:P…")
	}
	return nil
}

// setAssignors reads Java's class names, and the names that assignors have in the protocol.
func setAssignors(c *Config, v string) error {
	classes := map[string]Assignor{
		"CooperativeStickyAssignor": CooperativeSticky, "StickyAssignor": Sticky,
		"RangeAssignor": Range, "RoundRobinAssignor": RoundRobin,
	}
	var all []Assignor
	for text := range strings.SplitSeq(v, ",") {
		name := strings.TrimPrefix(strings.TrimSpace(text), "org.apache.kafka.clients.consumer.")
		a, ok := classes[name]
		if !ok {
			a = Assignor(name)
		}
		switch {
		case !slices.Contains(allAssignors, a):
			return oneOf(name, "cooperative-sticky", "sticky", "range", "roundrobin")
		case slices.Contains(all, a):
			return fmt.Errorf("%q is named twice", a)
		}
		all = append(all, a)
	}
	c.Assignors = all
	return nil
}
