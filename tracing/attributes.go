package tracing

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-go/sluice"
)

// The names of the conventions, https://opentelemetry.io/docs/specs/semconv/messaging/kafka/.
const (
	keySystem        = attribute.Key("messaging.system")
	keyOperation     = attribute.Key("messaging.operation.name")
	keyOperationType = attribute.Key("messaging.operation.type")
	keyDestination   = attribute.Key("messaging.destination.name")
	keyPartition     = attribute.Key("messaging.destination.partition.id")
	keyGroup         = attribute.Key("messaging.consumer.group.name")
	keyClient        = attribute.Key("messaging.client.id")
	keyBatch         = attribute.Key("messaging.batch.message_count")
	keyOffset        = attribute.Key("messaging.kafka.offset")
	keyMessageKey    = attribute.Key("messaging.kafka.message.key")
	keyTombstone     = attribute.Key("messaging.kafka.message.tombstone")
	keyErrorType     = attribute.Key("error.type")

	// Ours.
	keyAttempt = attribute.Key("sluice.attempt") // of a handler, from 2
	keyOutcome = attribute.Key("sluice.outcome") // sluice.OutcomeKind of what a handler returned
)

// operation is one of the conventions' four.
type operation struct {
	name  string
	about []attribute.KeyValue
}

func newOperation(name, kind string) operation {
	return operation{name, []attribute.KeyValue{keySystem.String("kafka"), keyOperation.String(name), keyOperationType.String(kind)}}
}

var (
	opSend    = newOperation("send", "send")
	opPoll    = newOperation("poll", "receive")
	opProcess = newOperation("process", "process")
	opCommit  = newOperation("commit", "settle")
)

// span is the name of an operation's span. destination is empty where there is more than one.
func (o operation) span(destination string) string {
	if destination == "" {
		return o.name
	}
	return o.name + " " + destination
}

// attributes begins the attributes of a span, with room for more.
func (o operation) attributes(destination, group, client string) []attribute.KeyValue {
	const room = 12
	a := append(make([]attribute.KeyValue, 0, room), o.about...)
	if destination != "" {
		a = append(a, keyDestination.String(destination))
	}
	if group != "" {
		a = append(a, keyGroup.String(group))
	}
	if client != "" {
		a = append(a, keyClient.String(client))
	}
	return a
}

func partitionID(p int32) attribute.KeyValue { return keyPartition.String(strconv.Itoa(int(p))) }

// message adds what there is to say of one record.
func (t *Tracer) message(a []attribute.KeyValue, r *kgo.Record) []attribute.KeyValue {
	if t.cfg.Keys && r.Key != nil && utf8.Valid(r.Key) {
		a = append(a, keyMessageKey.String(string(r.Key)))
	}
	if r.Value == nil {
		a = append(a, keyTombstone.Bool(true))
	}
	return a
}

// failed ends a span's story with an error. What the error says may hold what a record holds, so its type alone is told.
func failed(span trace.Span, err error) {
	kind := errorType(err)
	span.SetAttributes(keyErrorType.String(kind))
	span.SetStatus(codes.Error, kind)
}

// reasons are sluice's own, by words of the same shape as Kafka's errors.
var reasons = []struct {
	err  error
	name string
}{
	{sluice.ErrBehindTimeout, "BEHIND_TIMEOUT"},
	{sluice.ErrBufferFull, "BUFFER_FULL"},
	{sluice.ErrClosed, "CLOSED"},
	{sluice.ErrDeliveryTimeout, "DELIVERY_TIMEOUT"},
	{sluice.ErrTooLarge, "TOO_LARGE"},
	{sluice.ErrUnknownTopic, "UNKNOWN_TOPIC"},
}

// errorType is one word of a few: Kafka's name of an error, what a handler's outcome says, or the Go type of what lies at the bottom.
func errorType(err error) string {
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return k.Message
	}
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	if kind := sluice.OutcomeKind(err); kind == "panic" || kind == "decode" {
		return kind
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok && len(many.Unwrap()) > 0 {
		return errorType(many.Unwrap()[0])
	}
	if inner := errors.Unwrap(err); inner != nil {
		return errorType(inner)
	}
	switch name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*"); name {
	case "errors.errorString", "fmt.wrapError", "fmt.wrapErrors", "sluice.outcomeError":
		return "_OTHER"
	default:
		return name
	}
}
