package sluice

import (
	"errors"
	"fmt"

	"github.com/sluice-go/sluice/internal/engine"
)

var errNotRunning = errors.New("the app does not run yet")

// Pause stops some partitions of a topic, or, with none named, all of it: nothing is fetched, and no handler is started; those that
// run end, and what is finished is committed. It holds for this app by name until Resume, also while a partition is elsewhere,
// and for partitions that come later where none is named. What was fetched before stays in memory. It is no trouble for
// health; App.Snapshot shows it. Pausing twice is pausing once. An error says that the app does not run yet, or has no such topic.
func (a *App) Pause(topic string, partitions ...int32) error {
	return a.hold(topic, "pause", func(e *engine.Engine) { e.Pause(topic, partitions...) })
}

// Resume ends a Pause, of some partitions of a topic, or, with none named, of all. Resuming what is not paused does nothing.
func (a *App) Resume(topic string, partitions ...int32) error {
	return a.hold(topic, "resume", func(e *engine.Engine) { e.Resume(topic, partitions...) })
}

// hold does something to the engine, and to the one that comes after it meanwhile, which may have begun without.
func (a *App) hold(topic, what string, do func(*engine.Engine)) error {
	for {
		e, err := a.engineOf(topic, what)
		if err != nil {
			return err
		}
		do(e)
		if now := a.running(); now == e || now == nil {
			return nil
		}
	}
}

// engineOf is the engine for something that is to be done with a topic.
func (a *App) engineOf(topic, what string) (*engine.Engine, error) {
	e := a.running()
	if e == nil {
		return nil, fmt.Errorf("%s %s: %w", what, topic, errNotRunning)
	}
	if e.RouteOf(topic) == nil {
		return nil, fmt.Errorf("%w: %s: no route has the topic %q", ErrConfig, what, topic)
	}
	return e, nil
}
