package alert

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"
)

// State is how far an alert has come.
type State string

// The states of an alert.
const (
	Pending  State = "pending"
	Firing   State = "firing"
	Resolved State = "resolved"
)

// The labels that this package sets. Rules and Config.Labels may add others.
const (
	LabelName     = "alertname"
	LabelSeverity = "severity"
	LabelGroup    = "group"
	LabelTopic    = "topic"
)

// The annotations of an alert.
const (
	AnnotationSummary = "summary"     // what it is
	AnnotationAction  = "description" // what to do
	AnnotationRunbook = "runbook_url" // where that is written in full
)

// Alert is something that a rule found, and that is or was so.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       State             `json:"state"`

	// Value is what the rule measured; what it means is the rule's affair.
	Value float64 `json:"value"`

	// Since is when it was found first, FiredAt when that had lasted for the rule's For, ResolvedAt when it was over.
	Since      time.Time `json:"since"`
	FiredAt    time.Time `json:"fired_at,omitzero"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"`

	// Silenced is the comment of the silence that keeps it from being told; empty for none.
	Silenced string `json:"silenced,omitempty"`
}

// Name is the alert's name.
func (a *Alert) Name() string { return a.Labels[LabelName] }

// Severity is the alert's severity.
func (a *Alert) Severity() string { return a.Labels[LabelSeverity] }

// Fingerprint stands for the labels.
func (a *Alert) Fingerprint() string { return fingerprint(a.Labels) }

func fingerprint(labels map[string]string) string {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		_, _ = fmt.Fprintf(h, "%s\xff%s\xff", name, labels[name]) // never fails
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// byUrgency orders alerts as people want to read them: what fires, then what is worst.
func byUrgency(a, b Alert) int {
	if order := cmp.Or(
		cmp.Compare(stateOrder(a.State), stateOrder(b.State)), cmp.Compare(severityOrder(a.Severity()), severityOrder(b.Severity())),
		strings.Compare(a.Name(), b.Name()), strings.Compare(a.Labels[LabelGroup], b.Labels[LabelGroup]),
		strings.Compare(a.Labels[LabelTopic], b.Labels[LabelTopic]),
	); order != 0 {
		return order
	}
	return strings.Compare(a.Fingerprint(), b.Fingerprint())
}

func stateOrder(s State) int { return slices.Index([]State{Firing, Pending, Resolved}, s) }

func severityOrder(s string) int {
	if i := slices.Index([]string{SeverityCritical, SeverityWarning, SeverityInfo}, s); i >= 0 {
		return i
	}
	return 1 // one of the user's own
}
