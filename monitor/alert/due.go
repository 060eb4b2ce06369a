package alert

import (
	"cmp"
	"slices"
	"time"
)

// refusedAgain is when an alert is told again that a receiver has refused.
const refusedAgain = time.Hour

// news is what the receiver is to be told of an alert; ok is false where it knows all, or does not want to.
func (o *outlet) news(t *tracked, now time.Time) (one Alert, ok bool) {
	known, is := t.Told[o.Name], t.latest()
	current := known.FiredAt.Equal(is.FiredAt)
	fires := known.State == Firing || known.State == offered
	switch {
	case is.State == Pending || !fit(o.Match, &t.Alert):
		return one, false
	case known.Refused && current && known.State != offered:
		return is.Alert, is.State == Firing && now.Sub(known.At) >= refusedAgain
	case fires && !current: // first, that what it knows of is over
		end := is.Since
		if t.Before != nil {
			end = t.Before.ResolvedAt
		}
		is.State, is.FiredAt, is.ResolvedAt = Resolved, known.FiredAt, end
		return is.Alert, true
	case is.State == Firing:
		return is.Alert, !current || known.State != Firing || o.Repeat > 0 && now.Sub(known.At).Abs() >= o.Repeat
	case current:
		return is.Alert, fires
	default:
		return is.Alert, !is.Muted // it hears of what it missed, unless that was silenced
	}
}

// due are the alerts that a receiver is to be told of next, and whether there are more: first what it does not know, the
// most urgent of that, and then what it was told of longest ago.
func (a *Alerter) due(o *outlet, now time.Time, most int) (next []Alert, more bool) {
	type candidate struct {
		Alert

		of     *tracked
		before time.Time // when it was told the same; zero for never
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []candidate
	for _, t := range a.alerts {
		one, news := o.news(t, now)
		if !news || silenced(a.cfg.Silences, &t.Alert, now) != "" {
			continue
		}
		c := candidate{Alert: one, of: t}
		if known := t.Told[o.Name]; known.State == one.State && known.FiredAt.Equal(one.FiredAt) {
			c.before = known.At
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(a.before.Compare(b.before), byUrgency(a.Alert, b.Alert)) })
	for _, c := range all[:min(len(all), most)] {
		next = append(next, c.Alert)
		if c.State == Firing && c.of.offer(o.Name) {
			a.version++
		}
	}
	for part := range slices.Chunk(next, batch) {
		slices.SortFunc(part, byUrgency)
	}
	return next, len(all) > most
}

// offer notes, before that is sent, that a receiver may know of an alert that fires: it is told that it is over, also where that is so
// before it has answered, or its answer is lost. Whether that is new is returned.
func (t *tracked) offer(receiver string) bool {
	known := t.Told[receiver]
	if known.FiredAt.Equal(t.FiredAt) && (known.State == Firing || known.State == offered) {
		return false
	}
	known.FiredAt, known.State = t.FiredAt, offered
	t.tell(receiver, known)
	return true
}

// tell notes what a receiver knows.
func (t *tracked) tell(receiver string, knows told) {
	if t.Told == nil {
		t.Told = map[string]told{}
	}
	t.Told[receiver] = knows
}

// told notes what a receiver knows now, or has refused. What has changed meanwhile it does not know.
func (a *Alerter) told(o *outlet, alerts []Alert, refused bool) {
	if len(alerts) == 0 {
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range alerts {
		t := a.alerts[alerts[i].Fingerprint()]
		if t == nil {
			continue
		}
		knows := told{FiredAt: alerts[i].FiredAt, State: alerts[i].State, At: now}
		if refused {
			knows.State, knows.Refused = "", true
		}
		t.tell(o.Name, knows)
	}
	a.version++
}

// refused tells whether a receiver has refused an alert before.
func (a *Alerter) refused(o *outlet, one *Alert) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.alerts[one.Fingerprint()]
	return t != nil && t.Told[o.Name].Refused
}
