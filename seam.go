package sluice

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-go/sluice/internal/engine"
	"github.com/sluice-go/sluice/internal/seam"
)

func init() { //nolint:gochecknoinits // sluicetest has no other way in that the public API does not show
	seam.EngineConfig = func(app any, write func(*kgo.Record, func(error))) engine.Config {
		a := app.(*App) //nolint:forcetypeassert // sluicetest gives nothing else
		a.enqueue = func(_ context.Context, r *kgo.Record, done func(*kgo.Record, error)) {
			write(r, func(err error) { done(r, err) })
		}
		a.retry = a.enqueue
		cfg := a.engineConfig()
		cfg.Write = func(r *kgo.Record) { write(r, func(error) {}) }
		return cfg
	}
}
