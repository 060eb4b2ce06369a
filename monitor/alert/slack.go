package alert

import (
	"context"
	"fmt"
	"strings"
)

// Slack is a channel that is told by an incoming webhook; Mattermost's are the same.
type Slack struct {
	Endpoint
}

type slackBody struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string `json:"color"`
	Fallback string `json:"fallback"`
	Title    string `json:"title"`
	Text     string `json:"text"`
	Ts       int64  `json:"ts"`
}

// Send implements Sender.
func (s *Slack) Send(ctx context.Context, m Message) error {
	body := slackBody{Text: m.title()}
	for i := range m.Alerts[:min(len(m.Alerts), shown)] {
		a := &m.Alerts[i]
		text := a.summary()
		if action := a.action(); action != "" {
			text += "\n" + action
		}
		body.Attachments = append(body.Attachments, slackAttachment{
			Color: a.color(), Fallback: slackText(a.heading() + ": " + a.summary()), Title: slackText(a.heading()), Text: slackText(text),
			Ts: a.FiredAt.Unix(),
		})
	}
	if more := len(m.Alerts) - shown; more > 0 {
		body.Text += fmt.Sprintf(" (the first %d are shown, and %d more are not)", shown, more)
	}
	_, err := s.post(ctx, s.URL, body)
	return err
}

func (a *Alert) color() string {
	switch {
	case a.State == Resolved:
		return "good"
	case a.Severity() == SeverityCritical:
		return "danger"
	default:
		return "warning"
	}
}

// slackText escapes what Slack would read as a link or a mention.
func slackText(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
