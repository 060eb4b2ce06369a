package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice/internal/bubble"
)

// BenchmarkRound is a round of 10,000 groups with commits on 10 partitions each. MB-kept is what the monitor keeps of them, and
// MB-a-round what it allocates.
func BenchmarkRound(b *testing.B) {
	const groups, partitions = 10_000, 10
	c := bubble.Start(b, map[string]int32{"orders": 100})
	admin := c.Admin()
	for p := range int32(100) {
		c.Produce("orders", p, 0, 100, 0)
	}
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := w; i < groups; i += 64 {
				offsets := make(kadm.Offsets)
				for p := range partitions {
					offsets.AddOffset("orders", int32((i+p)%100), int64(i%100), -1)
				}
				if err := admin.CommitAllOffsets(b.Context(), fmt.Sprintf("group-%05d", i), offsets); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m, err := New(Config{ClientOptions: c.Options(c.Dial), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.connect(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer m.disconnect()
	before := heap()
	look := func() {
		s := m.round(context.Background())
		if len(s.Problems) > 0 || len(s.Groups) != groups {
			b.Fatalf("%d groups, %v", len(s.Groups), s.Problems)
		}
		m.served.Store(s)
	}
	for range 3 {
		look()
	}
	kept := heap() - before
	b.ReportAllocs()
	for b.Loop() {
		look()
	}
	b.ReportMetric(float64(kept)/(1<<20), "MB-kept")
	b.ReportMetric(m.Snapshot().Took.Seconds()*float64(time.Second/time.Millisecond), "ms-last")
}

func heap() int64 {
	runtime.GC() //nolint:revive // what is no garbage is to be measured
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
