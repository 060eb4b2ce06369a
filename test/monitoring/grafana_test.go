package monitoring

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/metrics"
	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/exporter"
	"github.com/sluice-go/sluice/test/servers"
)

// dashboard is what of a Grafana dashboard asks for something.
type dashboard struct {
	Templating struct {
		List []struct {
			Name  string          `json:"name"`
			Type  string          `json:"type"`
			Query json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
	} `json:"panels"`
}

// Every query of every dashboard in deploy/grafana is answered by a Prometheus that scraped an app that reads, one that catches up slowly, and
// a monitor that watches both.
func TestDashboardsShowSomething(t *testing.T) {
	t.Parallel()
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "deploy", "grafana", "*.json"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	target, stop := demo(t, exporter.Config{})
	defer stop()
	p := servers.StartPrometheus(t, target)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" { // label_values: of a selector, a label
				var q struct {
					Query string `json:"query"`
				}
				if err := json.Unmarshal(v.Query, &q); err != nil {
					t.Fatal(err)
				}
				selector := q.Query[strings.Index(q.Query, "(")+1 : strings.LastIndex(q.Query, ",")]
				answered(t, p, "variable "+v.Name, selector)
			}
		}
		asked := 0
		for _, panel := range d.Panels {
			for _, target := range panel.Targets {
				answered(t, p, panel.Title, target.Expr)
				asked++
			}
		}
		if asked < 15 {
			t.Errorf("%s asks %d questions", file, asked)
		}
	}
}

// answered waits until a query of a dashboard has an answer with everything selected.
func answered(t *testing.T, p *servers.Prometheus, what, expression string) {
	t.Helper()
	expression = strings.NewReplacer("$group", ".*", "$topic", ".*", "$__rate_interval", "10s", "[5m]", "[10s]", "[1h]", "[10s]").Replace(expression)
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.Query(t.Context(), expression)
		switch {
		case err == nil && len(got) > 0:
			return
		case time.Now().After(deadline):
			t.Fatalf("%s: %s has no answer: %v", what, expression, err)
		}
		<-tick.C
	}
}

// demo is where the metrics of an app that handles what comes are, of one that catches up slowly, and of a monitor, until stop, which the
// test calls before it returns.
func demo(t *testing.T, cfg exporter.Config) (target string, stop func()) {
	t.Helper()
	c := bubble.Start(t, map[string]int32{"orders": 2, "orders.dlq": 1})
	const backlog = 30_000
	for p := range int32(2) {
		c.Produce("orders", p, 0, backlog, 7)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	registry := prometheus.NewPedanticRegistry()
	for group, pause := range map[string]time.Duration{"billing": 0, "audit": 2 * time.Millisecond} {
		app, err := sluice.New(sluice.Config{Brokers: c.ListenAddrs(), Group: group, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		err = sluice.Add(app, sluice.Route[string]{
			Topics: []string{"orders"}, Decode: sluice.Text,
			Handle: func(context.Context, sluice.Message[string]) error { <-time.After(pause); return nil },
			Policy: sluice.Policy{OnFailure: sluice.DeadLetter{Topic: "orders.dlq"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		registry.MustRegister(metrics.NewCollector(app))
		wg.Go(func() {
			if err := app.Run(ctx); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for offset := backlog; ctx.Err() == nil; offset++ {
			for p := range int32(2) {
				c.Produce("orders", p, offset, 1, 7)
			}
			<-tick.C
		}
	})
	m, err := monitor.New(monitor.Config{ClientOptions: c.Options(c.Dial), Interval: time.Second, Rules: monitor.Rules{Window: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	wg.Go(func() {
		if err := m.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	all := prometheus.Gatherers{registry, exporter.New(m.Snapshot, cfg)}
	page := httptest.NewServer(promhttp.HandlerFor(all, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	return page.Listener.Addr().String(), func() {
		page.Close()
		cancel()
		wg.Wait()
	}
}
