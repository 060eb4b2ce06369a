package alert

import (
	"context"
	"net/url"
	"time"
)

// Alertmanager is Prometheus' own, told by its API v2. It is told every minute of all that fires, and takes for resolved what it has not
// heard of for four. Where there are several, each is a receiver of its own. Two monitors that tell it the same make one alert of it.
type Alertmanager struct {
	Endpoint // the URL without /api/v2/alerts
}

type postableAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Send implements Sender.
func (m *Alertmanager) Send(ctx context.Context, msg Message) error {
	u, err := url.Parse(m.URL)
	if err != nil {
		return m.check()
	}
	all := make([]postableAlert, 0, len(msg.Alerts))
	for _, a := range msg.Alerts {
		one := postableAlert{a.Labels, a.Annotations, a.FiredAt, a.ResolvedAt}
		if a.State == Firing {
			one.EndsAt = msg.At.Add(4 * resend)
		}
		all = append(all, one)
	}
	_, err = m.post(ctx, u.JoinPath("api", "v2", "alerts").String(), all)
	return err
}
