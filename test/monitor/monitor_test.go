package monitor

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/monitor"
)

// Groups of every protocol are seen with their members, and as caught up when they are. Where a share group stands is not looked at: the
// broker tells no offset before it has written one.
func TestGroupsOfEveryProtocol(t *testing.T) {
	k := newKit(t)
	k.create("orders", 1)
	k.shareFromTheStart("shared")
	topic, start := kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())
	k.consume(topic, start, kgo.ConsumerGroup("old"))
	k.consume(topic, start, kgo.ConsumerGroup("new"), kgo.ServerSideBalancer())
	k.consume(topic, kgo.ShareGroup("shared"))
	k.produce("orders", 10)
	told := k.watch()
	for id, kind := range map[string]string{"old": "classic", "new": "consumer", "shared": "share"} {
		k.until(told, id+" has read all", func(s *monitor.Snapshot) bool {
			g, ok := s.Group(id)
			p := row(s, id, "orders")
			return ok && g.Type == kind && g.State == "Stable" && g.Described && len(g.Members) == 1 && g.Err == nil &&
				p.Owner == 0 && (p.Status == monitor.OK && p.Commit == 10 && p.Lag == 0 || kind == "share" && stood(p)) && len(s.Problems) == 0
		})
	}
}

// The broker's own answers tell the age of a record that was there before the monitor, and what is a marker.
func TestTimeLagAndMarkers(t *testing.T) {
	k := newKit(t)
	k.create("orders", 1)
	k.create("payments", 1)
	k.produce("orders", 50)
	written := time.Now()
	k.produce("orders", 50)
	k.commit("behind", "orders", 50, 1)
	client, err := kgo.NewClient(k.seeds, kgo.TransactionalID("tx"), kgo.DefaultProduceTopic("payments"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	transaction := func(n int, end kgo.TransactionEndTry) {
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for range n {
			if err := client.ProduceSync(t.Context(), kgo.StringRecord("x")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	transaction(10, kgo.TryCommit) // 0 to 9, and a marker
	transaction(20, kgo.TryAbort)  // 11 to 30, and a marker
	k.commit("done", "payments", 10, 1)
	k.commit("not done", "payments", 9, 1)
	told := k.watch()
	s := k.until(told, "all is known", func(s *monitor.Snapshot) bool {
		p := row(s, "behind", "orders")
		return p.TimeLag.Known && !p.TimeLag.AtLeast && p.TimeLag.Within <= time.Second && row(s, "done", "payments").Readable == 10
	})
	if p, want := row(s, "behind", "orders"), s.At.Sub(written); p.Lag != 50 || (p.TimeLag.Behind-want).Abs() > time.Second {
		t.Errorf("%+v, but it is %v", p, want)
	}
	if p := row(s, "done", "payments"); p.Lag != 22 || p.TimeLag.Behind != 0 {
		t.Errorf("%+v", p)
	}
	if p := row(s, "not done", "payments"); p.Lag != 23 || p.Readable != 32 || p.TimeLag.Behind == 0 {
		t.Errorf("%+v", p)
	}
}

// The size that a round and a scrape are held to.
const groups, partitions = 10_000, 10

// tenThousandGroups are there, with commits on ten partitions each.
func tenThousandGroups(t *testing.T) *kit {
	t.Helper()
	k := newKit(t)
	k.create("orders", partitions)
	k.produce("orders", 1)
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < groups && !t.Failed(); i += 64 {
				k.commit(name(i), "orders", 0, partitions)
			}
		})
	}
	wg.Wait()
	return k
}

// Ten thousand groups with commits on ten partitions each are a round of well under a second.
func TestTenThousandGroups(t *testing.T) {
	k := tenThousandGroups(t)
	told := k.watch()
	k.until(told, "all groups are seen", func(s *monitor.Snapshot) bool { return len(s.Groups) == groups && len(s.Problems) == 0 })
	for range 5 {
		before, _ := used(t)
		s := <-told
		after, memory := used(t)
		t.Logf("a round of %d groups took %v and %v of CPU; this process has had %d MiB at most", len(s.Groups), s.Took, after-before, memory)
		if len(s.Groups) != groups || len(s.Groups[groups-1].Partitions) != partitions || len(s.Problems) > 0 || s.Took > 5*time.Second {
			t.Fatalf("%d groups, %v, %v", len(s.Groups), s.Problems, s.Took)
		}
	}
}

// stood tells whether a share group's row says what is known of it: nothing before its broker has written where it begins.
func stood(p monitor.Partition) bool {
	if p.Commit < 0 {
		return p.Status == monitor.Unknown
	}
	return p.Status == monitor.OK
}
