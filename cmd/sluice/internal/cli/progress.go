package cli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/render"
)

const (
	progressEvery     = 10 * time.Second
	progressEveryLive = 500 * time.Millisecond
)

// progress tells how the run goes until ctx ends: a line that changes on a terminal, a line about every 10 s elsewhere.
func (r *runner) progress(ctx context.Context) {
	width, live := r.p.terminal()
	every := progressEvery
	if live {
		every = progressEveryLive
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	if live {
		defer r.p.errorf("") // the line that changes stays above what follows
	}
	var before int64
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			stats := r.app.Stats()
			rate := float64(stats.Finished-before) / now.Sub(last).Seconds()
			before, last = stats.Finished, now
			health, partitions := r.app.Health(), len(r.app.Snapshot().Partitions)
			counts := r.sink.Counts(stats)
			line := fmt.Sprintf("%s records  %s/s  %s %s  %s dead-lettered  %d partitions", render.Count(stats.Finished),
				render.Count(int64(rate)), render.Count(counts.Written), counts.Unit, render.Count(stats.DeadLettered), partitions)
			if len(health.Problems) > 0 {
				line += "  " + strings.Join(health.Problems, "; ")
			}
			if live {
				_, _ = fmt.Fprintf(r.p.Stderr, "\r\x1b[K%s", render.Fit(line, width-1))
				continue
			}
			level := slog.LevelInfo
			if len(health.Problems) > 0 {
				level = slog.LevelWarn
			}
			r.logger.Log(ctx, level, "progress", "records", stats.Finished, "per_second", int64(rate), counts.Unit, counts.Written,
				"dead_lettered", stats.DeadLettered, "partitions", partitions, "problems", strings.Join(health.Problems, "; "))
		}
	}
}
