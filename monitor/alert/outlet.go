package alert

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// outlet tells one receiver.
type outlet struct {
	Receiver

	of   *Alerter
	wake chan struct{}

	mu     sync.Mutex
	status ReceiverStatus
}

// ReceiverStatus is how telling a receiver goes.
type ReceiverStatus struct {
	Name string

	// Sent counts messages that arrived, Failed those that did not.
	Sent, Failed int64

	// Err is why the last message did not arrive; nil when it did. Since is since when none does.
	Err   error
	Since time.Time
}

const (
	resend     = time.Minute
	gap        = 5 * time.Second // between two messages to one receiver: what happens meanwhile goes together
	firstRetry = time.Second
	lastRetry  = time.Minute
	longestAsk = 10 * time.Minute // that a receiver may ask us to wait
	batch      = 200              // alerts in one message
)

func newOutlet(a *Alerter, r Receiver) *outlet {
	return &outlet{Receiver: r, of: a, wake: make(chan struct{}, 1), status: ReceiverStatus{Name: r.Name}}
}

// Receivers says how telling each receiver goes, in the order of the configuration.
func (a *Alerter) Receivers() []ReceiverStatus {
	all := make([]ReceiverStatus, len(a.outlets))
	for i, o := range a.outlets {
		o.mu.Lock()
		all[i] = o.status
		o.mu.Unlock()
	}
	return all
}

// run tells the receiver what it does not know, until the context ends.
func (o *outlet) run(ctx context.Context) {
	failures := 0
	for {
		wait := time.Duration(0)
		if alerts := o.of.due(o, time.Now()); len(alerts) > 0 {
			err := o.send(ctx, alerts)
			if ctx.Err() != nil {
				return
			}
			o.note(err)
			if err == nil {
				o.of.told(o, alerts, time.Now())
				failures, wait = 0, gap
			} else {
				wait = backoff(failures, err)
				failures++
			}
		}
		if wait > 0 {
			if !pause(ctx, wait) {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-time.After(resend / 6): // something may have to be repeated
		}
	}
}

// send tells, within the receiver's time.
func (o *outlet) send(ctx context.Context, alerts []Alert) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	err := o.Sender.Send(ctx, Message{Receiver: o.Name, Alerts: alerts, At: time.Now()})
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer within " + span(o.Timeout))
	}
	return err
}

// note keeps how it went, and logs when that changes.
func (o *outlet) note(err error) {
	o.mu.Lock()
	before := o.status.Err
	if o.status.Err = err; err == nil {
		o.status.Sent++
		o.status.Since = time.Time{}
	} else {
		o.status.Failed++
		if before == nil {
			o.status.Since = time.Now()
		}
	}
	o.mu.Unlock()
	switch {
	case before == nil && err != nil:
		o.of.cfg.Logger.Warn("a receiver of alerts cannot be told; it is tried again", "receiver", o.Name, "err", err)
	case before != nil && err == nil:
		o.of.cfg.Logger.Info("a receiver of alerts is told again", "receiver", o.Name)
	}
}

// backoff is how long to wait after so many failures, or as long as the receiver asks for.
func backoff(failures int, err error) time.Duration {
	if e, ok := errors.AsType[*laterError](err); ok && e.after > 0 {
		return min(e.after, longestAsk)
	}
	d := min(firstRetry<<min(failures, 10), lastRetry)
	return d/2 + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// news is what the receiver is to be told of an alert; ok is false where it knows all, or does not want to.
func (o *outlet) news(t *tracked, now time.Time) (one Alert, ok bool) {
	known, is := t.Told[o.Name], t.latest()
	current := known.FiredAt.Equal(is.FiredAt)
	switch {
	case is.State == Pending || !fit(o.Match, &t.Alert):
		return one, false
	case known.State == Firing && !current: // first, that what it knows of is over
		end := is.Since
		if t.Before != nil {
			end = t.Before.ResolvedAt
		}
		is.State, is.FiredAt, is.ResolvedAt = Resolved, known.FiredAt, end
		return is.Alert, true
	case is.State == Firing:
		return is.Alert, !current || known.State != Firing || o.Repeat > 0 && now.Sub(known.At) >= o.Repeat
	case current:
		return is.Alert, known.State == Firing
	default:
		return is.Alert, !is.Muted // it hears of what it missed, unless that was silenced
	}
}

// due are the alerts that a receiver is to be told of, the most urgent first.
func (a *Alerter) due(o *outlet, now time.Time) (all []Alert) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.alerts {
		if one, news := o.news(t, now); news && silenced(a.cfg.Silences, &t.Alert, now) == "" {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, byUrgency)
	return all[:min(len(all), batch)]
}

// told notes what a receiver knows now. What has changed meanwhile it does not.
func (a *Alerter) told(o *outlet, alerts []Alert, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range alerts {
		if t := a.alerts[alerts[i].Fingerprint()]; t != nil {
			if t.Told == nil {
				t.Told = map[string]told{}
			}
			t.Told[o.Name] = told{alerts[i].FiredAt, alerts[i].State, now}
		}
	}
	a.version++
}
