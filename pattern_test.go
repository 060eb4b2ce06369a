package sluice_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
)

func patternRoute(l *ledger, pattern string, topics ...string) func(*sluice.App) error {
	return func(app *sluice.App) error {
		return sluice.Add(app, sluice.Route[string]{
			Topics: topics, Pattern: pattern, Decode: sluice.Text,
			Handle: func(_ context.Context, m sluice.Message[string]) error { l.note(m); return nil },
		})
	}
}

func createTopic(t *testing.T, c *bubble.Cluster, partitions int32, topics ...string) {
	t.Helper()
	if _, err := c.Admin().CreateTopics(t.Context(), partitions, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
}

func protocols(t *testing.T, f func(t *testing.T, set func(sluice.Config) sluice.Config)) {
	for _, p := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(p), func(t *testing.T) {
			f(t, func(c sluice.Config) sluice.Config { c.GroupProtocol = p; return c })
		})
	}
}

// A pattern takes whole names, now and later; a topic that a route names is that route's; Kafka's own and the app's dead letters
// never match.
func TestAPatternTakesTheTopicsThatMatchNowAndLater(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		topics := map[string]int32{
			"orders.eu": 2, "orders.us": 2, "orders.special": 1, "my.orders.eu": 1, "orders.eu2": 1, "orders.dlq": 1, "__orders.own": 1,
		}
		bubble.Run(t, topics, func(t *testing.T, c *bubble.Cluster) {
			for topic, n := range topics {
				for p := range n {
					c.Produce(topic, p, 0, 10, 0)
				}
			}
			var all, special ledger
			m := join(t, set(configFor(t, c, nil)), func(app *sluice.App) error {
				return errors.Join(patternRoute(&special, "", "orders.special")(app), sluice.Add(app, sluice.Route[string]{
					Pattern: `(__)?orders\.[a-z]+`, Decode: sluice.Text,
					Handle: func(_ context.Context, m sluice.Message[string]) error { all.note(m); return nil },
					Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.dlq"}},
				}))
			})
			c.Until("what is there", func() bool { return all.count() == 40 && special.count() == 10 })

			createTopic(t, c, 3, "orders.jp")
			for p := range int32(3) {
				c.Produce("orders.jp", p, 0, 10, 0)
			}
			began := time.Now()
			c.Until("the new topic", func() bool { return all.count() == 70 })
			if d := time.Since(began); d > time.Minute {
				t.Errorf("a new topic was noticed after %v", d)
			}
			time.Sleep(2 * time.Minute)
			if all.count() != 70 || special.count() != 10 {
				t.Errorf("%d and %d records", all.count(), special.count())
			}
			m.leave(t)
		})
	})
}

func TestAPatternThatCannotBeIsRefused(t *testing.T) {
	newApp := func() *sluice.App {
		app, err := sluice.New(goodConfig())
		if err != nil {
			t.Fatal(err)
		}
		return app
	}
	err := patternRoute(new(ledger), `orders.(`)(newApp())
	if e, ok := errors.AsType[*sluice.ConfigError](err); !ok || e.Field != "Pattern" || e.Value != "orders.(" ||
		!strings.Contains(e.Problem, "missing closing") {
		t.Error(err)
	}
	err = sluice.AddBatch(newApp(), sluice.BatchRoute[string]{
		Pattern: `[`, Decode: sluice.Text, Handle: func(context.Context, sluice.Batch[string]) error { return nil },
	})
	if e, ok := errors.AsType[*sluice.ConfigError](err); !ok || e.Field != "Pattern" {
		t.Error(err)
	}
	if err := patternRoute(new(ledger), "")(newApp()); !errors.Is(err, sluice.ErrConfig) {
		t.Error(err)
	}
	app := newApp()
	if err := patternRoute(new(ledger), "a.*")(app); err != nil {
		t.Error(err)
	}
	if err := patternRoute(new(ledger), "a.*")(app); !errors.Is(err, sluice.ErrConfig) {
		t.Errorf("the same pattern twice: %v", err)
	}
	if err := patternRoute(new(ledger), "", "__consumer_offsets")(app); !errors.Is(err, sluice.ErrConfig) {
		t.Errorf("a topic of Kafka's own: %v", err)
	}
	bubble.Run(t, map[string]int32{"orders.eu": 1}, func(t *testing.T, c *bubble.Cluster) {
		app, err := sluice.New(configFor(t, c, nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(patternRoute(new(ledger), `orders\..*`)(app), patternRoute(new(ledger), `.*\.eu`)(app)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err = app.Run(ctx)
		if e, ok := errors.AsType[*sluice.ConfigError](err); !ok || e.Field != "Pattern" || !strings.Contains(e.Problem, `"orders.eu" matches`) {
			t.Errorf("a topic of two patterns: %v", err)
		}
	})
}

// Two routes share a topic's records out by one rule, also for a topic that comes later.
func TestALaterTopicOfTwoPatternsGoesToTheFirst(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders.us": 1}, func(t *testing.T, c *bubble.Cluster) {
		var first, second ledger
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error {
			return errors.Join(patternRoute(&first, `orders\..*`)(app), patternRoute(&second, `.*\.eu`)(app))
		})
		c.Until("joined", func() bool { return len(m.app.Snapshot().Partitions) == 1 })
		createTopic(t, c, 1, "orders.eu")
		c.Produce("orders.eu", 0, 0, 10, 0)
		c.Until("the records", func() bool { return first.count() == 10 })
		if second.count() > 0 {
			t.Error("the second had some, too")
		}
		m.leave(t)
	})
}

// With Latest, a partition that comes later is read from its first record, and what was there before is not read at all.
func TestANewPartitionBeginsAtItsFirstRecord(t *testing.T) {
	protocols(t, func(t *testing.T, set func(sluice.Config) sluice.Config) {
		bubble.Run(t, map[string]int32{"orders": 2}, func(t *testing.T, c *bubble.Cluster) {
			start := func(l *ledger) *member {
				cfg := set(configFor(t, c, nil))
				cfg.Start = sluice.Latest()
				return join(t, cfg, ledgerRoute(l, sluice.Policy{}))
			}
			grow := func(to int) {
				if _, err := c.Admin().UpdatePartitions(t.Context(), to, "orders"); err != nil {
					t.Fatal(err)
				}
				c.Reconnect()
				c.Produce("orders", int32(to-1), 0, 10, 0)
			}
			for p := range int32(2) {
				c.Produce("orders", p, 0, 100, 0)
			}
			var l ledger
			a, b := start(&l), start(&l) // at once: neither takes the other's commits for an older group's
			c.Until("both", func() bool { return len(a.app.Snapshot().Partitions) == 1 && len(b.app.Snapshot().Partitions) == 1 })
			grow(3)
			began := time.Now()
			c.Until("the new partition", func() bool { return l.count() == 10 })
			if d := time.Since(began); d > time.Minute {
				t.Errorf("it was noticed after %v", d)
			}
			a.leave(t)
			b.leave(t)
			grow(4) // while nobody looks
			again := start(&l)
			c.Until("the next", func() bool { return l.count() == 20 })
			for p := range int32(4) {
				c.Produce("orders", p, 100, 10, 0)
			}
			c.Until("what is new", func() bool { return l.count() == 60 })
			for p := range int32(2) {
				if n := l.of(p, 100); n > 0 {
					t.Errorf("%d old records of %d were read", n, p)
				}
			}
			again.leave(t)
		})
	})
}

func TestANewTopicOfAPatternBeginsAtItsFirstRecord(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders.old": 1}, func(t *testing.T, c *bubble.Cluster) {
		c.Produce("orders.old", 0, 0, 100, 0)
		var l ledger
		cfg := configFor(t, c, nil)
		cfg.Start = sluice.Latest()
		m := join(t, cfg, patternRoute(&l, `orders\..*`))
		c.Until("joined", func() bool { return len(m.app.Snapshot().Partitions) == 1 })
		createTopic(t, c, 1, "orders.new")
		c.Produce("orders.new", 0, 0, 10, 0)
		c.Until("the new topic", func() bool { return l.count() == 10 })
		if n := l.times("orders.old[0]@0"); n > 0 {
			t.Error("the old one was read")
		}
		m.leave(t)
	})
}
