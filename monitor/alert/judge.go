package alert

import "time"

// match is a finding, and whose it is.
type match struct {
	rule    Rule
	finding Finding
}

// tracked is an alert, with what is needed to go on with it.
type tracked struct {
	Alert

	// LastFound is when it was found last.
	LastFound time.Time `json:"last_found"`

	// KeepFiring is its rule's.
	KeepFiring time.Duration `json:"keep_firing"`

	// Told is what each receiver knows of it.
	Told map[string]told `json:"told,omitempty"`

	// Muted says that it was silenced while it fired.
	Muted bool `json:"muted,omitempty"`

	restored bool // from the state file, and not found since
}

// told is what a receiver knows of an alert: that it fires since a time, or is resolved.
type told struct {
	FiredAt time.Time `json:"fired_at"`
	State   State     `json:"state"`
	At      time.Time `json:"at"`
}

// remembered is how long a resolved alert waits for receivers that cannot be told.
const remembered = 24 * time.Hour

// judge goes on with all alerts: what was found is so, and what was not is over, unless it is held.
func (a *Alerter) judge(now time.Time, found []match, held func(*tracked) bool) {
	seen := make(map[string]bool, len(found))
	for _, m := range found {
		one := m.rule.alert(m.finding, a.cfg.Labels)
		key := one.Fingerprint()
		seen[key] = true
		t := a.alerts[key]
		switch {
		case t == nil:
			t = &tracked{Alert: one}
			t.begin(now)
			a.alerts[key] = t
			a.version++
		case t.State == Resolved:
			t.begin(now)
			a.version++
		}
		t.Annotations, t.Value, t.LastFound, t.KeepFiring, t.restored = one.Annotations, one.Value, now, m.rule.KeepFiring, false
		if t.State == Pending && now.Sub(t.Since) >= m.rule.For {
			t.State, t.FiredAt = Firing, now
			a.version++
		}
	}
	for key, t := range a.alerts {
		if !seen[key] && !held(t) {
			a.missing(key, t, now)
		}
		if t.Silenced = silenced(a.cfg.Silences, &t.Alert, now); t.Silenced != "" && t.State == Firing {
			t.Muted = true
		}
		if t.State == Resolved && a.done(t, now) {
			delete(a.alerts, key)
			a.version++
		}
	}
}

// begin makes of an alert a new one. What receivers were told of an older one stays.
func (t *tracked) begin(now time.Time) {
	t.State, t.Since, t.FiredAt, t.ResolvedAt, t.Muted = Pending, now, time.Time{}, time.Time{}, false
}

// missing goes on with an alert that is not so any more.
func (a *Alerter) missing(key string, t *tracked, now time.Time) {
	switch {
	case t.State == Pending:
		delete(a.alerts, key)
		a.version++
	case t.State == Firing && now.Sub(t.LastFound) >= t.KeepFiring:
		t.State, t.ResolvedAt = Resolved, now
		a.version++
	}
}

// done tells whether nobody needs to be told of a resolved alert any more.
func (a *Alerter) done(t *tracked, now time.Time) bool {
	if now.Sub(t.ResolvedAt) > remembered {
		return true
	}
	for _, o := range a.outlets {
		if o.wants(t) && o.news(t, now) {
			return false
		}
	}
	return true
}
