// Package monitoring tests what Sluice tells monitoring systems on those systems themselves.
package monitoring

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/metrics"
	"github.com/sluice-go/sluice/test/servers"
)

const records = 1000

// target is where the metrics of an app are that has handled some records, and of a producer that has sent some.
func target(t *testing.T) string {
	t.Helper()
	c := bubble.Start(t, map[string]int32{"orders": 2, "audit": 1})
	for p := range int32(2) {
		c.Produce("orders", p, 0, records/2, 7)
	}
	cfg := sluice.Config{Brokers: c.ListenAddrs(), Group: "billing"}
	app, err := sluice.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text, Handle: func(context.Context, sluice.Message[string]) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	producer, err := sluice.NewProducer(cfg.Producer())
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.Send(t.Context(), &kgo.Record{Topic: "audit", Value: []byte("begun")}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx) }()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(app), metrics.NewProducerCollector(producer, "audit"))
	page := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(func() {
		page.Close()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := producer.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return page.Listener.Addr().String()
}

// haltedTarget is where the metrics of an app are that came across a record that it cannot handle, and halted. It goes on to handle others.
func haltedTarget(t *testing.T) string {
	t.Helper()
	c := bubble.Start(t, map[string]int32{"orders": 2})
	c.Produce("orders", 0, 0, 5, 7)
	app, err := sluice.New(sluice.Config{Brokers: c.ListenAddrs(), Group: "billing", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handle := func(_ context.Context, m sluice.Message[string]) error {
		if m.Record.Partition == 0 {
			return sluice.Poison(errors.New("bad"))
		}
		return nil
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text, Handle: handle,
		Policy: sluice.Policy{OnFailure: sluice.Halt{}, Retry: sluice.Retry{Breaker: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := app.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	wg.Go(func() { // rates need samples that grow
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for offset := 0; ctx.Err() == nil; offset++ {
			c.Produce("orders", 1, offset, 1, 7)
			<-tick.C
		}
	})
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(app))
	page := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	t.Cleanup(func() {
		page.Close()
		stop()
		wg.Wait()
	})
	return page.Listener.Addr().String()
}

// rules is a file of deploy/prometheus.
func rules(t *testing.T, name string) string {
	t.Helper()
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "deploy", "prometheus", name)
}

// until asks until the answer is one number that is good.
func until(t *testing.T, p *servers.Prometheus, expression string, good func(float64) bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := p.Query(t.Context(), expression)
		if err == nil && len(got) == 1 && good(got[0]) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, %v", expression, got, err)
		}
		<-tick.C
	}
}

func is(want float64) func(float64) bool { return func(got float64) bool { return got == want } }

func between(low, high float64) func(float64) bool {
	return func(got float64) bool { return got > low && got < high }
}

// A Prometheus without native histograms keeps the classic buckets, and one with them the native ones: both tell the same.
func TestPrometheusTakesEitherFormOfAHistogram(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		flags            []string
		count, quantiles string
	}{
		"classic": {
			nil, `sum(sluice_process_duration_seconds_count)`,
			`histogram_quantile(0.5, sum by (le) (sluice_process_duration_seconds_bucket))`,
		},
		"native": {
			[]string{"--enable-feature=native-histograms"}, `histogram_count(sum(sluice_process_duration_seconds))`,
			`histogram_quantile(0.5, sum(sluice_process_duration_seconds))`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := servers.StartPrometheus(t, target(t), x.flags...)
			until(t, p, `sum(sluice_records_finished_total{group="billing",topic="orders"})`, is(records))
			until(t, p, x.count, is(records))
			until(t, p, x.quantiles, between(0, 1))
			until(t, p, `up`, is(1))
			until(t, p, `sum(sluice_partition_lag_records)`, is(0))
			until(t, p, `sum(sluice_producer_produced_records_total{producer="audit"})`, is(1))
		})
	}
}

var expressionForm = regexp.MustCompile("(?m)^\\| [^|]+ \\| `(.*)` \\|$")

// What docs/metrics.md proposes to ask is understood, and has an answer.
func TestExpressionsOfTheReferencePage(t *testing.T) {
	t.Parallel()
	root, err := servers.Repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, asks, found := strings.Cut(string(text), "## What to ask")
	expressions := expressionForm.FindAllStringSubmatch(asks, -1)
	if !found || len(expressions) < 10 {
		t.Fatalf("%d expressions", len(expressions))
	}
	at := target(t)
	classic := servers.StartPrometheus(t, at)
	native := servers.StartPrometheus(t, at, "--enable-feature=native-histograms")
	for _, e := range expressions {
		p, ask := classic, strings.Replace(e[1], " > 60", "", 1) // nothing is late
		if strings.Contains(ask, "sluice_process_duration_seconds[") {
			p = native
		}
		until(t, p, ask, func(float64) bool { return true })
	}
}
