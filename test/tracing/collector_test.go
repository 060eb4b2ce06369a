package tracing

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/sluice-go/sluice/test/servers"
)

// span is one that the collector has taken, and who sent it.
type span struct {
	ptrace.Span

	service string
}

// name is the span's, without the prefix of its topic.
func (s span) name() string {
	operation, topic, _ := strings.Cut(s.Name(), " ")
	if _, plain, ok := strings.Cut(topic, "-"); ok {
		topic = plain
	}
	return operation + " " + topic
}

func (s span) attribute(key string) string {
	v, ok := s.Attributes().Get(key)
	if !ok {
		return ""
	}
	return v.AsString()
}

// collector is the OpenTelemetry Collector's receiver of OTLP, and what it took.
type collector struct {
	grpc, http string // where it listens

	mu    sync.Mutex
	spans []span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	for _, at := range []*string{&c.grpc, &c.http} {
		address, err := servers.FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		*at = address
	}
	factory := otlpreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	given := confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"grpc": map[string]any{"endpoint": c.grpc}, "http": map[string]any{"endpoint": c.http},
	}})
	if err := given.Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	next, err := consumer.NewTraces(c.take)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := factory.CreateTraces(t.Context(), receivertest.NewNopSettings(component.MustNewType("otlp")), cfg, next)
	if err == nil {
		err = receiver.Start(t.Context(), componenttest.NewNopHost())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := receiver.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *collector) take(_ context.Context, given ptrace.Traces) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := ptrace.NewTraces() // given is the receiver's again
	given.CopyTo(took)
	for _, of := range took.ResourceSpans().All() {
		service, _ := of.Resource().Attributes().Get("service.name")
		for _, scope := range of.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				c.spans = append(c.spans, span{s, service.AsString()})
			}
		}
	}
	return nil
}

// all are the spans that it took, in the order of their beginnings.
func (c *collector) all() []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	spans := slices.Clone(c.spans)
	slices.SortStableFunc(spans, func(a, b span) int { return a.StartTimestamp().AsTime().Compare(b.StartTimestamp().AsTime()) })
	return spans
}

// from are the spans that a span leads to, itself among them: those whose parent, or one of whose links, is one of them.
func from(root span, spans []span) (found []span) {
	found = append(found, root)
	known := map[pcommon.SpanID]bool{root.SpanID(): true}
	for more := true; more; {
		more = false
		for _, s := range spans {
			leads := known[s.ParentSpanID()]
			for _, l := range s.Links().All() {
				leads = leads || known[l.SpanID()]
			}
			if leads && !known[s.SpanID()] {
				found, known[s.SpanID()], more = append(found, s), true, true
			}
		}
	}
	return found
}

// names are the services and names of spans, each once, sorted.
func names(spans []span) string {
	var all []string
	for _, s := range spans {
		all = append(all, s.service+": "+s.name())
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
