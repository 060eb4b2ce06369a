package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/monitor"
)

const (
	lookInterval = time.Second
	looksMost    = 5 // rounds: with each, it is better known how old a record is
)

// look prints one look.
func (p *Process) look(ctx context.Context, cfg sluice.Config, o monitorOptions) error {
	reach, cancel := context.WithTimeout(ctx, p.ReachLimit)
	defer cancel()
	if err := kafka.Reach(reach, cfg); err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before it had looked")
		}
		return err
	}
	s, err := lookAt(ctx, cfg, o)
	if err != nil {
		return err
	}
	shown := o.filter.Of(s)
	switch o.output {
	case "json":
		err = shown.JSON(p.Stdout)
	case "yaml":
		err = shown.YAML(p.Stdout)
	default:
		err = shown.Table(p.Stdout, o.filter, p.width())
	}
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	var errs []error
	for _, problem := range shown.Problems {
		errs = append(errs, fmt.Errorf("not all can be seen: %s: %s", problem.What, problem.Error))
	}
	if err := o.matchesNothing(s); err != nil && len(shown.Groups) == 0 {
		return errors.Join(append(errs, err)...)
	}
	for _, why := range o.allowed.Exceeded(shown) {
		errs = append(errs, errors.New(why))
	}
	if len(shown.Groups) == 0 && len(errs) == 0 {
		p.errorf("sluice: the cluster has no groups, or none that we may see")
	}
	return errors.Join(errs...)
}

// matchesNothing says why filters show nothing of a snapshot; nil where there are none.
func (o *monitorOptions) matchesNothing(s *monitor.Snapshot) error {
	if o.group == "" && o.topic == "" {
		return nil
	}
	groups := 0
	for i := range s.Groups {
		if o.filter.Group == nil || o.filter.Group.MatchString(s.Groups[i].ID) {
			groups++
		}
	}
	switch {
	case groups > 0 && o.group != "":
		return fmt.Errorf("of the groups that match --group %q (%d), none reads a topic that matches --topic %q", o.group, groups, o.topic)
	case groups > 0 || o.group == "":
		return fmt.Errorf("no group reads a topic that matches --topic %q; there are %d groups", o.topic, len(s.Groups))
	default:
		return fmt.Errorf("there is no group that matches --group %q; %d have another name", o.group, len(s.Groups))
	}
}

// lookAt looks until it is known how old the records are that groups have not handled, or as often as helps.
func lookAt(ctx context.Context, cfg sluice.Config, o monitorOptions) (*monitor.Snapshot, error) {
	looking, enough := context.WithCancel(ctx)
	defer enough()
	var last *monitor.Snapshot
	m, err := monitor.New(monitor.Config{
		ClientOptions: cfg.ConnectOptions(), Interval: lookInterval, Logger: slog.New(slog.DiscardHandler),
		OnSnapshot: func(s *monitor.Snapshot) {
			if last = s; s.Round >= looksMost || o.filter.Known(s) {
				enough()
			}
		},
	})
	if err != nil {
		return nil, configError(err)
	}
	switch err := m.Run(looking); {
	case err != nil:
		return nil, fmt.Errorf("kafka: %w", err)
	case ctx.Err() != nil || last == nil:
		return nil, errors.New("stopped before it had looked")
	}
	for _, problem := range last.Problems {
		if problem.What == "metadata" {
			return nil, fmt.Errorf("kafka: %w", problem.Err)
		}
	}
	return last, nil
}

// width is that of the terminal that standard output is; 0 where it is none.
func (p *Process) width() int {
	file, ok := p.Stdout.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}
