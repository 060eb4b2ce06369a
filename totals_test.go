package sluice_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// totalsOf are those of one topic.
func totalsOf(t testing.TB, app *sluice.App, topic string) sluice.TopicTotals {
	t.Helper()
	all := app.Totals().Topics
	i := slices.IndexFunc(all, func(of sluice.TopicTotals) bool { return of.Topic == topic })
	if i < 0 {
		t.Fatalf("no totals of %s: %+v", topic, all)
	}
	return all[i]
}

func sum(of map[string]int64) (n int64) {
	for _, v := range of {
		n += v
	}
	return n
}

func TestTotalsTellFailuresByClass(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		calls := map[string]int{}
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Topics: []string{"orders"},
				Decode: func(r *kgo.Record) (string, error) {
					if string(r.Value) == "9" {
						return "", errors.New("not an order")
					}
					return string(r.Value), nil
				},
				Policy: sluice.Policy{
					OnFailure: sluice.DeadLetter{Topic: "dlq"}, Retry: sluice.Retry{MaxAttempts: 3, Breaker: -1}, Timeout: 10 * time.Second,
				},
				Handle: func(ctx context.Context, m sluice.Message[string]) error {
					time.Sleep(100 * time.Millisecond) // virtual
					calls[m.Value]++
					switch {
					case m.Value == "1":
						return io.EOF
					case m.Value == "2" && calls["2"] < 3:
						return sluice.Outage(io.EOF)
					case m.Value == "3" && calls["3"] < 2:
						<-ctx.Done()
						return ctx.Err()
					case m.Value == "7" && calls["7"] < 2:
						<-ctx.Done()
						return context.Cause(ctx)
					case m.Value == "4":
						return sluice.Poison(io.EOF)
					case m.Value == "5":
						panic("no")
					case m.Value == "6":
						return sluice.Skip("no need")
					}
					return nil
				},
			})
		})
		c.Until("all", func() bool { return m.app.Stats().Finished == 10 })
		c.Until("its commit", func() bool { return c.Committed("g", "orders", 0) == 10 })
		got := totalsOf(t, m.app, "orders")
		want := map[string]int64{"error": 3, "timeout": 2, "outage": 2, "poison": 1, "panic": 1, "decode": 1, "write": 0}
		if !maps.Equal(got.Failed, want) {
			t.Errorf("failed %v, want %v", got.Failed, want)
		}
		if got.Polled != 10 || got.PolledBytes != 10 || got.Finished != 10 || got.Retried != 6 || got.DeadLettered != 4 || got.Skipped != 1 {
			t.Errorf("%+v", got)
		}
		// 10 records and 6 retries; decoding takes none of this virtual time, and 3 and 7 ran out of 10 s once.
		if h := got.Handling; h.Count != 16 || h.Sum != 13*100*time.Millisecond+2*10*time.Second {
			t.Errorf("%d calls took %v", h.Count, h.Sum)
		}
		all, stats := m.app.Totals(), m.app.Stats()
		if stats.Polled != got.Polled || stats.Finished != got.Finished || stats.Failed != sum(got.Failed) || stats.DeadLettered != 4 ||
			stats.Skipped != 1 || stats.Commits != all.Commits.Count || stats.Rebalances != sum(all.Rebalances) {
			t.Errorf("the sums are %+v, and the totals %+v", stats, all)
		}
		if all.Commits.Count == 0 || time.Since(all.LastCommit) > time.Minute || all.LastCommit.IsZero() {
			t.Errorf("%d commits, the last at %v", all.Commits.Count, all.LastCommit)
		}
		traffic := m.app.Traffic()
		if traffic.Fetched.Records != 10 || traffic.Fetched.Batches < 1 || traffic.Fetched.Bytes == 0 || traffic.Produced.Records != 4 {
			t.Errorf("%+v", traffic)
		}
		kinds := map[string]sluice.RequestTraffic{}
		for _, r := range traffic.Requests {
			kinds[r.Kind] = r
		}
		for _, kind := range []string{"Fetch", "Produce", "OffsetCommit", "JoinGroup"} {
			if r := kinds[kind]; r.Count == 0 || r.Written == 0 || r.Read == 0 {
				t.Errorf("%s: %+v", kind, r)
			}
		}
		m.leave(t)
	})
}

// Each class is told by a batch, too, and its time is that of the batch.
func TestTotalsOfBatches(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		failed := false
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return sluice.AddBatch(app, sluice.BatchRoute[string]{
				Topics: []string{"orders"}, Decode: sluice.Text, MaxSize: 10, MaxWait: time.Second,
				Handle: func(_ context.Context, b sluice.Batch[string]) error {
					time.Sleep(time.Second) // virtual
					if !failed {
						failed = true
						return &sluice.BatchError{Failed: map[int]error{3: io.EOF}}
					}
					return nil
				},
			})
		})
		c.Until("all", func() bool { return m.app.Stats().Finished == 10 })
		got := totalsOf(t, m.app, "orders")
		if got.Failed["error"] != 1 || got.Retried < 1 || got.Handling.Count < 2 || got.Handling.Sum != time.Duration(got.Handling.Count)*time.Second {
			t.Errorf("%+v", got)
		}
		m.leave(t)
	})
}

func TestTotalsTellRebalancesByReason(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		const work = 3 * time.Second
		for p := range int32(4) {
			c.Produce("orders", p, 0, 100, 0)
		}
		slow := failing(sluice.Policy{Workers: 4}, func(sluice.Message[string]) error { time.Sleep(work); return nil }) // virtual
		first := join(t, configFor(t, c, nil), slow)
		c.Until("work", func() bool { return first.app.Stats().Finished > 0 })
		if got := first.app.Totals(); got.Rebalances["assigned"] != 1 || got.Assigning.Count != 1 || got.Rebalances["revoked"] != 0 {
			t.Errorf("after the start: %+v", got)
		}
		second := join(t, configFor(t, c, nil), slow)
		c.Until("its share", func() bool {
			return len(second.app.Snapshot().Partitions) == 2 && len(first.app.Snapshot().Partitions) == 2
		})
		got := first.app.Totals()
		if got.Rebalances["revoked"] != 1 || got.Revoking.Count != 1 || got.Revoking.Sum == 0 || got.Revoking.Sum > work+time.Second {
			t.Errorf("after the second: %+v", got)
		}
		second.leave(t)
		c.Until("all of them again", func() bool { return len(first.app.Snapshot().Partitions) == 4 })
		got = first.app.Totals()
		if got.Rebalances["assigned"] < 2 || got.Rebalances["lost"] != 0 || got.Rebalances["expelled"] != 0 || second.app.Totals().Revoking.Count != 0 {
			t.Errorf("after it left: %+v; it: %+v", got, second.app.Totals())
		}
		first.leave(t)
	})
}

// The time lag is that of the record at the frontier, to half a second, wherever that is; no lag is 0.
func TestTimeLag(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		lag := func(m *member, partition int) time.Duration { return m.app.Snapshot().Partitions[partition].TimeLag }
		near := func(what string, got, want time.Duration) {
			t.Helper()
			if got < want-time.Second || got > want+time.Second {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		for i := range 60 { // a record a minute, with nobody to read them
			c.Produce("orders", 0, i, 1, 0)
			time.Sleep(time.Minute)
		}
		release := make(chan struct{})
		var held atomic.Int32
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{Workers: 4, Ordering: sluice.Unordered}, func(m sluice.Message[string]) error {
			if m.Partition() == 0 && (m.Value == "10" || m.Value == "40") {
				held.Add(1)
				<-release
			}
			return nil
		}))
		c.Until("what is not held", func() bool { return m.app.Stats().Finished == 58 && held.Load() == 2 })
		near("at record 10", lag(m, 0), 50*time.Minute)
		time.Sleep(time.Hour)
		near("an hour later", lag(m, 0), 110*time.Minute)
		release <- struct{}{}
		release <- struct{}{}
		c.Until("all", func() bool { return m.app.Stats().Finished == 60 })
		near("when all is finished", lag(m, 0), 0)
		c.Until("the ends of idle partitions are known", func() bool { return lag(m, 1) >= 0 })
		near("an idle partition", lag(m, 1), 0)
		time.Sleep(time.Hour)
		near("an idle hour later", lag(m, 0), 0)

		// What was not polled counts for as long as it is known.
		if err := m.app.Pause("orders", 2); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		c.Produce("orders", 2, 0, 5, 0)
		time.Sleep(30 * time.Minute)
		if got := lag(m, 2); got < 28*time.Minute || got > 31*time.Minute {
			t.Errorf("paused: %v", got)
		}
		m.leave(t)
	})
}

// What a pattern matches may be ever new topics: those that went elsewhere are not told of for ever, and the sums stay.
func TestTotalsForgetTopicsOfAPatternThatWereLetGo(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders.eu": 1, "orders.us": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders.eu", 0, 0, 10, 0)
		c.Produce("orders.us", 0, 0, 10, 0)
		route := func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[string]{
				Pattern: `orders\..*`, Decode: sluice.Text, Handle: func(context.Context, sluice.Message[string]) error { return nil },
			})
		}
		m := join(t, configFor(t, c, nil), route)
		c.Until("all", func() bool { return m.app.Stats().Finished == 20 && len(m.app.Totals().Topics) == 2 })
		other := join(t, configFor(t, c, nil), route)
		c.Until("one each", func() bool { return len(m.app.Snapshot().Partitions) == 1 && len(other.app.Snapshot().Partitions) == 1 })
		c.Until("the topic is forgotten", func() bool { return len(m.app.Totals().Topics) == 1 })
		if got := m.app.Stats(); got.Finished != 20 || got.Polled != 20 {
			t.Errorf("%+v", got)
		}
		if got, has := m.app.Totals().Topics[0].Topic, m.app.Snapshot().Partitions[0].Topic; got != has {
			t.Errorf("%s is told of, and %s is assigned", got, has)
		}
		other.leave(t)
		m.leave(t)
	})
}

// A client that is made anew counts on.
func TestTotalsGoOnWithANewClient(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 100
		c.Produce("orders", 0, 0, n, 10)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.ProducerFenced, Count: 1})
		m := join(t, configFor(t, c, nil), forward(sluice.Policy{Ordering: sluice.ByKey}, nil))
		c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		got, stats := totalsOf(t, m.app, "orders"), m.app.Stats()
		if got.Polled != 2*n || got.Finished != n || stats.Polled != 2*n || stats.CommitsFailed != 1 || m.app.Totals().Rebalances["assigned"] != 2 {
			t.Errorf("%+v, %+v", got, stats)
		}
		m.leave(t)
	})
}

// What became of records in a transaction that is aborted is undone with it: it counts once, when they come again and are committed.
func TestTotalsOfAnAbortedTransactionCountOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 30
		c.Produce("orders", 0, 0, n, 10)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.TxnOffsetCommit}, Err: kerr.TransactionAbortable, Count: 1})
		policy := sluice.Policy{Ordering: sluice.ByKey, OnFailure: sluice.DeadLetter{Topic: "dlq"}}
		m := join(t, configFor(t, c, nil), forward(policy, func(_ context.Context, m sluice.Message[string]) error {
			switch m.Value {
			case "3", "4":
				return sluice.Poison(io.EOF)
			case "5":
				return sluice.Skip("no need")
			}
			return nil
		}))
		c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		got, stats := totalsOf(t, m.app, "orders"), m.app.Stats()
		if got.Finished != n || got.DeadLettered != 2 || got.Skipped != 1 || stats.Finished != n || len(c.Read("dlq")) != 2 {
			t.Errorf("%+v", got)
		}
		// What was done in vain was done: it was polled, and handed to the handler.
		if got.Polled <= n || got.Handling.Count <= n || got.Handling.Count != got.Polled || got.Failed["poison"] != 4 {
			t.Errorf("%d polled, %d calls, failed %v", got.Polled, got.Handling.Count, got.Failed)
		}
		if stats.CommitsFailed != 1 || stats.Commits < 1 || m.app.Totals().Commits.Count != stats.Commits {
			t.Errorf("%d transactions were committed, and %d aborted", stats.Commits, stats.CommitsFailed)
		}
	})
}

// An answer that brokers refuse is a failure of the class write, once, and the record is finished once: by its dead letter.
func TestTotalsOfAnAnswerThatIsRefused(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1, "dead": 1}, func(t *testing.T, c *bubble.Cluster) {
		const n = 20
		var calls atomic.Int64
		refuse(c, "bills", kerr.InvalidRecord)
		c.Produce("orders", 0, 0, n, 0)
		m := join(t, configFor(t, c, nil), answer(sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dead"}}, &calls, "7"))
		c.Until("all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
		m.leave(t)
		got := totalsOf(t, m.app, "orders")
		if got.Failed["write"] != 1 || sum(got.Failed) != 1 || got.Finished != n || got.DeadLettered != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A handler that outlives its partition is timed like any other: the slowest ones are what one wants to see.
func TestTotalsTimeHandlersThatOutliveTheirPartition(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		const work = time.Minute
		c.Produce("orders", 0, 0, 1, 0)
		cfg := configFor(t, c, nil)
		cfg.DrainTimeout = time.Second
		var running atomic.Bool
		m := join(t, cfg, failing(sluice.Policy{}, func(sluice.Message[string]) error {
			running.Store(true)
			time.Sleep(work) // virtual
			return nil
		}))
		c.Until("it runs", running.Load)
		m.stop()
		if err := <-m.done; err == nil {
			t.Error("Run: no error, though a handler was left behind")
		}
		if got := totalsOf(t, m.app, "orders"); got.Handling.Count != 0 {
			t.Errorf("%d calls before the handler returned", got.Handling.Count)
		}
		time.Sleep(work)
		if got := totalsOf(t, m.app, "orders"); got.Handling.Count != 1 || got.Handling.Sum != work || got.Finished != 0 {
			t.Errorf("%d calls took %v, and %d were finished", got.Handling.Count, got.Handling.Sum, got.Finished)
		}
	})
}

// Partitions that are taken off are lost, and those of a member that the group has expelled without a word begin anew.
func TestTotalsTellLossesAndExpulsions(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		m := join(t, configFor(t, c, nil), failing(sluice.Policy{}, func(sluice.Message[string]) error { return nil }))
		handled := 0
		work := func() {
			t.Helper()
			c.Produce("orders", 0, handled, 10, 0)
			handled += 10
			c.Until("work", func() bool { return c.Committed("g", "orders", 0) == int64(handled) })
		}
		is := func(lost, expelled int64) {
			t.Helper()
			if got := m.app.Totals().Rebalances; got["lost"] != lost || got["expelled"] != expelled || got["revoked"] != 0 {
				t.Errorf("%v, want %d lost and %d expelled", got, lost, expelled)
			}
		}
		work()
		is(0, 0)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Until("the loss", func() bool { return m.app.Totals().Rebalances["lost"] > 0 })
		work()
		is(1, 0)
		member := m.app.Snapshot().MemberID
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Group: "g", Err: kerr.UnknownMemberID, Count: 1})
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Group: "g", Err: kerr.RebalanceInProgress, Count: 1})
		c.Until("it is another member", func() bool { id := m.app.Snapshot().MemberID; return id != "" && id != member })
		work()
		is(1, 1)
		m.leave(t)
	})
}
