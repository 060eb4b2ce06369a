package alert

import (
	"context"
	"errors"
	"math"
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

	// Refused counts alerts that the receiver did not take, while it took others.
	Refused int64

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
	atOnce     = 5                // messages one after the other, to who wants all of it soon
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
	most, size := batch, batch
	switch o.Sender.(type) {
	case *Alertmanager:
		most = atOnce * batch
	case *Slack, *DingTalk, DingTalk, *WeCom: // they show the first ones, and count the rest
		most, size = math.MaxInt, math.MaxInt
	}
	failures := 0
	for {
		wait := time.Duration(0)
		if alerts, more := o.of.due(o, time.Now(), most); len(alerts) > 0 {
			var err error
			for part := range slices.Chunk(alerts, size) {
				if err = o.tell(ctx, part); err != nil {
					break
				}
			}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				wait = backoff(failures, err)
				failures++
			case more && o.hasten():
				failures = 0
				continue
			default:
				failures, wait = 0, gap
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

// hasten tells whether there is no gap between messages: an Alertmanager groups by itself, and takes for resolved what it does not hear of.
func (o *outlet) hasten() bool {
	_, is := o.Sender.(*Alertmanager)
	return is
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
