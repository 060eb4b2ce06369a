package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
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

type contextKey struct{}

// answers are what callbacks were told, by the records' values.
type answers struct {
	mu  sync.Mutex
	all map[string]error
}

func (a *answers) done(r *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.all == nil {
		a.all = map[string]error{}
	}
	a.all[string(r.Value)] = err
}

// of is what was told of a record; an error of its own when nothing was.
func (a *answers) of(value string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err, ok := a.all[value]
	if !ok {
		return errors.New("not told yet")
	}
	return err
}

func (a *answers) snapshot() map[string]error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.all)
}

func TestARecordTimesOutNoSoonerAndSaysWhy(t *testing.T) {
	const timeout = 20 * time.Second
	for name, lose := range map[string]func(*bubble.Link){"frozen": (*bubble.Link).Freeze, "cut": (*bubble.Link).Cut} {
		for _, sent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sent before %t", name, sent), func(t *testing.T) {
				bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
					link := c.NewLink()
					cfg := configFor(t, c, link).Producer()
					cfg.DeliveryTimeout = timeout
					p := newProducer(t, cfg)
					defer func() { _ = p.Close(context.Background()) }()
					if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
						t.Fatal(err)
					}
					if sent { // its answer is lost: nobody knows whether it was written
						c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
							c.KeepControl()
							lose(link)
							return nil, nil, false //nolint:nilnil // it goes on as it would have
						})
					} else {
						lose(link)
					}
					time.Sleep(timeout / 100) // what came before it must not count
					began := time.Now()
					old := textRecord("orders", "x")
					old.Timestamp = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC) // a copy keeps its source's
					failed := failures(t, p.Send(context.Background(), old))
					took := time.Since(began)
					if len(failed) != 1 || !errors.Is(failed[0], sluice.ErrDeliveryTimeout) ||
						!strings.Contains(failed[0].Error(), "within the delivery timeout; it may still have been written") {
						t.Fatalf("after %v: %v", took, failed)
					}
					if took < timeout || took > timeout+5*time.Second {
						t.Errorf("told after %v", took)
					}
					if name == "cut" && !strings.Contains(failed[0].Error(), "use of closed network connection") {
						t.Errorf("does not say what was wrong: %v", failed[0])
					}
				})
			})
		}
	}
}

func TestWhatWaitsBehindATimeoutFailsWithItAndOtherPartitionsGoOn(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil).Producer()
		cfg.DeliveryTimeout, cfg.Partitioner = 20*time.Second, sluice.ManualPartition
		p := newProducer(t, cfg)
		defer closeProducer(t, p)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{0}, Err: kerr.NotEnoughReplicas, Count: -1})
		var got answers
		enqueue := func(partition int32, value string) {
			p.Enqueue(context.Background(), &kgo.Record{Topic: "orders", Partition: partition, Value: []byte(value)}, got.done)
		}
		enqueue(0, "head")
		time.Sleep(15 * time.Second)
		enqueue(0, "behind")
		enqueue(1, "elsewhere")
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := got.of("head"); !errors.Is(err, sluice.ErrDeliveryTimeout) || errors.Is(err, sluice.ErrBehindTimeout) {
			t.Errorf("head: %v", err)
		}
		if err := got.of("behind"); !errors.Is(err, sluice.ErrBehindTimeout) || errors.Is(err, sluice.ErrDeliveryTimeout) {
			t.Errorf("behind: %v", err)
		}
		if err := got.of("elsewhere"); err != nil {
			t.Errorf("elsewhere: %v", err)
		}
	})
}

func TestAContextThatEndsFailsItsRecordAlone(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		p := newProducer(t, configFor(t, c, link).Producer())
		if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		why := errors.New("the request is over")
		one, cancel := context.WithCancelCause(t.Context())
		other, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		var got answers
		for i := range 10 {
			p.Enqueue(other, textRecord("orders", fmt.Sprint("other ", i)), got.done)
			p.Enqueue(one, textRecord("orders", fmt.Sprint("one ", i)), got.done)
			p.Enqueue(context.WithValue(one, contextKey{}, 1), textRecord("orders", fmt.Sprint("child ", i)), got.done)
			p.Enqueue(context.Background(), textRecord("orders", fmt.Sprint("background ", i)), got.done)
		}
		if n := p.Watched(); n != 2 {
			t.Errorf("%d contexts are watched, want 2", n)
		}
		began := time.Now()
		cancel(why)
		c.Until("those are told", func() bool { return len(got.snapshot()) == 20 })
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("told after %v", took)
		}
		for value, err := range got.snapshot() {
			if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !strings.Contains(err.Error(), "may still be written") {
				t.Errorf("%s: %v", value, err)
			}
		}
		p.Enqueue(one, textRecord("orders", "late"), got.done)
		if err := p.Send(one, textRecord("orders", "late too")); !errors.Is(err, why) || !strings.Contains(err.Error(), "not sent") {
			t.Errorf("Send with a context that has ended: %v", err)
		}
		link.Thaw()
		closeProducer(t, p)
		if err := got.of("late"); !errors.Is(err, why) || len(got.snapshot()) != 41 {
			t.Errorf("late: %v; %d were told", err, len(got.snapshot()))
		}
		for i := range 10 {
			if a, b := got.of(fmt.Sprint("other ", i)), got.of(fmt.Sprint("background ", i)); a != nil || b != nil {
				t.Errorf("the context of another record failed these: %v, %v", a, b)
			}
		}
		if n := p.Watched(); n != 0 {
			t.Errorf("%d contexts are still watched", n)
		}
		c.Until("the client has let go of them all", func() bool {
			used, waiting := p.Used()
			return used == 0 && waiting == 0
		})
	})
}

func TestAnUnknownTopicIsNamedAtOnceAndTheOthersGoOn(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		for round := range 2 { // the second time it is not known any better
			began := time.Now()
			err := p.Send(context.Background(), textRecord("orders", "a"), textRecord("oders", "b"), textRecord("orders", "c"), textRecord("oders", "d"))
			failed := failures(t, err)
			if took := time.Since(began); len(failed) != 2 || failed[0].Index != 1 || failed[1].Index != 3 || took > 3*time.Second {
				t.Fatalf("round %d, after %v: %v", round, took, err)
			}
			for _, f := range failed {
				if !errors.Is(f, sluice.ErrUnknownTopic) || !errors.Is(f, kerr.UnknownTopicOrPartition) || f.Partition != -1 ||
					!strings.Contains(f.Error(), "for topic oders: the topic does not exist") {
					t.Errorf("%v", f)
				}
			}
		}
		if _, err := c.Admin().CreateTopic(t.Context(), 1, 1, nil, "oders"); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), textRecord("oders", "now")); err != nil {
			t.Errorf("the topic was made meanwhile: %v", err)
		}
		if err := p.Send(t.Context(), &kgo.Record{}); !errors.Is(err, sluice.ErrUnknownTopic) {
			t.Errorf("a record without a topic: %v", err)
		}
	})
}

func TestATopicThatWasMadeJustNowIsWaitedFor(t *testing.T) {
	bubble.Run(t, nil, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		time.AfterFunc(400*time.Millisecond, func() {
			if _, err := c.Admin().CreateTopic(context.Background(), 1, 1, nil, "orders"); err != nil {
				t.Error(err)
			}
		})
		if err := p.Send(t.Context(), textRecord("orders", "x")); err != nil {
			t.Error(err)
		}
	})
}

func TestAFullBufferWaitsForRoomAsLongAsItsContextAllows(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		cfg := configFor(t, c, link).Producer()
		cfg.MaxRequestBytes, cfg.MaxBufferedBytes, cfg.DeliveryTimeout = 10_000, 100_000, time.Minute
		p := newProducer(t, cfg)
		if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		value := strings.Repeat("x", 1000)
		var answered atomic.Int64
		count := func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
			answered.Add(1)
		}
		var entered atomic.Int64
		go func() {
			for range 300 {
				p.Enqueue(context.Background(), textRecord("orders", value), count)
				entered.Add(1)
			}
		}()
		time.Sleep(time.Second)
		if n := entered.Load(); n != 100_000/1200 {
			t.Errorf("%d records of 1,200 bytes went into 100,000", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Send(ctx, textRecord("orders", "y"), textRecord("orders", "z"))
		failed := failures(t, err)
		if took := time.Since(began); len(failed) != 2 || took != 2*time.Second || !errors.Is(failed[0], sluice.ErrBufferFull) ||
			!errors.Is(failed[0], context.DeadlineExceeded) || !strings.Contains(failed[0].Error(), "not sent") {
			t.Errorf("after %v: %v", took, err)
		}
		used, waiting := p.Used()
		if used > 100_000 || waiting != 1 {
			t.Errorf("%d bytes are taken, %d records wait", used, waiting)
		}
		link.Thaw()
		c.Until("all are answered", func() bool { return answered.Load() == 300 })
		closeProducer(t, p)
		if used, waiting := p.Used(); used != 0 || waiting != 0 {
			t.Errorf("%d bytes are taken, %d records wait", used, waiting)
		}
	})
}

func TestAFullBufferWaitsNoLongerThanTheDeliveryTimeout(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		cfg := configFor(t, c, nil).Producer()
		cfg.MaxRequestBytes, cfg.MaxBufferedBytes, cfg.DeliveryTimeout = 10_000, 10_000, time.Minute
		p := newProducer(t, cfg)
		hold := make(chan struct{}) // a callback that does not return keeps its record's room
		p.Enqueue(context.Background(), textRecord("orders", strings.Repeat("x", 9_000)), func(*kgo.Record, error) { <-hold })
		began := time.Now()
		err := p.Send(context.Background(), textRecord("orders", strings.Repeat("y", 9_000)))
		if took := time.Since(began); !errors.Is(err, sluice.ErrBufferFull) || took != time.Minute || !strings.Contains(err.Error(), "stayed full for DeliveryTimeout") {
			t.Errorf("after %v: %v", took, err)
		}
		close(hold)
		closeProducer(t, p)
	})
}

func TestALostBrokerFailsItsRecordsAndSaysWhy(t *testing.T) {
	p := newProducer(t, sluice.ProducerConfig{Brokers: []string{"127.0.0.1:1"}, DeliveryTimeout: 300 * time.Millisecond})
	err := p.Send(t.Context(), textRecord("orders", "x"))
	if !errors.Is(err, sluice.ErrDeliveryTimeout) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = p.Send(ctx, textRecord("orders", "x"))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestABatchAboveTheTopicsLimitSaysSo(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: kerr.MessageTooLarge})
		err := p.Send(t.Context(), textRecord("orders", "x"))
		if !errors.Is(err, sluice.ErrTooLarge) || !errors.Is(err, kerr.MessageTooLarge) || !strings.Contains(err.Error(), "max.message.bytes") {
			t.Errorf("%v", err)
		}
	})
}

func TestAClosedProducerRefusesAtOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		cfg := configFor(t, c, link).Producer()
		cfg.MaxRequestBytes, cfg.MaxBufferedBytes = 10_000, 10_000
		p := newProducer(t, cfg)
		if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		var got answers
		p.Enqueue(context.Background(), textRecord("orders", strings.Repeat("x", 9_000)), got.done)
		waits := make(chan error)
		go func() { waits <- p.Send(context.Background(), textRecord("orders", strings.Repeat("y", 9_000))) }()
		time.Sleep(time.Second)
		began := time.Now()
		closed := make(chan error)
		go func() { closed <- p.Close(context.Background()) }()
		if err := <-waits; !errors.Is(err, sluice.ErrClosed) || time.Since(began) > time.Second {
			t.Errorf("a record that waited for room, after %v: %v", time.Since(began), err)
		}
		p.Enqueue(context.Background(), textRecord("orders", "late"), got.done)
		if err := p.Send(t.Context(), textRecord("orders", "late too")); !errors.Is(err, sluice.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		link.Thaw()
		if err := <-closed; err != nil || got.of(strings.Repeat("x", 9_000)) != nil || !errors.Is(got.of("late"), sluice.ErrClosed) {
			t.Errorf("Close: %v; late: %v", err, got.of("late"))
		}
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("closed twice: %v", err)
		}
	})
}

// A connection that is being made for a record heeds that record's context, and the client's metadata wait behind it: closing may wait
// for neither.
func TestCloseWaitsForNoConnectionThatIsBeingMade(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		p := newProducer(t, configFor(t, c, link).Producer())
		if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		var got answers
		p.Enqueue(t.Context(), textRecord("orders", "on its way"), got.done)
		time.Sleep(time.Second)
		link.Drop() // the client asks who leads its partition now, behind the record's new connection
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Close(ctx)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 4*time.Second {
			t.Errorf("closed after %v: %v", took, err)
		}
		if err := got.of("on its way"); !errors.Is(err, sluice.ErrClosed) {
			t.Errorf("what was on its way: %v", err)
		}
	})
}

func TestAFailedRecordSaysWhichOne(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.InvalidRecord, Count: -1})
		r := &kgo.Record{Topic: "orders", Key: []byte("customer\n7"), Value: []byte("secret")}
		got := make(chan error, 1)
		p.Enqueue(t.Context(), r, func(told *kgo.Record, err error) {
			if told != r {
				t.Error("another record was told")
			}
			got <- err
		})
		failed, ok := errors.AsType[*sluice.ProduceError](<-got)
		if !ok || failed.Index != -1 || failed.Record != r || failed.Partition < 0 || !errors.Is(failed, kerr.InvalidRecord) {
			t.Fatalf("%+v", failed)
		}
		want := "record for topic orders, partition " + strconv.Itoa(int(failed.Partition)) + `, key "customer\n7": INVALID_RECORD`
		if !strings.HasPrefix(failed.Error(), want) || strings.Contains(failed.Error(), "secret") {
			t.Errorf("got %s, want %s", failed, want)
		}
		long := &sluice.ProduceError{Index: 4, Record: &kgo.Record{Topic: "t", Key: []byte(strings.Repeat("k", 100))}, Partition: -1, Err: errors.New("x")}
		if got, want := long.Error(), `record 4 of the call, for topic t, key "`+strings.Repeat("k", 64)+`"…: x`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestARecordComesBackAsItWasGiven(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer closeProducer(t, p)
		cancellable, cancel := context.WithCancel(t.Context())
		defer cancel()
		for name, ctx := range map[string]context.Context{"background": context.Background(), "cancellable": cancellable} {
			r := &kgo.Record{Topic: "orders", Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a"}}}
			for range 3 { // the same record again, as a retry would
				var got error
				p.Enqueue(ctx, r, func(_ *kgo.Record, err error) { got = err })
				if err := p.Flush(t.Context()); err != nil || got != nil {
					t.Fatal(err, got)
				}
				if r.Partition < 0 || r.Partition > 2 || r.Timestamp.IsZero() || r.Context != nil || string(r.Value) != "x" || len(r.Headers) != 2 {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
		if err := p.Send(t.Context(), &kgo.Record{Topic: "orders", Key: []byte("gone")}); err != nil {
			t.Fatal(err)
		}
		tombstones, headers := 0, 0
		for _, r := range c.Read("orders") {
			if r.Value == nil && string(r.Key) == "gone" {
				tombstones++
			}
			if len(r.Headers) == 2 && string(r.Headers[0].Value) == "1" && r.Headers[1].Value == nil {
				headers++
			}
		}
		if tombstones != 1 || headers != 6 {
			t.Errorf("%d tombstones, %d records with headers", tombstones, headers)
		}
	})
}

// hook sees a value of the context that a record came with.
type hook struct{ seen chan any }

// OnProduceRecordUnbuffered implements kgo.HookProduceRecordUnbuffered.
func (h hook) OnProduceRecordUnbuffered(r *kgo.Record, _ error) {
	h.seen <- r.Context.Value(contextKey{})
}

func TestHooksOfTheClientSeeTheCallersContext(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		h := hook{seen: make(chan any, 3)}
		cfg := configFor(t, c, nil).Producer()
		cfg.ClientOptions = append(cfg.ClientOptions, kgo.WithHooks(h))
		p := newProducer(t, cfg)
		ctx := context.WithValue(context.Background(), contextKey{}, "call")
		p.Enqueue(ctx, textRecord("orders", "a"), nil)
		own := textRecord("orders", "b")
		own.Context = context.WithValue(ctx, contextKey{}, "record")
		p.Enqueue(ctx, own, nil)
		closeProducer(t, p)
		if a, b := <-h.seen, <-h.seen; a != "call" || b != "record" {
			t.Errorf("the hook saw %v and %v", a, b)
		}
	})
}
