package alert

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/sluice-go/sluice"
)

// Config is what an Alerter is made of. Its zero value judges by the built-in rules and tells nobody; Alerter.Alerts has what they found.
type Config struct {
	// Labels are added to every alert, such as the cluster's name. Default: none.
	Labels map[string]string

	// Logger is told when a receiver cannot be told, or a rule not be judged, and when that is over. Default slog.Default().
	Logger *slog.Logger

	// Receivers are who is told. Default: nobody.
	Receivers []Receiver

	// Rules are what is judged. Default Rules(). An empty list that is not nil is none.
	Rules []Rule

	// Silences keep alerts from being told.
	Silences []Silence

	// StaleAfter is how long no snapshot may come before MonitorStuck fires. Of a longer time without one no more than that counts for a
	// rule's For and KeepFiring. Default 2 minutes; set it well above the monitor's Interval.
	StaleAfter time.Duration

	// StateFile keeps what is so, and who was told, over restarts. It is written anew at each change, with the rights 0600. One that
	// cannot be read is set aside and reported. Default: nothing is kept, and after a restart everybody is told again what fires.
	StateFile string
}

// Receiver is somebody who is told.
type Receiver struct {
	// Name tells receivers apart, in logs and in the state file. Required.
	Name string

	// Sender is how. Required: an *Alertmanager, a *Webhook, a *Slack, a *DingTalk, a *WeCom, or one of your own.
	Sender Sender

	// Match is which alerts: those that all of it fits. Default: all.
	Match []Matcher

	// Repeat is how often is told again what still fires. Default 4 hours, with an Alertmanager a minute, as it takes for resolved what
	// it does not hear of; -1 never.
	Repeat time.Duration

	// Timeout is how long one message may take. Default 10 seconds.
	Timeout time.Duration
}

func (r Receiver) withDefaults() Receiver {
	if _, ok := r.Sender.(*Alertmanager); ok {
		r.Repeat = resend
	}
	if r.Repeat == 0 {
		r.Repeat = 4 * time.Hour
	}
	if r.Timeout == 0 {
		r.Timeout = 10 * time.Second
	}
	return r
}

func (r Receiver) check(field string) error {
	var errs []error
	bad := func(name, value, problem string) {
		errs = append(errs, &sluice.ConfigError{Field: field + "." + name, Value: value, Problem: problem})
	}
	if r.Name == "" {
		bad("Name", "", "is required: it tells receivers apart")
	}
	if r.Sender == nil {
		bad("Sender", "", "is required: it says how alerts are told, as a *Webhook does")
	} else if c, ok := r.Sender.(checker); ok {
		if err := c.check(); err != nil {
			bad("Sender", "", err.Error())
		}
	}
	if r.Repeat != -1 && r.Repeat < time.Minute {
		bad("Repeat", r.Repeat.String(), "must be at least 1m0s; leave it out for 4h0m0s, -1 is never")
	}
	if r.Timeout < 0 {
		bad("Timeout", r.Timeout.String(), "must be above zero; leave it out for 10s")
	}
	return errors.Join(errs...)
}

// checker is a Sender that knows what is wrong with itself.
type checker interface{ check() error }

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Rules == nil {
		c.Rules = Rules()
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = 2 * time.Minute
	}
	rules := make([]Rule, len(c.Rules))
	for i, r := range c.Rules {
		rules[i] = r.withDefaults()
	}
	c.Rules = rules
	receivers := make([]Receiver, len(c.Receivers))
	for i, r := range c.Receivers {
		receivers[i] = r.withDefaults()
	}
	c.Receivers = receivers
	return c
}

// check returns all mistakes of a Config with its defaults, joined.
func (c Config) check() error {
	var errs []error
	bad := func(field, value, problem string) {
		errs = append(errs, &sluice.ConfigError{Field: field, Value: value, Problem: problem})
	}
	for name := range c.Labels {
		if problem := CheckLabel(name); problem != "" {
			bad("Labels", name, problem)
		}
	}
	for i, r := range c.Rules {
		if err := r.check(fmt.Sprintf("Rules[%d]", i)); err != nil {
			errs = append(errs, err)
		}
	}
	names := map[string]bool{}
	for i, r := range c.Receivers {
		field := fmt.Sprintf("Receivers[%d]", i)
		if err := r.check(field); err != nil {
			errs = append(errs, err)
		}
		if r.Name != "" && names[r.Name] {
			bad(field+".Name", r.Name, "is another receiver's name, too")
		}
		names[r.Name] = true
	}
	for i, s := range c.Silences {
		field := "Silences[" + strconv.Itoa(i) + "]"
		if len(s.Match) == 0 {
			bad(field+".Match", "", "is required: a silence without a matcher would be one of everything")
		}
		if s.Until.IsZero() {
			bad(field+".Until", "", "is required: a silence ends")
		}
	}
	if c.StaleAfter < 10*time.Second {
		bad("StaleAfter", c.StaleAfter.String(), "must be at least 10s; leave it out for 2m0s")
	}
	return errors.Join(errs...)
}
