package alert_test

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
)

// printer is a receiver of one's own.
type printer struct{ done func() }

func (p printer) Send(_ context.Context, m alert.Message) error {
	for _, a := range m.Alerts {
		fmt.Println(a.State, a.Name(), a.Severity()+":", a.Annotations[alert.AnnotationSummary])
	}
	p.done()
	return nil
}

func Example() {
	ctx, stop := context.WithCancel(context.Background()) // a program: signal.NotifyContext
	defer stop()

	alerter, err := alert.New(alert.Config{
		Rules:     alert.Rules(alert.Objective{Group: "billing", TimeLag: time.Minute, For: -1}),
		Receivers: []alert.Receiver{{Name: "screen", Sender: printer{stop}}}, // a program: &alert.Slack{…}
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A program: monitor.Config{…, OnSnapshot: alerter.Observe}
	alerter.Observe(&monitor.Snapshot{Round: 1, At: time.Now(), Groups: []monitor.Group{{ID: "billing", Partitions: []monitor.Partition{{
		Topic: "orders", Partition: 3, Commit: 40, End: 57, Lag: 17, Readable: 57,
		TimeLag: monitor.TimeLag{Known: true, Behind: 5 * time.Minute},
	}}}}})
	if err := alerter.Run(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: firing GroupTimeLag critical: billing is 5m behind on partition 3 of orders; its objective is 1m
}
