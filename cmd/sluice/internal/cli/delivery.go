package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

// delivery counts what became of the lines.
type delivery struct {
	began time.Time
	gauge *gauge

	// giveUp is called when what failed is not the record's own fault, so that the rest would fail as well.
	giveUp func()
	gaveUp bool

	mu        sync.Mutex
	topics    []string
	sent      int64 // given to the producer
	lastLine  int64 // the last one of them
	delivered int64
	failed    int64
	firstLine int64 // of those that failed
	first     error
}

func (d *delivery) sending(line int64, topic string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sent++
	d.lastLine = line
	if !slices.Contains(d.topics, topic) {
		d.topics = append(d.topics, topic)
	}
}

func (d *delivery) done(line int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.delivered++
		d.gauge.count.Store(d.delivered)
		return
	}
	d.failed++
	if d.first == nil || line < d.firstLine {
		d.firstLine, d.first = line, err
	}
	if !kafka.OwnFault(err) {
		d.gaveUp = true
		d.giveUp()
	}
}

// result is what -o json prints.
type deliveryResult struct {
	Topics       []string `json:"topics"`
	Delivered    int64    `json:"delivered"`
	NotDelivered int64    `json:"not_delivered"`
	LastLine     int64    `json:"last_line"`
	Seconds      float64  `json:"seconds"`
}

// report tells it, and returns what went wrong: while reading or closing, what was not delivered, and that the input was not
// read to its end.
func (d *delivery) report(ctx context.Context, p *Process, asJSON bool, readErr, closeErr error) error {
	stopped := errors.Is(readErr, errStopped)
	if stopped {
		readErr = nil
	}
	errs := []error{readErr}
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := d.sent - d.delivered // also what got no answer before the end
	topic := ""
	switch len(d.topics) {
	case 0:
	case 1:
		topic = " to " + d.topics[0]
	default:
		topic = fmt.Sprintf(" to %d topics", len(d.topics))
	}
	told := fmt.Sprintf("%d delivered%s", d.delivered, topic)
	if lost > 0 {
		told += fmt.Sprintf(", %d not delivered", lost)
	}
	p.errorf("%s", told)
	if d.first != nil {
		errs = append(errs, fmt.Errorf("%d lines were not delivered; the first is line %d: %w", lost, d.firstLine, d.first))
	} else {
		errs = append(errs, closeErr)
	}
	switch {
	case !stopped:
	case ctx.Err() != nil:
		errs = append(errs, fmt.Errorf("stopped before the end of the input, after line %d", d.lastLine))
	case d.gaveUp:
		errs = append(errs, fmt.Errorf("gave up; nothing after line %d was sent", d.lastLine))
	}
	if asJSON {
		line, err := json.Marshal(deliveryResult{
			Topics: append([]string{}, d.topics...), Delivered: d.delivered, NotDelivered: lost, LastLine: d.lastLine,
			Seconds: float64(time.Since(d.began).Milliseconds()) / 1000,
		})
		if err == nil {
			err = p.printf("%s", line)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
