package sluice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// internalBeside refuses topics of Kafka's own beside a pattern: with one, the client knows patterns only, and none of them matches
// those.
func internalBeside(routes []addedRoute) (errs []error) {
	if !slices.ContainsFunc(routes, func(r addedRoute) bool { return r.pattern != nil }) {
		return nil
	}
	for _, r := range routes {
		for _, t := range r.topics {
			if strings.HasPrefix(t, "__") {
				errs = append(errs, fmt.Errorf("topic %q cannot be read beside a Pattern; give it an app of its own", t))
			}
		}
	}
	return errs
}

// checkPatterns refuses a topic that two routes' patterns match, and tells of a pattern that matches nothing yet.
func (a *App) checkPatterns(ctx context.Context, cl *kgo.Client) error {
	matched := make(map[string]int)
	for _, r := range a.routes {
		if r.pattern != nil {
			matched[r.pattern.String()] = 0
		}
	}
	if len(matched) == 0 {
		return nil
	}
	topics, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("list the topics: %w", err)
	}
	var errs []error
	for _, t := range topics.Names() {
		by := a.patternsOf(t)
		for _, p := range by {
			matched[p]++
		}
		if len(by) > 1 {
			errs = append(errs, &ConfigError{Field: "Pattern", Value: by[1], Problem: fmt.Sprintf(
				"topic %q matches the pattern %q of another route as well; narrow one of them, or name the topic in Topics", t, by[0])})
		}
	}
	for p, n := range matched {
		if n == 0 {
			a.cfg.Logger.Warn("a route's pattern matches no topic yet", "event", "pattern_unmatched", "pattern", p)
		}
	}
	return errors.Join(errs...)
}

// patternsOf are the patterns that match a topic which nobody names.
func (a *App) patternsOf(topic string) (patterns []string) {
	if strings.HasPrefix(topic, "__") || slices.Contains(a.deadLetterTopics(), topic) ||
		strings.Contains(topic, retryTopicMark(a.cfg.Group)) {
		return nil
	}
	for _, r := range a.routes {
		if slices.Contains(r.topics, topic) {
			return nil
		}
		if r.pattern != nil && r.pattern.MatchString(topic) {
			patterns = append(patterns, r.pattern.String())
		}
	}
	return patterns
}
