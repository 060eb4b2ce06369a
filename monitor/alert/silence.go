package alert

import (
	"strings"
	"time"
)

// Matcher fits alerts by a label. A label that an alert does not have is empty.
type Matcher struct {
	Label string

	// Pattern is the label's value, in which * stands for anything.
	Pattern string
}

func (m Matcher) fits(a *Alert) bool { return matches(m.Pattern, a.Labels[m.Label]) }

func fit(all []Matcher, a *Alert) bool {
	for _, m := range all {
		if !m.fits(a) {
			return false
		}
	}
	return true
}

// matches tells whether a text is what a pattern says, in which * stands for anything.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

// Silence keeps alerts from being told for a while: those that all of its matchers fit.
type Silence struct {
	// Match says which alerts. Required: at least one matcher.
	Match []Matcher

	// Until is when they are told again, if they still are. Required.
	Until time.Time

	// Comment says why. Default "silenced".
	Comment string
}

// silenced returns the comment of a silence that holds an alert back; empty for none.
func silenced(all []Silence, a *Alert, now time.Time) string {
	for _, s := range all {
		if now.Before(s.Until) && fit(s.Match, a) {
			if s.Comment == "" {
				return "silenced"
			}
			return s.Comment
		}
	}
	return ""
}
