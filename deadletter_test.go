package sluice_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/internal/engine"
)

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func failure(r *kgo.Record, err error) engine.Failure {
	first := time.Date(2026, 3, 1, 23, 30, 0, 1_999_999, time.FixedZone("", -3600))
	return engine.Failure{Record: r, Attempts: 3, First: first, Last: first.Add(time.Minute), Err: err, Class: "attempts"}
}

func TestHeadersOfADeadLetter(t *testing.T) {
	for _, headers := range []sluice.DeadLetterHeaders{
		sluice.NativeHeaders, sluice.SpringHeaders, sluice.ConnectHeaders, sluice.KafkaHeaders,
	} {
		t.Run(string(headers), func(t *testing.T) {
			r := &kgo.Record{
				Topic: "orders", Partition: 7, Offset: 1234567890123, Key: []byte("k"), Value: []byte("v"),
				Headers:   []kgo.RecordHeader{{Key: "trace", Value: []byte("t1")}, {Key: "trace", Value: []byte("t2")}, {Key: "empty"}},
				Timestamp: time.Date(2026, 2, 3, 4, 5, 6, 789_000_000, time.FixedZone("", 7200)),
			}
			to := sluice.DeadLetter{Topic: "orders.dlq", Headers: headers}
			dead := sluice.DeadLetterRecord(to, "billing", failure(r, fmt.Errorf("charge: %w", errors.New("no such customer: 9"))))
			var b strings.Builder
			for _, h := range dead.Headers {
				value := strconv.Quote(string(h.Value))
				fmt.Fprintf(&b, "%s: %s\n", h.Key, value[1:len(value)-1])
			}
			golden(t, "deadletter_"+string(headers)+".golden", b.String())
			if dead.Topic != "orders.dlq" || string(dead.Key) != "k" || string(dead.Value) != "v" || !dead.Timestamp.Equal(r.Timestamp) {
				t.Errorf("%+v", dead)
			}
			if len(r.Headers) != 3 {
				t.Errorf("the source record was changed: %v", r.Headers)
			}
			// The next hop's headers take the place of these.
			dead.Offset = 5
			again := sluice.DeadLetterRecord(to, "billing", failure(dead, &sluice.PanicError{Value: "x", Stack: []byte(strings.Repeat("s", 1e6))}))
			if again.Headers[0].Key != "trace" || len(again.Headers) > len(dead.Headers)+1 { // a panic's stack beside them
				t.Errorf("after a second hop: %v", again.Headers)
			}
			seen := map[string]int{}
			size := 0
			for _, h := range again.Headers {
				size += len(h.Value)
				if seen[h.Key]++; seen[h.Key] > 1 && h.Key != "trace" {
					t.Errorf("%s is there twice", h.Key)
				}
			}
			if size > 11_000 {
				t.Errorf("the headers have %d bytes", size)
			}
		})
	}
}

func TestALongErrorIsCut(t *testing.T) {
	for name, text := range map[string]string{"short": "no", "as long as it may be": strings.Repeat("x", 2000), "long": strings.Repeat("x", 100_000)} {
		got := header(sluice.DeadLetterRecord(sluice.DeadLetter{Topic: "dlq", Headers: sluice.NativeHeaders}, "g", failure(textRecord("orders", ""), errors.New(text))), sluice.HeaderError)
		if want := text[:min(len(text), 2000)]; got != want {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(text))
		}
	}
}

// poisonAll sends every record of a topic to another.
func poisonAll(t *testing.T, c *bubble.Cluster, group, from, to string, n int64) {
	t.Helper()
	cfg := configFor(t, c, nil)
	cfg.Group = group
	m := join(t, cfg, func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[[]byte]{
			Topics: []string{from}, Decode: sluice.Raw,
			Handle: func(context.Context, sluice.Message[[]byte]) error { return sluice.Poison(errors.New("bad " + from)) },
			Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: to}},
		})
	})
	c.Until("the commit", func() bool { return c.Committed(group, from, 0) == n })
	m.leave(t)
}

func TestADeadLetterKeepsItsRecordFromHopToHop(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1, "dlq.dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		at := time.Date(2001, 5, 6, 7, 8, 9, 123_000_000, time.UTC)
		own := []kgo.RecordHeader{{Key: "trace", Value: []byte("t1")}, {Key: "trace", Value: []byte("t2")}, {Key: "none"}}
		sent := []*kgo.Record{
			{Topic: "orders", Key: []byte("k"), Value: []byte("v"), Headers: own, Timestamp: at},
			{Topic: "orders", Key: []byte("deleted"), Timestamp: at.Add(time.Hour)},         // a tombstone
			{Topic: "orders", Value: []byte("no key"), Timestamp: at.Add(2 * time.Hour)},    // no key
			{Topic: "orders", Key: []byte{}, Value: []byte{}, Timestamp: at.Add(time.Hour)}, // empty is not null
		}
		if err := c.Client().ProduceSync(t.Context(), sent...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		poisonAll(t, c, "one", "orders", "dlq", 4)
		poisonAll(t, c, "two", "dlq", "dlq.dlq", 4)
		source := c.Read("orders")
		for _, hop := range []struct{ topic, from, group string }{{"dlq", "orders", "one"}, {"dlq.dlq", "dlq", "two"}} {
			dead := c.Read(hop.topic)
			slices.SortFunc(dead, func(a, b *kgo.Record) int {
				return strings.Compare(header(a, sluice.HeaderOffset), header(b, sluice.HeaderOffset))
			})
			if len(dead) != 4 {
				t.Fatalf("%d records in %s", len(dead), hop.topic)
			}
			for i, d := range dead {
				s := source[i]
				if string(d.Key) != string(s.Key) || (d.Key == nil) != (s.Key == nil) || string(d.Value) != string(s.Value) ||
					(d.Value == nil) != (s.Value == nil) || !d.Timestamp.Equal(s.Timestamp) {
					t.Errorf("%s@%d: %+v\nof %+v", hop.topic, i, d, s)
				}
				if len(d.Headers) != len(s.Headers)+10 || fmt.Sprint(d.Headers[:len(s.Headers)]) != fmt.Sprint(s.Headers) {
					t.Errorf("%s@%d has the headers %s, of %s", hop.topic, i, d.Headers, s.Headers)
				}
				got := fmt.Sprint(header(d, sluice.HeaderTopic), header(d, sluice.HeaderPartition), header(d, sluice.HeaderOffset), header(d, sluice.HeaderGroup),
					header(d, sluice.HeaderErrorClass), header(d, sluice.HeaderError))
				if want := fmt.Sprint(hop.from, "0", i, hop.group, "poison", "poison: bad "+hop.from); got != want {
					t.Errorf("%s@%d came from %q, want %q", hop.topic, i, got, want)
				}
			}
		}
	})
}

// A lane goes on while a dead letter is written. Where the process ends before it is acknowledged, its record is not finished: it comes
// again, behind those that were behind it, and they do not.
func TestARecordWhoseDeadLetterIsLostComesBehindOthers(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "dlq": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders", 0, 0, 10, 0)
		c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "dlq", Err: kerr.NotEnoughReplicas, Count: -1})
		var l ledger
		var mended atomic.Bool
		add := failing(sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "dlq"}}, func(m sluice.Message[string]) error {
			if m.Offset() == 3 && !mended.Load() {
				return sluice.Poison(errors.New("no"))
			}
			l.note(m)
			return nil
		})
		link := c.NewLink()
		p := process{join(t, configFor(t, c, link), add), link, func() {}}
		c.Until("those behind it", func() bool { return l.count() == 9 && c.Committed("g", "orders", 0) == 3 })
		time.Sleep(time.Minute)
		p.crash()
		mended.Store(true)
		m := join(t, configFor(t, c, nil), add)
		c.Until("the rest", func() bool { return c.Committed("g", "orders", 0) == 10 })
		m.leave(t)
		var offsets []string
		for _, at := range l.list {
			_, offset, _ := strings.Cut(at, "@")
			offsets = append(offsets, offset)
		}
		if got := strings.Join(offsets, " "); got != "0 1 2 4 5 6 7 8 9 3" {
			t.Errorf("handled %s; docs/guarantees.md says that 3 comes last, and the others once", got)
		}
	})
}
