package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is a collector that takes OTLP by HTTP.
type receiver struct {
	mu    sync.Mutex
	spans map[string][]*otlp.Span // by name
	about string                  // the resource
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var got collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &got)
	}
	if err != nil || req.URL.Path != "/v1/traces" {
		http.Error(w, fmt.Sprint(req.URL.Path, err), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range got.GetResourceSpans() {
		r.about = of.GetResource().String()
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				r.spans[s.GetName()] = append(r.spans[s.GetName()], s)
			}
		}
	}
}

func newReceiver(t *testing.T) (r *receiver, url string) {
	t.Helper()
	r = &receiver{spans: map[string][]*otlp.Span{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

const ownContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func withContext(r *kgo.Record) *kgo.Record {
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "traceparent", Value: []byte(ownContext)})
	return r
}

// A table's transactions are inside of the process spans, which link to what sent the records; no value is told.
func TestRunSendsSpans(t *testing.T) {
	t.Parallel()
	file, address, database := orders(t)
	send(t, address, withContext(order("1", `{"user":"secret","amount":1.10}`)), withContext(order("3", `{"user":`)))
	got, url := newReceiver(t)
	execute(t, ExitDone, "run", file, "--until-caught-up", "--otlp", url)
	if found := rows(t, database, "select user from orders"); !slices.Equal(found, []string{"secret"}) {
		t.Errorf("the table holds %q", found)
	}
	for _, name := range []string{"poll orders", "process orders", "upsert orders", "commit orders", "send orders.dlq"} {
		if len(got.spans[name]) == 0 {
			t.Fatalf("no span %q", name)
		}
	}
	if !strings.Contains(got.about, "orders-to-sql") {
		t.Errorf("the service is %s", got.about)
	}
	processes := map[string]*otlp.Span{}
	for _, s := range got.spans["process orders"] {
		processes[string(s.GetSpanId())] = s
	}
	linked := false
	for _, s := range got.spans["upsert orders"] {
		p := processes[string(s.GetParentSpanId())]
		if p == nil || s.GetKind() != otlp.Span_SPAN_KIND_CLIENT {
			t.Fatalf("a transaction's span is outside of a process span: %v", s)
		}
		for _, l := range p.GetLinks() {
			linked = linked || fmt.Sprintf("%x", l.GetTraceId()) == "0af7651916cd43dd8448eb211c80319c"
		}
		for _, about := range []string{`"db.system.name"`, `"sqlite"`, `"db.collection.name"`} {
			if text := s.String(); !strings.Contains(text, about) {
				t.Errorf("without %s: %s", about, text)
			}
		}
	}
	if !linked {
		t.Error("no process span links to the sender")
	}
	if dead := got.spans["send orders.dlq"][0]; fmt.Sprintf("%x", dead.GetTraceId()) != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the dead letter is in the trace %x", dead.GetTraceId())
	}
	for name, spans := range got.spans {
		for _, s := range spans {
			if strings.Contains(s.String(), "secret") {
				t.Errorf("span %s tells a value: %v", name, s)
			}
		}
	}
}

// A collector that is away is logged, and stops nothing.
func TestRunGoesOnWithoutItsCollector(t *testing.T) {
	t.Parallel()
	file, address, _ := orders(t)
	send(t, address, order("1", `{"user":"a"}`))
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := execute(t, ExitDone, "run", file, "--until-caught-up", "--otlp", gone.URL)
	if s := summaryOf(t, r); s.Rows != 1 {
		t.Errorf("the summary is %+v", s)
	}
	if !strings.Contains(r.stderr.String(), "event=spans_dropped") {
		t.Errorf("nothing is said about it:\n%s", r.stderr)
	}
}

func TestOTLPURLs(t *testing.T) {
	for _, c := range []struct{ flag, traces, general, want string }{
		{"", "", "", ""},
		{"http://127.0.0.1:4318", "http://x:1/t", "http://y:1", "http://127.0.0.1:4318/v1/traces"},
		{"https://c/own/path", "", "", "https://c/own/path"},
		{"", "http://x:1/t", "http://y:1", "http://x:1/t"},
		{"", "", "http://y:1/base", "http://y:1/base/v1/traces"},
		{"127.0.0.1:4318", "", "", "error"},
		{"ftp://x", "", "", "error"},
		{"https://user:secret@x:4318", "", "", "error"},
		{"https://x:4318?key=secret", "", "", "error"},
		{"", "collector:4317", "", "without"}, // as clients of gRPC have it
		{"", "", "collector:4317", "without"},
	} {
		var said strings.Builder
		p := &Process{Stderr: &said, Env: func(name string) (string, bool) {
			v := map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.traces, "OTEL_EXPORTER_OTLP_ENDPOINT": c.general}[name]
			return v, v != ""
		}}
		got, err := p.otlpURL(c.flag)
		switch {
		case err != nil:
			got = "error"
		case strings.Contains(said.String(), "event=spans_off"):
			got = "without"
		}
		if got != c.want || strings.Contains(said.String()+fmt.Sprint(err), "secret") {
			t.Errorf("%+v: %q, %v, %s", c, got, err, said.String())
		}
	}
	for name, value := range map[string]string{
		"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
	} {
		p := &Process{Stderr: io.Discard, Env: func(asked string) (string, bool) {
			v := map[string]string{name: value, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}[asked]
			return v, v != ""
		}}
		if got, err := p.otlpURL(""); got != "" || err != nil {
			t.Errorf("%s=%s: %q, %v", name, value, got, err)
		}
	}
}
