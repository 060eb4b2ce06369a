package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/metrics"
)

// scrapeEvery is much more often than anybody does it.
const scrapeEvery = time.Second

// scraped has an app scraped over and over, as a Prometheus does that wants both forms of histograms, until its stop is called.
func scraped(ctx context.Context, app *sluice.App) (stop func() error, err error) {
	registry := prometheus.NewRegistry()
	if err := registry.Register(metrics.NewCollector(app)); err != nil {
		return nil, err
	}
	page := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		var failed error
		for failed == nil && pause(ctx, scrapeEvery) == nil {
			failed = scrape(ctx, page.URL)
		}
		if ctx.Err() != nil {
			failed = nil
		}
		done <- failed
	}()
	return func() error {
		cancel()
		defer page.Close()
		return <-done
	}, nil
}

func scrape(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New("a scrape failed: " + resp.Status)
	}
	return nil
}
