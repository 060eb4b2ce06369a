package sluice

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// PermissionError is a right that this client's user does not have, as Kafka's ACLs name it.
type PermissionError struct {
	Operation string // READ, WRITE, DESCRIBE, IDEMPOTENT_WRITE
	Resource  string // TOPIC, GROUP, TRANSACTIONAL_ID, CLUSTER
	Name      string // of the topic, the group or the transactional id; kafka-cluster for the cluster
	Err       error  // what the broker said
}

// Error says what is missing, and how to grant it.
func (e *PermissionError) Error() string {
	text := fmt.Sprintf("no permission: %s on %s %s; grant it: kafka-acls --bootstrap-server HOST:PORT --add --allow-principal User:NAME "+
		"--operation %s %s", e.Operation, e.Resource, e.Name, spelt(e.Operation), e.flag())
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

// Unwrap returns what the broker said.
func (e *PermissionError) Unwrap() error { return e.Err }

// spelt is how Kafka's tools write an operation: IdempotentWrite for IDEMPOTENT_WRITE.
func spelt(operation string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(operation, "_") {
		b.WriteString(word[:min(1, len(word))])
		b.WriteString(strings.ToLower(word[min(1, len(word)):]))
	}
	return b.String()
}

func (e *PermissionError) flag() string {
	switch e.Resource {
	case onCluster:
		return "--cluster"
	case onTransaction:
		return "--transactional-id '" + e.Name + "'"
	}
	return "--" + strings.ToLower(e.Resource) + " '" + e.Name + "'"
}

const (
	onCluster     = "CLUSTER"
	onGroup       = "GROUP"
	onTopic       = "TOPIC"
	onTransaction = "TRANSACTIONAL_ID"

	toRead  = "READ"
	toWrite = "WRITE"
)

// missingPermission is the right that a broker's error says is missing; nil where it says something else.
func missingPermission(err error, operation, name string) *PermissionError {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return &PermissionError{operation, onTopic, name, err}
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return &PermissionError{operation, onGroup, name, err}
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return &PermissionError{operation, onTransaction, name, err}
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		if operation == "" || operation == toWrite { // of a record, which is written idempotently
			operation = "IDEMPOTENT_WRITE"
		}
		return &PermissionError{operation, onCluster, "kafka-cluster", err}
	}
	return nil
}

// explainWrite says what brokers said of a topic that the app writes.
func (a *App) explainWrite(err error, topic string) error {
	if errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w; %w for the topic: lower batch.size to its max.message.bytes, raise that, or write smaller records",
			err, ErrTooLarge)
	}
	return Explain(err, toWrite, topic)
}

// explain says what brokers said of a topic that the app reads, or, with no topic, of its group.
func (a *App) explain(err error, topic string) error {
	if topic == "" || errors.Is(err, kerr.GroupAuthorizationFailed) {
		topic = a.cfg.Group
	}
	return Explain(err, toRead, topic)
}
