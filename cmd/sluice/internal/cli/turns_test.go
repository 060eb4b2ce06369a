package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/monitor"
)

func recorded(ctx context.Context, h http.Handler, path string) *httptest.ResponseRecorder {
	out := httptest.NewRecorder()
	h.ServeHTTP(out, httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody))
	return out
}

// Each large answer takes memory: a few are made at once, whoever is beyond waits, and is told to come again when that lasts.
func TestFewLargeAnswersAtOnce(t *testing.T) {
	t.Parallel()
	let, within := make(chan struct{}), make(chan struct{}, 3)
	turns := &turns{taken: make(chan struct{}, 2), patience: time.Millisecond, most: largeUnsent}
	h := turns.of(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		within <- struct{}{}
		<-let
		out.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(out, "an answer")
	}))
	var asking sync.WaitGroup
	ask := func() {
		asking.Go(func() {
			if out := recorded(t.Context(), h, "/metrics"); out.Code != http.StatusAccepted || out.Body.String() != "an answer" {
				t.Errorf("%d %s", out.Code, out.Body)
			}
		})
	}
	for range 2 {
		ask()
		<-within
	}
	if out := recorded(t.Context(), h, "/metrics"); out.Code != http.StatusServiceUnavailable || out.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", out.Code, out.Header())
	}
	turns.patience = patience
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if out := recorded(gone, h, "/metrics"); out.Code != http.StatusServiceUnavailable {
		t.Errorf("who has gone away waits, and is answered %d", out.Code)
	}
	ask() // it waits, or comes when the others are done
	close(let)
	asking.Wait()
	if n := turns.unsent.Load(); n != 0 || len(turns.taken) != 0 {
		t.Errorf("%d bytes and %d turns are not given back", n, len(turns.taken))
	}
}

// Who reads slowly holds no turn, and the memory that such answers take is bounded.
func TestSlowReadersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // no socket takes it all
	turns := &turns{taken: make(chan struct{}, 1), patience: patience, most: 3 * size / 2}
	server := httptest.NewServer(turns.of(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		_, _ = out.Write(make([]byte, size))
	})))
	t.Cleanup(server.Close) // when the connections are closed
	for n := range 2 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // and not more
			t.Fatalf("caller %d gets nothing: %v", n, err)
		}
	}
	status, body := ask(t, server.Listener.Addr().String(), "/")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "too slowly") {
		t.Errorf("%d %.100s", status, body)
	}
}

// Nobody keeps a monitor from answering its health, or of one group, by asking for all that is large.
func TestSmallAnswersWaitForNoScrape(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	blind, err := monitor.New(monitor.Config{ClientOptions: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{monitor: blind, logger: logger, interval: time.Second}
	gathering, let := make(chan struct{}), make(chan struct{})
	h := w.handler(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		gathering <- struct{}{}
		<-let
		return nil, nil
	}))
	var asking sync.WaitGroup
	for range largeAtOnce {
		asking.Go(func() { recorded(t.Context(), h, "/metrics") })
		<-gathering
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for path, want := range map[string]int{
		"/metrics": http.StatusServiceUnavailable, "/snapshot.json": http.StatusServiceUnavailable, "/v3/kafka": http.StatusServiceUnavailable,
		"/v3/kafka/c/consumer": http.StatusServiceUnavailable, "/v3/kafka/c/topic/t/consumers": http.StatusServiceUnavailable,
		"/v3/kafka/c/consumer/g": http.StatusNotFound, "/v3/kafka/c/consumer/a%2Fg/lag": http.StatusNotFound, "/v3/kafka/c/consumer/g/status": http.StatusNotFound,
		"/livez": http.StatusOK,
	} {
		if out := recorded(gone, h, path); out.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, out.Code, want, out.Body)
		}
	}
	close(let)
	asking.Wait()
}
