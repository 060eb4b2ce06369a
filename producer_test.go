package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func newProducer(t *testing.T, cfg sluice.ProducerConfig) *sluice.Producer {
	t.Helper()
	p, err := sluice.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// closeProducer is Close for a test that is about something else.
func closeProducer(t *testing.T, p *sluice.Producer) {
	t.Helper()
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// failures are the records that an error of Send joins.
func failures(t *testing.T, err error) []*sluice.ProduceError {
	t.Helper()
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		t.Fatalf("not joined: %v", err)
	}
	var out []*sluice.ProduceError
	for _, e := range joined.Unwrap() {
		one, ok := errors.AsType[*sluice.ProduceError](e)
		if !ok {
			t.Fatalf("%T: %v", e, e)
		}
		out = append(out, one)
	}
	return out
}

func TestSendWaitsForEveryRecordAndNamesThoseThatFailed(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 3, "returns": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer func() { _ = p.Close(context.Background()) }()
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		var rs []*kgo.Record
		for i := range 100 {
			rs = append(rs, &kgo.Record{Topic: "orders", Key: []byte(strconv.Itoa(i)), Value: []byte("x")})
		}
		if err := p.Send(t.Context(), rs...); err != nil {
			t.Fatal(err)
		}
		if n := len(c.Read("orders")); n != 100 {
			t.Fatalf("%d records, want 100", n)
		}
		for _, r := range rs {
			if r.Offset < 0 || r.Topic != "orders" {
				t.Fatalf("no offset was filled in: %+v", r)
			}
		}
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "returns", Err: kerr.TopicAuthorizationFailed, Count: -1})
		huge := make([]byte, 2<<20)
		err := p.Send(t.Context(), textRecord("orders", "a"), &kgo.Record{Topic: "orders", Value: huge}, textRecord("orders", "b"), textRecord("returns", "c"))
		var joined interface{ Unwrap() []error }
		if !errors.As(err, &joined) || len(joined.Unwrap()) != 2 {
			t.Fatalf("Send: %v", err)
		}
		causes := map[int]error{1: sluice.ErrTooLarge, 3: kerr.TopicAuthorizationFailed}
		for _, e := range joined.Unwrap() {
			var pe *sluice.ProduceError
			if !errors.As(e, &pe) || !errors.Is(e, causes[pe.Index]) || !strings.Contains(e.Error(), fmt.Sprintf("record %d of the call, for topic", pe.Index)) {
				t.Errorf("%v", e)
			}
			delete(causes, pe.Index)
		}
		if n := len(c.Read("orders")); n != 102 {
			t.Fatalf("%d records, want 102: those beside the failed ones were acknowledged", n)
		}
	})
}

func TestSendOfNothingIsNoError(t *testing.T) {
	p := newProducer(t, sluice.ProducerConfig{Brokers: []string{"127.0.0.1:1"}})
	if err := p.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEnqueueTellsOnceAndCloseFlushes(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		p := newProducer(t, configFor(t, c, link).Producer())
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		var mu sync.Mutex
		told := map[string]int{}
		for i := range 500 {
			p.Enqueue(t.Context(), textRecord("orders", strconv.Itoa(i)), func(r *kgo.Record, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%s: %v", r.Value, err)
				}
				told[string(r.Value)]++
			})
		}
		if len(told) != 0 {
			t.Fatalf("%d records were acknowledged through a frozen link", len(told))
		}
		time.AfterFunc(3*time.Second, link.Thaw)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(told) != 500 {
			t.Fatalf("told of %d records, want 500", len(told))
		}
		for i, r := range c.Read("orders") {
			if string(r.Value) != strconv.Itoa(i) || told[string(r.Value)] != 1 {
				t.Fatalf("record %d is %s, told %d times", i, r.Value, told[string(r.Value)])
			}
		}
	})
}

func TestEnqueueTellsOfAFailure(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		p := newProducer(t, configFor(t, c, nil).Producer())
		defer func() { _ = p.Close(context.Background()) }()
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "orders", Err: kerr.InvalidRecord, Count: 1})
		told := make(chan error, 2)
		p.Enqueue(t.Context(), textRecord("orders", "x"), func(_ *kgo.Record, err error) { told <- err })
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-told; !errors.Is(err, kerr.InvalidRecord) || len(told) != 0 {
			t.Fatalf("told %v", err)
		}
	})
}

func TestARecordWithoutABrokerTimesOut(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		link.Cut()
		cfg := configFor(t, c, link).Producer()
		cfg.DeliveryTimeout = 5 * time.Second
		p := newProducer(t, cfg)
		defer func() { _ = p.Close(context.Background()) }()
		began := time.Now()
		err := p.Send(context.Background(), textRecord("orders", "x"))
		if took := time.Since(began); err == nil || took > 15*time.Second {
			t.Fatalf("Send: %v, after %v", err, took)
		}
		var pe *sluice.ProduceError
		if !errors.As(err, &pe) || pe.Index != 0 {
			t.Fatalf("Send: %v", err)
		}
	})
}

func TestCloseEndsWithItsContext(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		p := newProducer(t, configFor(t, c, link).Producer())
		if err := p.Send(t.Context(), textRecord("orders", "before")); err != nil {
			t.Fatal(err)
		}
		link.Freeze()
		told := make(chan error, 1)
		p.Enqueue(context.Background(), textRecord("orders", "x"), func(_ *kgo.Record, err error) { told <- err })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Close(ctx)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 records were not acknowledged") || took > 3*time.Second {
			t.Fatalf("Close: %v, after %v", err, took)
		}
		if err := <-told; err == nil {
			t.Fatal("a record that was never acknowledged was told as written")
		}
	})
}

func TestSendEndsWithItsContext(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		link := c.NewLink()
		link.Cut()
		p := newProducer(t, configFor(t, c, link).Producer())
		defer func() { _ = p.Close(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Send(ctx, textRecord("orders", "x"))
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 5*time.Second {
			t.Fatalf("Send: %v, after %v", err, took)
		}
	})
}
