package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice/metrics"
)

const closeLimit = time.Second

// serve answers /livez, /readyz, /snapshot.json and /metrics until stop is called.
func (r *runner) serve(ctx context.Context) (stop func(), err error) {
	address, stop, err := r.o.listen.Serve(ctx, r.handler(), r.logger)
	if err == nil {
		r.logger.Info("listening", "address", address.String(), "paths", "/livez /readyz /snapshot.json /metrics")
	}
	return stop, err
}

func (r *runner) handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics.NewCollector(r.app), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		health := r.app.Health()
		writeJSON(w, health.Live, struct {
			Live     bool     `json:"live"`
			Problems []string `json:"problems"`
		}{health.Live, health.Problems})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		health := r.app.Health()
		writeJSON(w, health.Ready, health)
	})
	mux.HandleFunc("GET /snapshot.json", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, true, r.app.Snapshot()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

func writeJSON(w http.ResponseWriter, good bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	if !good {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // an error means that nobody reads any more
}
