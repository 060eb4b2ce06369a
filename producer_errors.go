package sluice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Why a record was not acknowledged, for errors.Is on a ProduceError; anything else is the broker's own error (package kerr).
var (
	// ErrBehindTimeout: a record ahead of this one in its partition has run out of time. What waits behind it fails too, so that
	// whoever sends the failed ones again keeps their order.
	ErrBehindTimeout = errors.New("failed behind a record of the same partition that was not acknowledged within the delivery timeout")

	// ErrBufferFull: the buffer had no room for as long as the context, or DeliveryTimeout, allowed. The record was not sent.
	ErrBufferFull = errors.New("no room in the producer's buffer (MaxBufferedBytes, buffer.memory); not sent")

	// ErrClosed: the producer was closed.
	ErrClosed = errors.New("the producer is closed")

	// ErrDeliveryTimeout: no acknowledgement came within DeliveryTimeout. The record may still have been written.
	ErrDeliveryTimeout = errors.New("not acknowledged within the delivery timeout; it may still have been written")

	// ErrTooLarge: the record, or its batch, is larger than this producer or the topic allows.
	ErrTooLarge = errors.New("too large")

	// ErrUnknownTopic: the brokers do not know the topic.
	ErrUnknownTopic = errors.New("the topic does not exist")
)

// ProduceError says which record was not acknowledged, and why.
type ProduceError struct {
	Index     int         // among the records of Send; -1 from Enqueue
	Record    *kgo.Record // as it was given
	Partition int32       // -1 when none was chosen
	Err       error
}

func (e *ProduceError) Error() string {
	var b strings.Builder
	b.WriteString("record ")
	if e.Index >= 0 {
		fmt.Fprintf(&b, "%d of the call, ", e.Index)
	}
	fmt.Fprintf(&b, "for topic %s", e.Record.Topic)
	if e.Partition >= 0 {
		fmt.Fprintf(&b, ", partition %d", e.Partition)
	}
	if key := e.Record.Key; key != nil {
		const longest = 64
		text := key[:min(len(key), longest)]
		fmt.Fprintf(&b, ", key %q", text)
		if len(key) > longest {
			b.WriteString("…")
		}
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns why.
func (e *ProduceError) Unwrap() error { return e.Err }

// reason is what a cause that the client gave means for a record of a topic. late says that the record's time was over.
func reason(topic string, cause error, late bool, trouble error) error {
	trouble = Explain(trouble, "WRITE", topic)
	var answer *kerr.Error
	_ = errors.As(cause, &answer)
	switch {
	case errors.Is(cause, kgo.ErrClientClosed):
		return fmt.Errorf("%w; it was not acknowledged before, and may still have been written", ErrClosed)
	case answer == kerr.MessageTooLarge:
		return fmt.Errorf("%w: the broker refuses its batch; lower BatchBytes (batch.size) to the topic's max.message.bytes, "+
			"or raise that: %w", ErrTooLarge, cause)
	case answer != nil && !answer.Retriable:
		return Explain(cause, "WRITE", topic)
	case late:
		return because(ErrDeliveryTimeout, Explain(cause, "WRITE", topic), trouble)
	case answer != nil, errors.Is(cause, context.Canceled), kgo.IsRetryableBrokerErr(cause), isNetwork(cause):
		// The client gives up on what can be tried again only when the first record of the partition is late.
		return because(ErrBehindTimeout, Explain(cause, "WRITE", topic), trouble)
	}
	return Explain(cause, "WRITE", topic)
}

// because adds what is known about why a record had no answer.
func because(err, cause, trouble error) error {
	switch {
	case !errors.Is(cause, context.Canceled):
		return fmt.Errorf("%w: %w", err, cause)
	case trouble != nil:
		return withTrouble(err, trouble)
	}
	return err
}

func withTrouble(err, trouble error) error {
	return fmt.Errorf("%w; the last trouble with the brokers: %w", err, trouble)
}

// endOf says why a context has ended.
func endOf(ctx context.Context) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); cause != err { //nolint:errorlint // the same value, where there is no other cause
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

func isNetwork(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
