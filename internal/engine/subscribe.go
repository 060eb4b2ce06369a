package engine

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// internalPrefix is what the names of Kafka's own topics begin with.
const internalPrefix = "__"

// subscription is what the client is told to consume: names, or, where a route has a pattern, regular expressions only. With an
// exclusion the client resolves them itself, also under KIP-848: the broker would match topics of Kafka's own.
func (e *Engine) subscription() []kgo.Opt {
	var topics []string
	patterns, retries := false, false
	for _, r := range e.cfg.Routes {
		retries = retries || len(r.RetryTopics) > 0
		topics = append(topics, r.Topics...)
		topics = slices.AppendSeq(topics, maps.Keys(r.RetryTopics))
		patterns = patterns || r.Pattern != nil
	}
	if !patterns {
		return []kgo.Opt{kgo.ConsumeTopics(topics...)}
	}
	exclude := []string{"^" + internalPrefix}
	for _, t := range e.cfg.NeverMatch {
		if !slices.Contains(topics, t) {
			exclude = append(exclude, whole(regexp.QuoteMeta(t)))
		}
	}
	if s := e.cfg.NeverContain; s != "" && !retries { // an exclusion knows no exceptions: what is left over is not begun (see RouteOf)
		exclude = append(exclude, whole(".*"+regexp.QuoteMeta(s)+".*"))
	}
	for i, t := range topics {
		topics[i] = whole(regexp.QuoteMeta(t))
	}
	for _, r := range e.cfg.Routes {
		if r.Pattern != nil {
			topics = append(topics, whole(r.Pattern.String()))
		}
	}
	return []kgo.Opt{kgo.ConsumeRegex(), kgo.ConsumeTopics(topics...), kgo.ConsumeExcludeTopics(exclude...)}
}

func whole(pattern string) string { return "^(?:" + pattern + ")$" }

// RouteOf is the route of a topic: the one that names it, or the first whose pattern it matches; nil when it has none.
func (e *Engine) RouteOf(topic string) *Route {
	if r := e.routes[topic]; r != nil {
		return r
	}
	if strings.HasPrefix(topic, internalPrefix) || slices.Contains(e.cfg.NeverMatch, topic) {
		return nil
	}
	if s := e.cfg.NeverContain; s != "" && strings.Contains(topic, s) {
		return nil
	}
	for _, r := range e.cfg.Routes {
		if r.Pattern != nil && r.Pattern.MatchString(topic) {
			return r
		}
	}
	return nil
}
