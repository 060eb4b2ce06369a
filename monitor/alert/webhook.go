package alert

import (
	"context"
	"maps"
	"time"
)

// Webhook is told by JSON in the shape of Alertmanager's webhooks, version 4, so that whatever reads those reads this. What fires again
// after having been told, after Receiver.Repeat, comes again.
type Webhook struct {
	Endpoint
}

type webhookBody struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            State             `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       State             `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // 0001-01-01 while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Send implements Sender.
func (w *Webhook) Send(ctx context.Context, m Message) error {
	body := webhookBody{
		Version: "4", GroupKey: "{}:{}", Status: Resolved, Receiver: m.Receiver, GroupLabels: map[string]string{},
		CommonLabels: maps.Clone(m.Alerts[0].Labels), CommonAnnotations: maps.Clone(m.Alerts[0].Annotations),
	}
	for _, a := range m.Alerts {
		if a.State == Firing {
			body.Status = Firing
		}
		body.Alerts = append(body.Alerts, webhookAlert{
			Status: a.State, Labels: a.Labels, Annotations: a.Annotations, StartsAt: a.FiredAt, EndsAt: a.ResolvedAt,
			Fingerprint: a.Fingerprint(),
		})
		maps.DeleteFunc(body.CommonLabels, func(name, value string) bool { return a.Labels[name] != value })
		maps.DeleteFunc(body.CommonAnnotations, func(name, value string) bool { return a.Annotations[name] != value })
	}
	_, err := w.post(ctx, w.URL, body)
	return err
}
