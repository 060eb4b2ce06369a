package sluicetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// limit is how long a wait lasts at most.
type limit struct {
	d    time.Duration
	unit string
}

var virtualLimit = limit{10 * time.Minute, " of virtual time"}

// realLimit is a minute, or what is left of the test's own time, less what it takes to tell.
func realLimit(t testing.TB) limit {
	l := limit{time.Minute, ""}
	if t, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, ok := t.Deadline(); ok {
			l.d = min(l.d, time.Until(end)*3/4)
		}
	}
	return l
}

// WaitFor waits until look says that it is so. Every wait of this package lasts for at most a minute (in a Bubble for 10 virtual minutes),
// and no longer than the test may; then it fails the test, with what was waited for and what look saw last.
func (c *Cluster) WaitFor(what string, look func() (seen string, ok bool)) {
	c.t.Helper()
	over := time.NewTimer(c.limit.d)
	defer over.Stop()
	began := time.Now()
	for {
		seen, ok := look()
		if ok {
			return
		}
		select {
		case <-time.After(min(max(time.Since(began)/20, 10*time.Millisecond), time.Second)):
		case <-over.C:
			c.t.Fatalf("waited %v%s for %s; seen last: %s", c.limit.d, c.limit.unit, what, seen)
		case <-c.t.Context().Done():
			c.t.Fatalf("the test ended while it waited for %s; seen last: %s", what, seen)
		}
	}
}

// WaitCommitted waits until a group has committed a partition at this offset or a later one: the offset after the last record that is
// finished, with every record before it.
func (c *Cluster) WaitCommitted(group, topic string, partition int32, offset int64) {
	c.t.Helper()
	c.WaitFor(fmt.Sprintf("a commit of %s[%d] at %d by the group %s", topic, partition, offset, group), func() (string, bool) {
		at := c.Committed(group, topic, partition)
		if at < 0 {
			return "no commit", false
		}
		return fmt.Sprintf("a commit at %d", at), at >= offset
	})
}

// WaitRecords waits until a topic, of dead letters for example, holds at least n records, and returns what it holds.
func (c *Cluster) WaitRecords(topic string, n int) []*kgo.Record {
	c.t.Helper()
	var records []*kgo.Record
	held := int64(-1)
	c.WaitFor(fmt.Sprintf("%d records in the topic %s", n, topic), func() (string, bool) {
		partitions := c.kafka.PartitionInfos(topic)
		if len(partitions) == 0 {
			return "no such topic", false
		}
		was := held
		held = 0
		for _, p := range partitions {
			held += p.LastStableOffset - p.LogStartOffset
		}
		if held != was { // markers of transactions count here: only reading tells
			records = c.kafka.Read(topic)
		}
		return fmt.Sprintf("%d records", len(records)), len(records) >= n
	})
	return records
}

// WaitStable waits until a group has this many members and all of them have their partitions; with 0, until its last member is gone.
func (c *Cluster) WaitStable(group string, members int) {
	c.t.Helper()
	c.WaitFor(fmt.Sprintf("the group %s to be stable with %d members", group, members), func() (string, bool) {
		info := c.kafka.GroupInfo(group)
		if info == nil {
			return "no such group", members == 0
		}
		seen := fmt.Sprintf("state %s, %d members: %s", info.State, len(info.Members), memberNames(info.Members))
		return seen, len(info.Members) == members && slices.Contains([]string{"Stable", "Empty"}, info.State)
	})
}

func memberNames(members []kfake.GroupMember) string {
	names := make([]string, 0, len(members))
	for _, m := range members {
		names = append(names, m.ClientID)
	}
	return "[" + strings.Join(names, " ") + "]"
}
