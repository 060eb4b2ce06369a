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

func goodRoute(topics ...string) sluice.Route[string] {
	return sluice.Route[string]{
		Topics: topics, Decode: sluice.Text,
		Handle: func(context.Context, sluice.Message[string]) error { return nil },
	}
}

func goodBatchRoute(topics ...string) sluice.BatchRoute[string] {
	return sluice.BatchRoute[string]{
		Topics: topics, Decode: sluice.Text,
		Handle: func(context.Context, sluice.Batch[string]) error { return nil },
	}
}

func newApp(t *testing.T) *sluice.App {
	t.Helper()
	app, err := sluice.New(goodConfig())
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// refuses demands that an error of Add names everything, and that the app does not run with it.
func refuses(t *testing.T, app *sluice.App, err error, says ...string) {
	t.Helper()
	if !errors.Is(err, sluice.ErrConfig) {
		t.Fatalf("Add: %v", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	for what, f := range map[string]func(context.Context) error{"Run": app.Run, "Check": app.Check} {
		if rerr := f(t.Context()); !errors.Is(rerr, sluice.ErrConfig) || !strings.Contains(rerr.Error(), says[0]) {
			t.Errorf("%s of an app with a bad route: %v", what, rerr)
		}
	}
}

func TestABadRouteIsRefusedWithAllItsMistakes(t *testing.T) {
	app := newApp(t)
	err := sluice.Add(app, sluice.Route[string]{Policy: sluice.Policy{Workers: -1}})
	refuses(t, app, err, "Topics", "Decode", "Handle", "Policy.Workers")

	app = newApp(t)
	r := goodRoute("orders", "")
	refuses(t, app, sluice.Add(app, r), "Topics[1]")

	app = newApp(t)
	err = sluice.AddBatch(app, sluice.BatchRoute[string]{MaxSize: -1, MaxWait: -1, Policy: sluice.Policy{Workers: -1}})
	refuses(t, app, err, "Topics", "Decode", "Handle", "Policy.Workers", "MaxSize", "MaxWait")

	app = newApp(t)
	b := goodBatchRoute("orders")
	b.MaxWait = -time.Second
	refuses(t, app, sluice.AddBatch(app, b), "MaxWait")

	app = newApp(t)
	b = goodBatchRoute("orders")
	b.Offsets, b.Policy.Ordering = newMemorySink(), sluice.ByKey
	refuses(t, app, sluice.AddBatch(app, b), "Policy.Ordering", "Offsets")
}

func TestARouteOfAnotherRoutesTopicIsRefused(t *testing.T) {
	app := newApp(t)
	if err := sluice.Add(app, goodRoute("orders", "returns")); err != nil {
		t.Fatal(err)
	}
	refuses(t, app, sluice.AddBatch(app, goodBatchRoute("invoices", "returns")), `"returns"`)
}

func TestAnAppWithABadRouteDoesNotRunThoughOthersAreGood(t *testing.T) {
	app := newApp(t)
	err := sluice.Add(app, sluice.Route[string]{Topics: []string{"bad"}})
	if aerr := sluice.Add(app, goodRoute("orders")); aerr != nil {
		t.Fatal(aerr)
	}
	refuses(t, app, err, "bad")
}

func TestAnAppWithoutRoutesDoesNotRun(t *testing.T) {
	if err := newApp(t).Run(t.Context()); !errors.Is(err, sluice.ErrConfig) || !strings.Contains(err.Error(), "no route") {
		t.Fatalf("Run: %v", err)
	}
}

func TestAnAppRunsOnce(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error { return sluice.Add(app, goodRoute("orders")) })
		c.Until("it is a member", func() bool { return m.app.Health().Ready })
		if err := m.app.Run(t.Context()); !errors.Is(err, sluice.ErrConfig) || !strings.Contains(err.Error(), "runs once") {
			t.Fatalf("a second Run beside the first: %v", err)
		}
		if !m.app.Health().Ready {
			t.Fatalf("the second Run hurt the first: %+v", m.app.Health())
		}
		m.leave(t)
		if err := m.app.Run(t.Context()); !errors.Is(err, sluice.ErrConfig) {
			t.Fatalf("a second Run after the first: %v", err)
		}
	})
}

func TestARouteThatIsAddedLateIsRefused(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1, "returns": 1}, func(t *testing.T, c *bubble.Cluster) {
		m := join(t, configFor(t, c, nil), func(app *sluice.App) error { return sluice.Add(app, goodRoute("orders")) })
		c.Until("it is a member", func() bool { return m.app.Health().Ready })
		if err := sluice.Add(m.app, goodRoute("returns")); !errors.Is(err, sluice.ErrConfig) || !strings.Contains(err.Error(), "before Run") {
			t.Fatalf("Add: %v", err)
		}
		m.leave(t)
	})
}

func TestAMissingTopicIsToldBeforeAnythingStarts(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 1}, func(t *testing.T, c *bubble.Cluster) {
		app, err := sluice.New(configFor(t, c, nil))
		if err != nil {
			t.Fatal(err)
		}
		r := goodRoute("orders", "order")
		r.Policy.OnFailure = sluice.DeadLetter{Topic: "orders.dlq"}
		if err := sluice.Add(app, r); err != nil {
			t.Fatal(err)
		}
		for what, f := range map[string]func(context.Context) error{"Check": app.Check, "Run": app.Run} {
			err := f(t.Context())
			if err == nil || !strings.Contains(err.Error(), `topic "order" does not exist`) ||
				!strings.Contains(err.Error(), `dead letter topic "orders.dlq" does not exist`) || strings.Contains(err.Error(), `"orders" `) {
				t.Errorf("%s: %v", what, err)
			}
		}
		groups, err := c.Admin().ListGroups(t.Context())
		if err != nil || len(groups) != 0 {
			t.Errorf("a group was joined: %v, %v", groups.Groups(), err)
		}
	})
}
