package sluice_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

// warnings counts log lines.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *warnings) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(line)
}

func (w *warnings) count(text string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), text)
}

const otherRoutes = "have other routes"

func TestMembersWithOtherRoutesAreNoted(t *testing.T) {
	for name, routes := range map[string]struct {
		mine, other [2]string // a pattern, and topics
		note        string    // of mine; "" none
	}{
		"more":          {[2]string{"", "orders"}, [2]string{"", "orders payments"}, "one reads payments, which this one does not; a dep"},
		"less":          {[2]string{"", "orders payments"}, [2]string{"", "payments"}, "one does not read orders; a dep"},
		"others":        {[2]string{"", "orders"}, [2]string{"", "payments"}, "one reads payments, which this one does not, and does not read orders; a dep"},
		"the same":      {[2]string{"", "orders payments"}, [2]string{"", "payments orders"}, ""},
		"a pattern":     {[2]string{"orders|pay.*", ""}, [2]string{"", "payments"}, ""},
		"with patterns": {[2]string{"orders", ""}, [2]string{"pay.*", ""}, "one reads payments, which this one does not; a dep"},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
				bubble.Run(t, map[string]int32{"orders": 4, "payments": 4}, func(t *testing.T, c *bubble.Cluster) {
					var l ledger
					var log warnings
					cfg := set(configFor(t, c, nil))
					cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
					cfg.Network.MetadataMaxAge = time.Minute
					add := func(r [2]string) func(*sluice.App) error { return patternRoute(&l, r[0], strings.Fields(r[1])...) }
					first := join(t, cfg, add(routes.mine))
					c.Until("it has work", func() bool { return first.app.Health().Ready })
					second := join(t, set(configFor(t, c, nil)), add(routes.other))
					c.Until("the other one is a member", func() bool { return second.app.Health().Ready })
					time.Sleep(3 * time.Minute) // virtual
					h := first.app.Health()
					if got := strings.Join(h.Notes, "\n"); (got == "") != (routes.note == "") || !strings.Contains(got, routes.note) ||
						routes.note != "" && !strings.HasPrefix(got, "1 of the group's 1 other members have other routes, sluice at ") {
						t.Errorf("notes: %q, want %q", h.Notes, routes.note)
					}
					if !h.Ready || len(h.Problems) > 0 {
						t.Errorf("a deployment makes nothing unready: %+v", h)
					}
					third := join(t, set(configFor(t, c, nil)), add(routes.other)) // a rebalance that changes nothing of it
					time.Sleep(3 * time.Minute)
					if n := log.count(otherRoutes); n != min(1, len(routes.note)) {
						t.Errorf("%d warnings", n)
					}
					third.leave(t)
					second.leave(t)
					second = join(t, set(configFor(t, c, nil)), add(routes.mine))
					time.Sleep(3 * time.Minute)
					if h := first.app.Health(); len(h.Notes) > 0 || !h.Ready {
						t.Errorf("when they agree again: %+v", h)
					}
					second.leave(t)
					first.leave(t)
				})
			})
		})
	}
}

// Who may not look at the group is told nothing, and does not ask again and again; whoever is not answered asks again.
func TestMembersThatCannotBeSeenAreNotNoted(t *testing.T) {
	for name, test := range map[string]struct {
		err   *kerr.Error
		count int
		noted bool
		most  int
	}{
		"forbidden": {kerr.GroupAuthorizationFailed, -1, false, 4},
		"for now":   {kerr.CoordinatorLoadInProgress, 1, true, 10},
	} {
		t.Run(name, func(t *testing.T) {
			protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
				bubble.Run(t, map[string]int32{"orders": 4, "payments": 4}, func(t *testing.T, c *bubble.Cluster) {
					keys := []kmsg.Key{kmsg.DescribeGroups, kmsg.ConsumerGroupDescribe}
					asked := c.Fault(kfake.Fault{Keys: keys, Observe: true, Count: -1})
					c.Fault(kfake.Fault{Keys: keys, Group: "g", Err: test.err, Count: test.count})
					var l ledger
					var log warnings
					cfg := set(configFor(t, c, nil))
					cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
					first := join(t, cfg, patternRoute(&l, "", "orders"))
					second := join(t, set(configFor(t, c, nil)), patternRoute(&l, "", "payments"))
					time.Sleep(10 * time.Minute) // virtual
					if got := fmt.Sprint(first.app.Health().Notes); strings.Contains(got, otherRoutes) != test.noted {
						t.Errorf("notes: %q", got)
					}
					if n := log.count("level="); n != 0 && !test.noted {
						t.Errorf("%d lines in the log", n)
					}
					if n := asked.Hits(); n > 2*test.most {
						t.Errorf("asked %d times in 10 minutes", n)
					}
					second.leave(t)
					first.leave(t)
				})
			})
		})
	}
}
