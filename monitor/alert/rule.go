package alert

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/monitor"
)

// The severities of the rules that are built in. A rule may have others.
const (
	SeverityCritical = "critical" // somebody should look now
	SeverityWarning  = "warning"  // somebody should look today
	SeverityInfo     = "info"
)

// Rule says when something is wrong, and what is told then.
type Rule struct {
	// Name is the alert's name. Required: letters, digits and underscores.
	Name string

	// Find is what the rule is about. Required.
	Find Condition

	// Action is told as the annotation description: what to do.
	Action string

	// For is how long it must be found, round after round, before the alert fires. Default 0: at once.
	For time.Duration

	// KeepFiring is how long it must not be found before the alert is resolved, so that what comes and goes is one alert. Default 3
	// minutes; -1 resolves at once.
	KeepFiring time.Duration

	// Labels are added to the alert's.
	Labels map[string]string

	// Severity is the label of that name. Default SeverityWarning.
	Severity string
}

// Condition finds what is wrong in a snapshot. An error says that not all of it could be judged: what is found beside it counts, alerts
// of the rule that are not found stay as they are, and the alert RuleFailed tells of it. It is called by one goroutine at a time.
type Condition func(*monitor.Snapshot) ([]Finding, error)

// Finding is something that is wrong.
type Finding struct {
	// Group and Topic are labels of the alert; empty where it is about none.
	Group, Topic string

	// Labels are others. Take care that there are not too many different ones: each is an alert of its own. In a name, what is no letter,
	// digit or underscore becomes an underscore; labels of the rule itself stay as they are.
	Labels map[string]string

	// Summary says what it is, in a sentence.
	Summary string

	// Value is what was measured.
	Value float64
}

const defaultKeepFiring = 3 * time.Minute

func (r Rule) withDefaults() Rule {
	if r.Severity == "" {
		r.Severity = SeverityWarning
	}
	r.KeepFiring = orOff(r.KeepFiring, defaultKeepFiring)
	return r
}

// orOff is a default for 0, and 0 for -1.
func orOff(d, byDefault time.Duration) time.Duration {
	if d == -1 {
		return 0
	}
	return cmp.Or(d, byDefault)
}

func (r Rule) check(field string) error {
	var errs []error
	bad := func(name, value, problem string) {
		errs = append(errs, &sluice.ConfigError{Field: field + "." + name, Value: value, Problem: problem})
	}
	if !IsName(r.Name) {
		bad("Name", r.Name, "must be letters, digits and underscores, and not begin with a digit")
	}
	if r.Find == nil {
		bad("Find", "", "is required: it says what the rule is about")
	}
	if r.For < 0 {
		bad("For", r.For.String(), "must not be negative; leave it out to fire at once")
	}
	if r.KeepFiring < 0 {
		bad("KeepFiring", r.KeepFiring.String(), "must not be negative; leave it out for 3m0s, -1 resolves at once")
	}
	for name := range r.Labels {
		if err := CheckLabel(name); err != "" {
			bad("Labels", name, err)
		}
	}
	return errors.Join(errs...)
}

// IsName tells whether s may be the name of an alert or a label.
func IsName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// CheckLabel says what is wrong with a label of your own; empty for nothing.
func CheckLabel(name string) string {
	switch name {
	case LabelName, LabelSeverity, LabelGroup, LabelTopic:
		return "is set by the rule itself; name another label"
	}
	if !IsName(name) {
		return "is no label: letters, digits and underscores, not a digit first"
	}
	return ""
}

// Runbook is where the rules that are built in are explained.
const Runbook = "https://github.com/sluice-go/sluice/blob/main/docs/alerts.md"

// alert is what is told of a finding.
func (r Rule) alert(f Finding, more map[string]string) Alert {
	labels := make(map[string]string, 4+len(f.Labels))
	for _, from := range []map[string]string{more, r.Labels, f.Labels} {
		for _, name := range slices.Sorted(maps.Keys(from)) {
			labels[asLabel(name)] = from[name]
		}
	}
	maps.Copy(labels, map[string]string{LabelName: r.Name, LabelSeverity: r.Severity, LabelGroup: f.Group, LabelTopic: f.Topic})
	maps.DeleteFunc(labels, func(name, value string) bool { return name == "" || value == "" }) // an empty label is none
	for name, value := range labels {
		labels[name] = strings.ToValidUTF8(value, "\ufffd") // a group's name may be anything
	}
	annotations := map[string]string{AnnotationSummary: strings.ToValidUTF8(f.Summary, "\ufffd")}
	if r.Action != "" {
		annotations[AnnotationAction] = r.Action
	}
	if IsBuiltIn(r.Name) {
		annotations[AnnotationRunbook] = Runbook + "#" + strings.ToLower(r.Name)
	}
	return Alert{Labels: labels, Annotations: annotations, Value: finite(f.Value)}
}

// asLabel makes a label's name of a text: Alertmanager refuses others.
func asLabel(name string) string {
	name = strings.Map(func(c rune) rune {
		if IsName("_" + string(c)) {
			return c
		}
		return '_'
	}, name)
	if name != "" && !IsName(name) {
		return "_" + name
	}
	return name
}

// finite is a value that JSON can say.
func finite(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(max(v, -math.MaxFloat64), math.MaxFloat64)
}
