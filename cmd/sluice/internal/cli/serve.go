package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sluice-go/sluice/metrics"
)

const (
	headerLimit = 5 * time.Second
	closeLimit  = time.Second
)

// serve answers /livez, /readyz, /snapshot.json and /metrics until stop is called.
func (r *runner) serve(ctx context.Context, address string) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	server := &http.Server{Handler: r.handler(), ReadHeaderTimeout: headerLimit}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener) // http.ErrServerClosed
	}()
	r.logger.Info("listening", "address", listener.Addr().String(), "paths", "/livez /readyz /snapshot.json /metrics")
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-done
	}, nil
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
