package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/demo"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

const (
	demoDuration = 10 * time.Second
	demoRate     = 2000
	demoMostRate = 1_000_000
)

func newDemo(p *Process) *cobra.Command {
	var flags kafkaFlags
	var dsn string
	o := demo.Options{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it at work, with nothing installed",
		Long: `Produces orders, one in a hundred of them poison, has three members of a group write them to a SQL table, and counts at
the end, from the producer's acknowledgements, the table and the dead letter topic, whether any order was lost or
doubled. It runs on an embedded broker and SQLite in a temporary file, or on real servers with --brokers and --dsn, where
its topics and its table stay.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Duration <= 0:
				return usagef("--duration %v: not above zero", o.Duration)
			case o.Rate < 1 || o.Rate > demoMostRate:
				return usagef("--rate %d: give 1 to %d orders a second", o.Rate, demoMostRate)
			}
			if len(flags.brokers) > 0 || flags.properties != "" {
				cfg, err := flags.config(p, sluice.Config{})
				if err != nil {
					return err
				}
				o.Kafka = cfg
			}
			if dsn != "" {
				d, err := pipeline.ParseDSN(dsn, p.Env)
				if err != nil {
					return usagef("--dsn: %w", err)
				}
				o.DSN = &d
			}
			o.Output, o.Abort, o.ReachLimit = p.Stderr, p.Abort, p.ReachLimit
			if width, ok := p.terminal(); ok {
				o.Width = width
			}
			counted, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if counted.Strange > 0 {
				p.errorf("sluice: %d rows or dead letters are of no order that was acknowledged", counted.Strange)
			}
			if err := p.printf("%s", counted); err != nil {
				return err
			}
			if !counted.Good() {
				return errors.New("not every order arrived once")
			}
			return nil
		},
	}
	flags.add(cmd)
	// The embedded broker is the default here, whatever the environment says.
	cmd.Flags().Lookup("brokers").Usage = "real brokers, host:port,… (default: the embedded one)"
	cmd.Flags().StringVar(&dsn, "dsn", "", "a real database, mysql://… or postgres://… (default: SQLite in a temporary file)")
	cmd.Flags().DurationVar(&o.Duration, "duration", demoDuration, "how long orders are produced")
	cmd.Flags().IntVar(&o.Rate, "rate", demoRate, "orders a second")
	return cmd
}
