package sluicetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sluicetest"
)

// plain is a client without retries: it sees every answer as it is.
func plain(t *testing.T, l *sluicetest.Link, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cfg := l.Config("")
	opts = append(append(cfg.ClientOptions, kgo.SeedBrokers(cfg.Brokers...), kgo.RequestRetries(0), kgo.RecordRetries(0),
		kgo.RecordPartitioner(kgo.ManualPartitioner())), opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// ask sends one request to one broker.
func ask[R kmsg.Response](t *testing.T, cl *kgo.Client, broker int32, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Broker(int(broker)).Request(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.(R)
}

// metadata asks for the topic orders.
func metadata(t *testing.T, cl *kgo.Client) kmsg.MetadataResponseTopic {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new("orders")
	req.Topics = append(req.Topics, topic)
	return ask[*kmsg.MetadataResponse](t, cl, 0, req).Topics[0]
}

// leader asks who leads orders[0], in which epoch.
func leader(t *testing.T, cl *kgo.Client) (broker, epoch int32) {
	t.Helper()
	p := metadata(t, cl).Partitions[0]
	return p.Leader, p.LeaderEpoch
}

// fetch asks a broker for orders[0] as a client does that knows of this epoch.
func fetch(t *testing.T, cl *kgo.Client, broker, epoch int32) error {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = "orders"
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.CurrentLeaderEpoch, p.Timestamp = epoch, -1
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	resp := ask[*kmsg.ListOffsetsResponse](t, cl, broker, req)
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// commit commits orders[0] as an admin client does.
func commit(t *testing.T, cl *kgo.Client, broker int32, offset int64) error {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = "g", -1
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = "orders", metadata(t, cl).TopicID
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	resp := ask[*kmsg.OffsetCommitResponse](t, cl, broker, req)
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

func coordinator(t *testing.T, cl *kgo.Client) int32 {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorKeys = "g", []string{"g"}
	resp := ask[*kmsg.FindCoordinatorResponse](t, cl, 0, req)
	return resp.Coordinators[0].NodeID
}

func wantErr(t *testing.T, what string, got error, want *kerr.Error) {
	t.Helper()
	if want == nil && got != nil || want != nil && !errors.Is(got, want) {
		t.Errorf("%s: answered %v, want %v", what, got, want)
	}
}

var orders = map[string]int32{"orders": 1}

func TestFaultMovesAreSeenByClients(t *testing.T) {
	c := sluicetest.NewCluster(t, orders)
	cl := plain(t, c.Link)

	at := coordinator(t, cl)
	wantErr(t, "a commit", commit(t, cl, at, 1), nil)
	c.MoveCoordinator("g")
	wantErr(t, "a commit at the old coordinator", commit(t, cl, at, 2), kerr.NotCoordinator)
	if got := c.Committed("g", "orders", 0); got != 1 {
		t.Errorf("the move lost the commit, or took one: %d", got)
	}
	wantErr(t, "a commit at the new coordinator", commit(t, cl, coordinator(t, cl), 2), nil)

	broker, epoch := leader(t, cl)
	wantErr(t, "the leader", fetch(t, cl, broker, epoch), nil)
	c.StaleEpoch("orders", 0)
	wantErr(t, "the leader, in the old epoch", fetch(t, cl, broker, epoch), kerr.FencedLeaderEpoch)
	wantErr(t, "the leader, in the new epoch", fetch(t, cl, broker, epoch+1), nil)
	c.MoveLeader("orders", 0)
	wantErr(t, "the old leader", fetch(t, cl, broker, -1), kerr.NotLeaderForPartition)
	next, now := leader(t, cl)
	wantErr(t, "the new leader", fetch(t, cl, next, now), nil)
	c.ShuffleLeaders()
	if _, e := leader(t, cl); e != now+1 {
		t.Errorf("after the shuffle the epoch is %d, want %d", e, now+1)
	}
}

func TestFaultLostAnswersAreApplied(t *testing.T) {
	c := sluicetest.NewCluster(t, orders)
	cl := plain(t, c.Link, kgo.DisableIdempotentWrite())

	lost := c.LoseCommitAnswers("g", 1)
	c.LoseCommitAnswers("another", 1)
	wantErr(t, "a commit", commit(t, cl, coordinator(t, cl), 7), kerr.RequestTimedOut)
	if got := c.Committed("g", "orders", 0); got != 7 || lost.Hits() != 1 {
		t.Errorf("committed %d after %d hits, want 7 after 1", got, lost.Hits())
	}
	wantErr(t, "the next commit", commit(t, cl, coordinator(t, cl), 8), nil)

	r := func() *kgo.Record { return &kgo.Record{Topic: "orders", Value: []byte("x")} }
	lost = c.LoseProduceAnswers("orders", 1)
	if err := cl.ProduceSync(t.Context(), r()).FirstErr(); err == nil {
		t.Error("the client was told that it is written")
	}
	if n := len(c.Read("orders")); n != 1 || lost.Hits() != 1 {
		t.Errorf("%d records after %d hits, want 1 after 1", n, lost.Hits())
	}
	refused := c.NotEnoughReplicas("orders", -1)
	for range 3 {
		if err := cl.ProduceSync(t.Context(), r()).FirstErr(); err == nil {
			t.Error("the client was told that it is written")
		}
	}
	refused.Wait(3)
	refused.Lift()
	wantErr(t, "produce", cl.ProduceSync(t.Context(), r()).FirstErr(), nil)
	if n := len(c.Read("orders")); n != 2 {
		t.Errorf("%d records, want 2: what was refused is not written", n)
	}
}

// The app's own producer is idempotent: what was written and not answered is there once.
func TestFaultLostAnswersAndTheProducer(t *testing.T) {
	c := sluicetest.NewCluster(t, orders)
	cfg := c.Config("g")
	p, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		t.Fatal(err)
	}
	lost := c.LoseProduceAnswers("orders", 2)
	if err := p.Send(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("x")}); err != nil {
		t.Error(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(c.Read("orders")); n != 1 || lost.Hits() != 2 {
		t.Errorf("%d records after %d hits, want 1 after 2", n, lost.Hits())
	}
}

// consumer runs an app whose handler notes what it gets.
func consumer(t *testing.T, c *sluicetest.Cluster, l *sluicetest.Link, handle func(offset int64) error) (app *sluice.App, stop func() error) {
	t.Helper()
	app, err := sluice.New(l.Config("g"))
	if err == nil {
		err = sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Policy: sluice.Policy{Commit: sluice.Every(50 * time.Millisecond)},
			Handle: func(_ context.Context, m sluice.Message[string]) error { return handle(m.Offset()) },
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return app, l.Run(app)
}

func produce(c *sluicetest.Cluster, n int) {
	for range n {
		c.Produce(&kgo.Record{Topic: "orders", Value: []byte("x")})
	}
}

func TestFaultsDoNotStopAnApp(t *testing.T) {
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		consumer(t, c, c.Link, func(int64) error { return nil })
		sent := 0
		more := func(what string, fault func()) {
			t.Helper()
			start := time.Now()
			fault()
			produce(c, 3)
			sent += 3
			c.WaitCommitted("g", "orders", 0, int64(sent))
			t.Logf("%s: %v", what, time.Since(start))
		}
		more("no fault", func() {})
		more("coordinator moved", func() { c.MoveCoordinator("g") })
		more("leader moved", func() { c.MoveLeader("orders", 0) })
		more("leaders shuffled", c.ShuffleLeaders)
		more("stale epoch", func() { c.StaleEpoch("orders", 0) })
		more("unknown epoch", func() { c.UnknownEpoch("orders", 0, 2).Wait(2) })
		more("commits applied, not answered", func() { c.LoseCommitAnswers("g", 3) })
		more("connections dropped", c.Drop)
		more("slow", func() { c.SlowAnswers(300 * time.Millisecond) })
		more("kicked", func() { c.KickMember("g", "sluice") })
		more("frozen for a session", func() {
			c.Freeze()
			time.Sleep(time.Minute)
			c.Thaw()
		})
	})
}

func TestFaultKickedMemberComesBackAsAnother(t *testing.T) {
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
			var assigned atomic.Int64
			cfg := c.Config("g")
			cfg.GroupProtocol = protocol
			cfg.Events.Assigned = func(sluice.AssignedInfo) { assigned.Add(1) }
			app, err := sluice.New(cfg)
			if err == nil {
				err = sluice.Add(app, texts(sluice.Policy{}, func(string, int) error { return nil }))
			}
			if err != nil {
				t.Fatal(err)
			}
			c.CreateTopic("refunds", 1)
			c.Run(app)
			all := func(n int64) {
				t.Helper()
				c.WaitFor(fmt.Sprintf("%d assignments, by the protocol %s", n, protocol), func() (string, bool) {
					return fmt.Sprint(assigned.Load()), assigned.Load() == n
				})
			}
			all(2)
			c.KickMember("g", "sluice")
			c.WaitStable("g", 0)
			c.WaitStable("g", 1)
			all(4)
		})
	}
}

func TestFaultSlowAnswersTakeTheirTime(t *testing.T) {
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		cl := plain(t, c.Link)
		broker, epoch := leader(t, cl)
		slow := c.SlowAnswers(2 * time.Second)
		start := time.Now()
		wantErr(t, "the leader", fetch(t, cl, broker, epoch), nil)
		if took := time.Since(start); took < 2*time.Second || took > 5*time.Second || slow.Hits() == 0 {
			t.Errorf("the answer took %v, with %d hits", took, slow.Hits())
		}
		slow.Lift()
		start = time.Now()
		wantErr(t, "the leader", fetch(t, cl, broker, epoch), nil)
		if took := time.Since(start); took > time.Second {
			t.Errorf("after the fault the answer took %v", took)
		}
	})
}

func TestLinkFreezesAndCuts(t *testing.T) {
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		l := c.NewLink()
		cl := plain(t, l)
		broker, epoch := leader(t, cl)
		l.Freeze()
		thaw := time.AfterFunc(3*time.Second, l.Thaw)
		defer thaw.Stop()
		start := time.Now()
		wantErr(t, "the leader", fetch(t, cl, broker, epoch), nil)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the answer came after %v, want the thaw", took)
		}
		l.Drop()
		if _, err := cl.Broker(int(broker)).Request(t.Context(), kmsg.NewPtrMetadataRequest()); err == nil {
			wantErr(t, "after a drop", fetch(t, cl, broker, epoch), nil)
		}
		l.Cut()
		if _, err := cl.Broker(int(broker)).Request(t.Context(), kmsg.NewPtrMetadataRequest()); err == nil {
			t.Error("a request went through a link that was cut")
		}
		wantErr(t, "the leader, on another link", fetch(t, plain(t, c.Link), broker, epoch), nil)
	})
}

// A crash: nobody leaves the group, and what was not committed runs again elsewhere, once the session is over.
func TestACrashedProcessKeepsItsPartitionsForASession(t *testing.T) {
	sluicetest.Bubble(t, orders, func(t *testing.T, c *sluicetest.Cluster) {
		first := c.NewLink()
		var calls atomic.Int64 // for record 2
		_, stop := consumer(t, c, first, func(offset int64) error {
			if offset == 2 {
				calls.Add(1)
				first.Cut()
			}
			return nil
		})
		produce(c, 5)
		c.WaitFor("the crash", func() (string, bool) { return "", calls.Load() > 0 })
		_ = stop() // the process is dead: what it says does not count
		c.WaitStable("g", 1)
		start := time.Now()
		consumer(t, c, c.Link, func(offset int64) error {
			if offset == 2 {
				calls.Add(1)
			}
			return nil
		})
		c.WaitCommitted("g", "orders", 0, 5)
		if waited := time.Since(start); waited < 30*time.Second {
			t.Errorf("the partition came after %v: somebody left", waited)
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("record 2 ran %d times, want 2: its commit was cut off", n)
		}
	})
}
