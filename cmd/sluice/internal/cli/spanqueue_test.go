package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

// hangingExporter is one whose collector does not answer, until release is closed.
type hangingExporter struct {
	release chan struct{}
	err     error
	mu      sync.Mutex
	took    int
}

func (e *hangingExporter) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	<-e.release
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.took += len(spans)
	}
	return e.err
}

func (*hangingExporter) Shutdown(context.Context) error { return nil }

// told is how many spans a log says were dropped.
func told(t *testing.T, log string) (spans int) {
	t.Helper()
	for _, m := range regexp.MustCompile(`event=spans_dropped spans=(\d+)`).FindAllStringSubmatch(log, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		spans += n
	}
	return spans
}

// Whatever a collector does, ending a span waits for nothing, and each one is sent or told as dropped.
func TestNoSpanIsLostSilently(t *testing.T) {
	for name, test := range map[string]struct {
		answers bool // in the end, with err
		err     error
		want    int // that are sent
	}{
		"takes what there is room for": {true, nil, 2048},
		"refuses":                      {true, errors.New("no"), 0},
		"hangs":                        {false, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			exporter := &hangingExporter{release: make(chan struct{}), err: test.err}
			queue := newSpanQueue(exporter, slog.New(slog.NewTextHandler(&log, nil)))
			provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(queue))
			const n = 10_000
			for range n { // blocks for ever if it waits for the collector
				_, span := provider.Tracer("test").Start(t.Context(), "span")
				span.End()
			}
			limit := time.Minute
			if test.answers {
				close(exporter.release)
			} else {
				limit = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			queue.stop(ctx)
			if !test.answers {
				defer func() { // or it would be left behind
					close(exporter.release)
					_ = queue.ForceFlush(t.Context())
				}()
			}
			exporter.mu.Lock()
			defer exporter.mu.Unlock()
			if dropped := told(t, log.String()); exporter.took+dropped != n || exporter.took != test.want {
				t.Errorf("of %d spans %d were sent, and %d are told as dropped:\n%s", n, exporter.took, dropped, log.String())
			}
		})
	}
}

// A collector that takes all spans but some, or takes them all and warns, is told of as that.
func TestAPartialSuccessIsNoLossOfTheBatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		rejects int64
		says    string
		status  int
		dropped int
		event   string
	}{
		"all is taken":                {0, "", http.StatusOK, 0, ""},
		"a warning":                   {0, "old attributes\n(7 spans rejected)", http.StatusOK, 0, "event=spans_warning"},
		"some are rejected":           {3, "too old", http.StatusOK, 3, "event=spans_dropped"},
		"some, without a word":        {3, "", http.StatusOK, 3, "event=spans_dropped"},
		"more than there were":        {300, "too old", http.StatusOK, 10, "event=spans_dropped"},
		"fewer than none":             {-3, "odd", http.StatusOK, 0, "event=spans_warning"},
		"an error that reads like it": {3, "", http.StatusBadRequest, 10, "event=spans_dropped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.status != http.StatusOK {
					http.Error(w, "OTLP partial success: no (3 spans rejected)", test.status)
					return
				}
				body, err := proto.Marshal(&collector.ExportTraceServiceResponse{
					PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: test.rejects, ErrorMessage: test.says},
				})
				if err != nil {
					t.Error(err)
				}
				w.Header().Set("Content-Type", "application/x-protobuf")
				_, _ = w.Write(body)
			}))
			defer server.Close()
			var log strings.Builder
			exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL+"/v1/traces"))
			if err != nil {
				t.Fatal(err)
			}
			queue := newSpanQueue(exporter, slog.New(slog.NewTextHandler(&log, nil)))
			provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(queue))
			for range 10 {
				_, span := provider.Tracer("test").Start(t.Context(), "span")
				span.End()
			}
			queue.stop(t.Context())
			if n := told(t, log.String()); n != test.dropped || !strings.Contains(log.String(), test.event) || test.event == "" && log.Len() > 0 {
				t.Errorf("%d are told as dropped, want %d, and %q:\n%s", n, test.dropped, test.event, log.String())
			}
		})
	}
}

// slowSink is one that hangs when it is closed.
type slowSink struct{ pipeline.Sink }

func (slowSink) Close(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// A sink that hangs costs no span.
func TestSpansAreSentAfterASinkThatHangs(t *testing.T) {
	t.Parallel()
	got, url := newReceiver(t)
	r := &runner{sink: slowSink{}}
	spans, stop, err := (&Process{}).trace(t.Context(), url+"/v1/traces", "p", "g", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r.flush = stop
	_, span := spans.SQL.Start(t.Context(), "last")
	span.End()
	if err := r.close(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the sink's error is %v", err)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	if len(got.spans["last"]) != 1 {
		t.Errorf("sent were %v", got.spans)
	}
}

// A collector that takes connections and never answers holds up neither the pipeline nor its end, and what it did not take is told.
func TestRunGoesOnBesideACollectorThatHangs(t *testing.T) {
	t.Parallel()
	file, address, _ := orders(t)
	send(t, address, order("1", `{"user":"a"}`))
	over := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-over:
		case <-req.Context().Done():
		}
	}))
	defer hangs.Close()
	defer close(over)
	r := execute(t, ExitDone, "run", file, "--until-caught-up", "--otlp", hangs.URL)
	if s := summaryOf(t, r); s.Rows != 1 {
		t.Errorf("the summary is %+v", s)
	}
	if told(t, r.stderr.String()) == 0 || !strings.Contains(r.stderr.String(), errAtEnd.Error()) {
		t.Errorf("nothing is said about it:\n%s", r.stderr)
	}
}
