package sluice_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// markedBy is answer for records of which nobody knows in advance: bad says which are marked just now.
func markedBy(policy sluice.Policy, bad func(partition int32, offset int64) bool) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.AddTransact(app, sluice.TransactRoute[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
				r := &kgo.Record{Topic: "bills", Key: m.Key(), Value: []byte(m.Value)}
				if bad(m.Partition(), m.Offset()) {
					r.Headers = []kgo.RecordHeader{{Key: mark}}
				}
				return []*kgo.Record{r}, nil
			},
			Policy: policy,
		})
	}
}

const longerBy = 20

// longer has the other partition go on for two minutes, record by record, so that transactions take more again.
func longer(t *testing.T, c *bubble.Cluster, from int) {
	t.Helper()
	for i := range longerBy {
		c.Produce("orders", 1, from+i, 1, 0)
		time.Sleep(6 * time.Second)
	}
}

// A record that brokers have refused before is not to blame for another one of its batch. It was refused, and
// so waits; when it is taken, one behind it is bad.
func TestInvariant12WhoWasRefusedBeforeIsNotToBlameForOthers(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var mended atomic.Bool
		faults := refuse(c, "bills", kerr.InvalidRecord)
		m := join(t, configFor(t, c, nil), markedBy(sluice.Policy{}, func(partition int32, offset int64) bool {
			if mended.Load() {
				return partition == 0 && offset == 9
			}
			return partition == 0 && offset == 5
		}))
		c.Produce("orders", 0, 0, 20, 0)
		longer(t, c, 20)
		if at := c.Committed("g", "orders", 0); at != 5 {
			t.Fatalf("committed is %d", at)
		}
		mended.Store(true)
		longer(t, c, 20+longerBy)
		if at := c.Committed("g", "orders", 0); at != 9 {
			t.Errorf("invariant 12: committed is %d", at)
		}
		faults.Remove()
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 20 })
		m.leave(t)
		once(t, c, 20+2*longerBy)
	})
}

// slowRefusals is told late of a refusal, when its transaction has ended.
type slowRefusals struct{ of string }

func (s slowRefusals) OnProduceRecordUnbuffered(r *kgo.Record, err error) {
	if errors.Is(err, kerr.InvalidRecord) && string(r.Value) == s.of {
		time.Sleep(time.Second)
	}
}

// A record that brokers are known to refuse is known to be to blame, whoever else is told first: nobody is looked for each time that it is
// tried again.
func TestInvariant12WhoIsKnownToBeRefusedIsNotLookedFor(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		refuse(c, "bills", kerr.InvalidRecord)
		cfg, err := sluice.FromProperties(strings.NewReader("group.id=g\nlinger.ms=50\nbootstrap.servers=" + strings.Join(c.ListenAddrs(), ",")))
		if err != nil {
			t.Fatal(err)
		}
		cfg.Logger = configFor(t, c, nil).Logger
		cfg.ClientOptions = slices.Concat(c.Options(c.Dial)[1:], []kgo.Opt{kgo.WithHooks(slowRefusals{"50"})})
		m := join(t, cfg, markedBy(sluice.Policy{Ordering: sluice.ByKey, Workers: 100}, func(partition int32, offset int64) bool {
			if partition == 0 && offset == 50 {
				time.Sleep(10 * time.Millisecond) // others come before it in their batch
				return true
			}
			return false
		}))
		c.Produce("orders", 0, 0, 100, 50)
		c.Until("it is found", func() bool { return m.app.Stats().Failed > 0 && c.Committed("g", "orders", 0) == 50 })
		before := m.app.Stats()
		for i := range 5 {
			longer(t, c, 100+i*longerBy)
		}
		now := m.app.Stats()
		if tries, aborts := now.Failed-before.Failed, now.CommitsFailed-before.CommitsFailed; tries < 5 || aborts > tries+1 {
			t.Errorf("invariant 12: it was tried again %d times, and %d transactions were aborted", tries, aborts)
		}
		m.leave(t)
	})
}

// Attempts count across transactions, those of an outage, too. In one that went on for longer than a transaction, nothing can be handled; when
// it is over, a record that is bad by itself is found at the head of the only lane, and those behind it go on.
func TestInvariant12AttemptsCountAcrossTransactionsInAnOutage(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
		var up atomic.Bool
		policy := sluice.Policy{Retry: sluice.Retry{MaxAttempts: 4}, OnFailure: sluice.Drop{}}
		m := join(t, configFor(t, c, nil), forward(policy, func(_ context.Context, m sluice.Message[string]) error {
			if m.Offset() == 0 || !up.Load() {
				return errors.New("no")
			}
			return nil
		}))
		c.Produce("orders", 0, 0, 20, 0)
		time.Sleep(5 * time.Minute)
		if s := m.app.Stats(); s.Outages == 0 || s.Dropped > 0 {
			t.Fatalf("%d outages, and %d are dropped", s.Outages, s.Dropped)
		}
		up.Store(true)
		began := time.Now()
		c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == 20 || time.Since(began) > 30*time.Minute })
		t.Logf("after %v", time.Since(began))
		if at := c.Committed("g", "orders", 0); at != 20 {
			t.Errorf("invariant 12: half an hour after the outage %d is committed, %d outages", at, m.app.Stats().Outages)
		}
		m.leave(t)
		once(t, c, 20, 0)
	})
}
