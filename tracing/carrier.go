package tracing

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/propagation"
)

// carrier is a record whose headers carry a context. It writes no header that is there already.
type carrier kgo.Record

var _ propagation.TextMapCarrier = (*carrier)(nil)

// Get implements propagation.TextMapCarrier.
func (c *carrier) Get(key string) string {
	for i := range c.Headers {
		if c.Headers[i].Key == key {
			return string(c.Headers[i].Value)
		}
	}
	return ""
}

// Set implements propagation.TextMapCarrier. The headers' array is the caller's, and may have room that is his.
func (c *carrier) Set(key, value string) {
	if !c.has(key) {
		c.Headers = append(slices.Clip(c.Headers), kgo.RecordHeader{Key: key, Value: []byte(value)})
	}
}

// Keys implements propagation.TextMapCarrier.
func (c *carrier) Keys() []string {
	keys := make([]string, len(c.Headers))
	for i := range c.Headers {
		keys[i] = c.Headers[i].Key
	}
	return keys
}

func (c *carrier) has(key string) bool {
	return slices.ContainsFunc(c.Headers, func(h kgo.RecordHeader) bool { return h.Key == key })
}

// hasContext says whether a record has headers with a trace's context, readable or not. Baggage alone is none.
func (c *carrier) hasContext(fields []string) bool {
	return len(c.Headers) > 0 && slices.ContainsFunc(fields, func(f string) bool { return f != "baggage" && c.has(f) })
}
