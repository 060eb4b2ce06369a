package alert

import (
	"fmt"
	"strings"
)

const (
	shown        = 20  // alerts in a message to people
	summaryBytes = 500 // of a summary in it
)

// title counts what a message tells, as in "2 firing, 1 resolved".
func (m Message) title() string {
	counts := map[State]int{}
	for _, a := range m.Alerts {
		counts[a.State]++
	}
	var parts []string
	for _, s := range []State{Firing, Resolved} {
		if counts[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[s], s))
		}
	}
	return "Kafka: " + strings.Join(parts, ", ")
}

// mark is what an alert begins with: a colour that people see first.
func (a *Alert) mark() string {
	switch {
	case a.State == Resolved:
		return "🟢"
	case a.Severity() == SeverityCritical:
		return "🔴"
	default:
		return "🟡"
	}
}

// heading names an alert.
func (a *Alert) heading() string {
	if a.State == Resolved {
		return fmt.Sprintf("%s, resolved after %s", a.Name(), span(a.ResolvedAt.Sub(a.FiredAt)))
	}
	return fmt.Sprintf("%s (%s), since %s", a.Name(), a.Severity(), a.Since.UTC().Format("15:04 MST"))
}

func (a *Alert) summary() string { return short(a.Annotations[AnnotationSummary], summaryBytes) }

// action is what to do; nothing, when it is over.
func (a *Alert) action() string {
	if a.State == Resolved {
		return ""
	}
	return a.Annotations[AnnotationAction]
}

// markdown writes a message for chats that know some of Markdown, in at most so many bytes.
func (m Message) markdown(most int) string {
	var b strings.Builder
	b.WriteString("**" + m.title() + "**\n")
	for i := range m.Alerts {
		a := &m.Alerts[i]
		one := fmt.Sprintf("\n%s **%s**\n\n%s\n", a.mark(), plain(a.heading()), plain(a.summary()))
		if action := a.action(); action != "" {
			one += "\n> " + plain(action) + "\n"
		}
		rest := fmt.Sprintf("\n… and %d more\n", len(m.Alerts)-i)
		if i == shown || b.Len()+len(one)+len(rest) > most {
			b.WriteString(rest)
			break
		}
		b.WriteString(one)
	}
	return b.String()
}

// plain takes from a text what chats would take for markup: groups may have any name.
func plain(text string) string {
	return strings.NewReplacer("<", "＜", ">", "＞", "[", "［", "]", "］", "*", "＊", "`", "'", "#", "＃").Replace(text)
}
