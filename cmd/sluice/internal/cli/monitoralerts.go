package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/alertfile"
	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
)

// alerter makes who tells of what the monitor sees. A rule of the file that cannot be judged is logged by it, and an alert itself.
func (p *Process) alerter(file string, interval time.Duration, logger *slog.Logger) (*alert.Alerter, error) {
	cfg, _, err := alertfile.Load(file, p.Env)
	if err != nil {
		return nil, err
	}
	cfg.Logger, cfg.StaleAfter = logger, max(2*time.Minute, 2*lateAfter*interval)
	a, err := alert.New(cfg)
	if err != nil {
		return nil, configError(err)
	}
	return a, nil
}

// saw takes in what a round saw.
func (w *watch) saw(s *monitor.Snapshot) {
	w.see(s)
	if w.alerter != nil {
		w.alerter.Observe(s)
	}
}

// run watches, and tells receivers, until ctx ends.
func (w *watch) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	told := make(chan error, 1)
	if w.alerter != nil {
		go func() { told <- w.alerter.Run(ctx) }()
	} else {
		told <- nil
	}
	err := w.monitor.Run(ctx)
	if err != nil {
		err = fmt.Errorf("kafka: %w", err)
	}
	stop()
	return errors.Join(err, <-told)
}
