package sluice_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// flapping is what handlers depend on. It works for two seconds, from the first call on, and then no more until a transaction is aborted.
type flapping struct {
	mu    sync.Mutex
	until time.Time
}

func (f *flapping) works() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until.IsZero() {
		f.until = time.Now().Add(2 * time.Second)
	}
	return time.Now().Before(f.until)
}

func (f *flapping) aborted(sluice.CommitFailedInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
}

// Handlers that can work for a part of each transaction only have transactions take fewer records, also while the route stands still, until
// they are committed; whoever is to blame for a refusal is found meanwhile.
func TestInvariant12AnOutageNowAndThenEndsAsTransactionsTakeLess(t *testing.T) {
	for name, refused := range map[string][]int{"an outage": nil, "and a refusal": {30}} {
		t.Run(name, func(t *testing.T) {
			bubble.Run(t, map[string]int32{"orders": 1, "bills": 1}, func(t *testing.T, c *bubble.Cluster) {
				const n = 200
				var down flapping
				refuse(c, "bills", kerr.InvalidRecord)
				cfg := configFor(t, c, nil)
				cfg.Events.CommitFailed = down.aborted
				m := join(t, cfg, func(app *sluice.App) error {
					return sluice.AddTransact(app, sluice.TransactRoute[string]{
						Topics: []string{"orders"}, Decode: sluice.Text,
						Handle: func(_ context.Context, m sluice.Message[string]) ([]*kgo.Record, error) {
							if !down.works() {
								return nil, sluice.Outage(errors.New("down"))
							}
							time.Sleep(50 * time.Millisecond)
							r := &kgo.Record{Topic: "bills", Value: []byte(m.Value)}
							if slices.Contains(refused, int(m.Offset())) {
								r.Headers = []kgo.RecordHeader{{Key: mark}}
							}
							return []*kgo.Record{r}, nil
						},
						Policy: sluice.Policy{OnFailure: sluice.Drop{}},
					})
				})
				c.Produce("orders", 0, 0, n, 0)
				c.Until("invariant 12: all is committed", func() bool { return c.Committed("g", "orders", 0) == n })
				m.leave(t)
				if s := m.app.Stats(); s.Outages == 0 {
					t.Error("there was no outage")
				}
				once(t, c, n, refused...)
			})
		})
	}
}
