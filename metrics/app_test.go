package metrics_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/internal/bubble"
	"github.com/sluice-go/sluice/metrics"
)

// started is an app that runs until the test ends, and its registry.
func started(t *testing.T, c *bubble.Cluster) (app *sluice.App, registry *prometheus.Registry, stop func()) {
	t.Helper()
	app, err := sluice.New(sluice.Config{
		Brokers: c.ListenAddrs(), Group: "g", ClientOptions: c.Options(c.Dial)[1:], Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = sluice.Add(app, sluice.Route[string]{
		Topics: []string{"orders"}, Decode: sluice.Text, Handle: func(context.Context, sluice.Message[string]) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	registry = prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewCollector(app))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(run func(context.Context) error) { done <- run(ctx) }(app.Run)
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return app, registry, stop
}

// seriesOf counts the series of a metric, and sums them up.
func seriesOf(t *testing.T, registry *prometheus.Registry, name string) (n int, sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			n++
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return n, sum
}

// What is told of a partition goes with it, counters stay, and every family of the page is told by an app at work.
func TestSeriesGoWithTheirPartition(t *testing.T) {
	bubble.Run(t, map[string]int32{"orders": 4}, func(t *testing.T, c *bubble.Cluster) {
		for p := range int32(4) {
			c.Produce("orders", p, 0, 25, 0)
		}
		first, registry, stop := started(t, c)
		c.Until("all", func() bool { return first.Stats().Finished == 100 })
		if n, lag := seriesOf(t, registry, "sluice_partition_lag_records"); n != 4 || lag != 0 {
			t.Errorf("%d partitions, lag %v", n, lag)
		}
		if _, n := seriesOf(t, registry, "sluice_process_duration_seconds"); n != 100 {
			t.Errorf("%v records were timed", n)
		}
		_, other, stopOther := started(t, c)
		c.Until("two each", func() bool {
			mine, _ := seriesOf(t, registry, "sluice_partition_frontier_offset")
			theirs, _ := seriesOf(t, other, "sluice_partition_frontier_offset")
			return mine == 2 && theirs == 2
		})
		if _, n := seriesOf(t, registry, "sluice_partitions_assigned"); n != 2 {
			t.Errorf("%v are assigned", n)
		}
		if _, n := seriesOf(t, registry, "sluice_records_finished_total"); n != 100 {
			t.Errorf("%v were finished", n)
		}
		if _, n := seriesOf(t, registry, "sluice_fetched_records_total"); n != 100 {
			t.Errorf("%v were fetched", n)
		}
		stopOther()
		stop()
		if n, _ := seriesOf(t, registry, "sluice_partition_frontier_offset"); n != 0 {
			t.Errorf("%d partitions of an app that ended", n)
		}
		if _, n := seriesOf(t, registry, "sluice_records_finished_total"); n != 100 {
			t.Errorf("at the end %v were finished", n)
		}
	})
}
