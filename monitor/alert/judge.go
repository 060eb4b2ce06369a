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

	// LastFound is when it was found last; time in which nobody could see whether it is so is left out.
	LastFound time.Time `json:"last_found"`

	// KeepFiring is its rule's.
	KeepFiring time.Duration `json:"keep_firing"`

	// Told is what each receiver knows of it.
	Told map[string]told `json:"told,omitempty"`

	// Muted says that it was silenced while it fired.
	Muted bool `json:"muted,omitempty"`

	// Before is what it was when it was resolved last; nil for never.
	Before *past `json:"before,omitempty"`

	restored bool      // from the state file, and not found since
	judged   time.Time // when it was last seen whether it is so
	unseen   bool      // nobody could see that since
	silent   time.Time // when it was silenced last
}

// past is an alert that is over.
type past struct {
	Alert

	Muted bool `json:"muted,omitempty"`
}

// latest is what receivers may be told of: an alert that is pending again still is what it was before.
func (t *tracked) latest() past {
	if t.State == Pending && t.Before != nil {
		return *t.Before
	}
	return past{t.Alert, t.Muted}
}

// told is what a receiver knows of an alert: that it fires since a time, or is resolved.
type told struct {
	FiredAt time.Time `json:"fired_at"`
	State   State     `json:"state"` // offered: it may know that it fires
	At      time.Time `json:"at"`

	// Refused says that it did not take it.
	Refused bool `json:"refused,omitempty"`
}

// offered is what a receiver knows that was sent that an alert fires, and has not said yet that it got it.
const offered State = "offered"

// remembered is how long a resolved alert waits for receivers that cannot be told, or until its silence ends and as long after.
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
			t.Before = &past{t.Alert, t.Muted}
			t.begin(now)
			a.version++
		}
		t.sees(now, a.cfg.StaleAfter)
		t.Annotations, t.Value, t.LastFound, t.KeepFiring, t.restored = one.Annotations, one.Value, now, m.rule.KeepFiring, false
		if t.State == Pending && now.Sub(t.Since) >= m.rule.For {
			t.State, t.FiredAt = Firing, now
			a.version++
		}
	}
	for key, t := range a.alerts {
		if !seen[key] && !held(t) {
			t.sees(now, a.cfg.StaleAfter)
			a.missing(key, t, now)
		}
		if t.Silenced = silenced(a.cfg.Silences, &t.Alert, now); t.Silenced != "" {
			t.silent = now
			t.Muted = t.Muted || t.State == Firing
		}
		if t.State == Resolved && a.done(t, now) {
			delete(a.alerts, key)
			a.version++
		}
	}
}

// sees has time in which nobody could see whether an alert is so not count: neither for its rule's For nor for KeepFiring. Where no
// snapshot came at all, as when the process was frozen, that is what goes beyond most.
func (t *tracked) sees(now time.Time, most time.Duration) {
	dark := now.Sub(t.judged)
	if !t.unseen {
		dark -= most
	}
	if dark > 0 {
		t.LastFound = t.LastFound.Add(dark)
		if t.State == Pending {
			t.Since = t.Since.Add(dark)
		}
	}
	t.unseen, t.judged = false, now
}

// begin makes of an alert a new one. What receivers were told of an older one stays.
func (t *tracked) begin(now time.Time) {
	t.unseen, t.judged = false, now
	t.State, t.Since, t.FiredAt, t.ResolvedAt, t.Muted = Pending, now, time.Time{}, time.Time{}, false
}

// missing goes on with an alert that is not so any more.
func (a *Alerter) missing(key string, t *tracked, now time.Time) {
	switch {
	case t.State == Pending && t.Before != nil: // somebody may not know yet that it was over
		t.Alert, t.Muted, t.Before = t.Before.Alert, t.Before.Muted, nil
		a.version++
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
	if now.Sub(t.ResolvedAt) > remembered && now.Sub(t.silent) > remembered {
		return true
	}
	for _, o := range a.outlets {
		if _, news := o.news(t, now); news {
			return false
		}
	}
	return true
}
