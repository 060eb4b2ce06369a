package engine

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// path is the way of a record through the engine without a broker: hand-over, lane, worker, handler, tracker.
type path struct {
	e       *Engine
	a       *assignment
	records []*kgo.Record // of one poll
	next    int64
}

func newPath(tb testing.TB, ordering Ordering) *path {
	tb.Helper()
	const poll, keys = 4000, 1024
	route := &Route{
		Topics: []string{"orders"}, Ordering: ordering, Workers: 16, CommitInterval: time.Second,
		Handle: func(context.Context, *Work, *kgo.Record, int) Outcome { return Outcome{} },
	}
	e, err := New(Config{
		Group: "g", Logger: slog.New(slog.DiscardHandler), MaxBytes: 256 << 20, Routes: []*Route{route},
		Options: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.cancelClient)
	p := &path{e: e, a: e.newAssignment(part{"orders", 0}, route)}
	p.a.start(position{next: 0, epoch: -1, committed: 0})
	slab := make([]kgo.Record, poll)
	for i := range slab {
		slab[i] = kgo.Record{Topic: "orders", Key: binary.BigEndian.AppendUint64(nil, uint64(i%keys)), Value: make([]byte, 248)}
		p.records = append(p.records, &slab[i])
	}
	return p
}

// polled hands one poll over, and returns when it is finished.
func (p *path) polled() {
	for _, r := range p.records {
		r.Offset = p.next
		p.next++
	}
	p.e.mu.Lock()
	defer p.e.unlock()
	p.e.takeRecords(p.a, p.records)
	for f, _ := p.a.frontier(); f < p.next; f, _ = p.a.frontier() {
		p.e.wait()
	}
}

// An operation is a record.
func BenchmarkPath(b *testing.B) {
	for name, ordering := range map[string]Ordering{"partition": ByPartition, "key": ByKey, "unordered": Unordered} {
		b.Run(name, func(b *testing.B) {
			p := newPath(b, ordering)
			p.polled()
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(p.records) {
				p.polled()
			}
		})
	}
}

func TestThePartitionOrderedPathAllocatesNothingARecord(t *testing.T) {
	p := newPath(t, ByPartition)
	p.polled()
	if n := testing.AllocsPerRun(20, p.polled) / float64(len(p.records)); n > 0.01 {
		t.Errorf("%.3f allocations a record, want none: a poll of %d records may cost some", n, len(p.records))
	}
}
