package alert

import (
	"context"
	"errors"
	"time"
)

// fruitless are the messages of which a receiver has to take one, when it has refused the first.
const fruitless = 63

// refusal is an alert that a receiver does not take, and what it says.
type refusal struct {
	alert Alert
	err   error
}

// tell tells alerts, and notes what came of it. An alert that is refused while others are taken is left out for an hour: where all are
// refused, that is no alert's fault.
func (o *outlet) tell(ctx context.Context, alerts []Alert) error {
	taken, refused, err := o.deliver(ctx, alerts)
	o.of.told(o, taken, false)
	for _, r := range refused {
		if len(taken) == 0 && !o.of.refused(o, &r.alert) {
			err = r.err
			continue
		}
		o.of.told(o, []Alert{r.alert}, true)
		o.refuses(&r)
	}
	if ctx.Err() == nil {
		o.note(err)
	}
	return err
}

// deliver tells alerts in a message. Where the receiver refuses what it says, its halves are messages of their own, and so on, until it is
// known which alerts it does not take.
func (o *outlet) deliver(ctx context.Context, alerts []Alert) (taken []Alert, refused []refusal, err error) {
	parts := [][]Alert{alerts}
	for asked := 1; len(parts) > 0; asked++ {
		part := parts[0]
		parts = parts[1:]
		err := o.send(ctx, part)
		later, _ := errors.AsType[*laterError](err)
		switch half := len(part) / 2; {
		case err == nil:
			taken = append(taken, part...)
		case later == nil || !later.refuses || len(taken) == 0 && asked == fruitless:
			return taken, refused, err
		case half == 0:
			refused = append(refused, refusal{part[0], err})
		default:
			parts = append(parts, part[:half], part[half:])
		}
	}
	return taken, refused, nil
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

// refuses counts and logs an alert that is left out.
func (o *outlet) refuses(r *refusal) {
	o.mu.Lock()
	o.status.Refused++
	o.mu.Unlock()
	o.of.cfg.Logger.Warn("a receiver refuses an alert, and is told of it again in an hour, if it is so by then", "receiver", o.Name,
		"alert", r.alert.Name(), "group", r.alert.Labels[LabelGroup], "topic", r.alert.Labels[LabelTopic], "err", r.err)
}
