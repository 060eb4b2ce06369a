package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// state is what the state file holds.
type state struct {
	Version int        `json:"version"`
	Alerts  []*tracked `json:"alerts"`
}

const stateVersion = 1

// load reads the state file. One that cannot be understood is set aside.
func (a *Alerter) load() error {
	if a.cfg.StateFile == "" {
		return nil
	}
	text, err := os.ReadFile(a.cfg.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a.save() // whether it can be written is better known now
	}
	if err != nil {
		return fmt.Errorf("alert: the state file: %w", err)
	}
	s, err := readState(text)
	if err != nil {
		aside := fmt.Sprintf("%s.unreadable-%d", a.cfg.StateFile, time.Now().Unix())
		if err := os.Rename(a.cfg.StateFile, aside); err != nil {
			return fmt.Errorf("alert: the state file cannot be set aside: %w", err)
		}
		a.cfg.Logger.Warn("the state file of alerts cannot be read, and was set aside: everybody is told again what fires",
			"file", a.cfg.StateFile, "aside", aside, "err", err)
		return a.save()
	}
	for _, t := range s.Alerts {
		t.restored, t.unseen, t.judged = true, true, t.LastFound
		a.alerts[t.Fingerprint()] = t
	}
	return nil
}

func readState(text []byte) (*state, error) {
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("it has version %d; this program knows version %d", s.Version, stateVersion)
	}
	for _, t := range s.Alerts {
		if t == nil || t.Name() == "" || stateOrder(t.State) < 0 {
			return nil, errors.New("it holds something that is no alert")
		}
	}
	return &s, nil
}

// save writes the state file, in one step: a crash leaves the old one or the new one.
func (a *Alerter) save() error {
	if a.cfg.StateFile == "" {
		return nil
	}
	a.mu.Lock()
	s := state{Version: stateVersion, Alerts: make([]*tracked, 0, len(a.alerts))}
	for _, t := range a.alerts {
		s.Alerts = append(s.Alerts, t)
	}
	text, err := json.Marshal(s)
	a.mu.Unlock()
	if err == nil {
		err = replace(a.cfg.StateFile, text)
	}
	if err != nil {
		return fmt.Errorf("alert: the state file: %w", err)
	}
	return nil
}

func replace(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// keep writes the state file when something has changed, once a second at most.
func (a *Alerter) keep(ctx context.Context) {
	var written int64
	failing := false
	for pause(ctx, time.Second) {
		a.mu.Lock()
		version := a.version
		a.mu.Unlock()
		if version == written {
			continue
		}
		err := a.save()
		switch {
		case err != nil && !failing:
			a.cfg.Logger.Error("the state file of alerts cannot be written; a restart would tell again what was told", "err", err)
		case err == nil && failing:
			a.cfg.Logger.Info("the state file of alerts is written again", "file", a.cfg.StateFile)
		}
		if failing = err != nil; !failing {
			written = version
		}
	}
}
