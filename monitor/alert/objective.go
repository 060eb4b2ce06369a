package alert

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/monitor"
)

// Objective is how old the oldest record that a group has not handled may be. The first one that fits a group and a topic counts. Where
// none does it is 10 minutes, for partitions that a member reads, as long as they are not about to catch up within that time: a job that
// runs once an hour breaks no objective that nobody has set.
type Objective struct {
	// Group and Topic are patterns, in which * stands for anything. Default: any.
	Group, Topic string

	// TimeLag is the objective. Required; -1 is none.
	TimeLag time.Duration

	// For is how long it must be exceeded. Default 5 minutes; -1 fires at once.
	For time.Duration

	// Severity is that of the alert. Default SeverityCritical.
	Severity string
}

const (
	defaultObjective = 10 * time.Minute
	defaultFor       = 5 * time.Minute
)

func (o Objective) withDefaults() Objective {
	if o.Group == "" {
		o.Group = "*"
	}
	if o.Topic == "" {
		o.Topic = "*"
	}
	o.For = orOff(o.For, defaultFor)
	if o.Severity == "" {
		o.Severity = SeverityCritical
	}
	return o
}

// Check returns what is wrong with an objective.
func (o Objective) Check() error {
	var errs []error
	if o.TimeLag == 0 || o.TimeLag < -1 {
		errs = append(errs, &sluice.ConfigError{
			Field: "TimeLag", Value: o.TimeLag.String(), Problem: "must be above zero; -1 is no objective",
		})
	}
	if o.For < -1 {
		errs = append(errs, &sluice.ConfigError{
			Field: "For", Value: o.For.String(), Problem: "must not be negative; leave it out for 5m0s, -1 fires at once",
		})
	}
	return errors.Join(errs...)
}

const timeLagAction = "Records are handled later than promised. See which partition it is, and whether the group has enough members " +
	"and workers, or a record that holds it up."

// timeLagRules are one rule an objective, as each has a severity and a For of its own. An objective that is not valid makes a rule that
// is not.
func timeLagRules(objectives []Objective) (rules []Rule) {
	all := make([]Objective, 0, len(objectives)+1)
	for _, o := range objectives {
		all = append(all, o.withDefaults())
	}
	all = append(all, Objective{TimeLag: defaultObjective}.withDefaults())
	first := func(group, topic string) int {
		for i, o := range all {
			if matches(o.Group, group) && matches(o.Topic, topic) {
				return i
			}
		}
		return -1
	}
	for i, o := range all {
		if o.TimeLag == -1 {
			continue
		}
		r := Rule{Name: "GroupTimeLag", Severity: o.Severity, For: o.For, Action: timeLagAction}
		if o.Check() == nil {
			r.Find = timeLag(o, i == len(all)-1, func(group, topic string) bool { return first(group, topic) == i })
		}
		rules = append(rules, r)
	}
	return rules
}

// timeLag finds who is further behind than an objective allows.
func timeLag(o Objective, byDefault bool, fits func(group, topic string) bool) Condition {
	late := func(g *monitor.Group, p *monitor.Partition) bool {
		if !p.TimeLag.Known || p.TimeLag.Behind <= o.TimeLag {
			return false
		}
		return !byDefault || staffed(g) && p.Owner >= 0 && (p.Drain < 0 || p.Drain > o.TimeLag)
	}
	return func(s *monitor.Snapshot) (found []Finding, err error) {
		for _, at := range places(s, late) {
			if !fits(at.group.ID, at.topic) {
				continue
			}
			worst := at.oldest()
			found = append(found, Finding{
				Group: at.group.ID, Topic: at.topic, Value: worst.TimeLag.Behind.Seconds(),
				Summary: fmt.Sprintf("%s is %s behind on %s; its objective is %s",
					at.group.ID, span(worst.TimeLag.Behind), at.where(), span(o.TimeLag)),
			})
		}
		return found, nil
	}
}
