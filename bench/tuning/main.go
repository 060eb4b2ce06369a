// Command tuning measures what the well-known advice about Kafka is worth: throughput, p99 latency and requests a second against
// batch size, linger, compression, fetch.min.bytes and commit frequency, through package sluice on a real broker. It draws
// a picture of each sweep and writes the numbers beside it:
//
//	cd bench && go run ./tuning -o ../docs/tuning
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/sluice-go/sluice/test/servers"
)

type options struct {
	output  string
	only    string
	seconds float64
	rounds  int
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tuning:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	var o options
	flags := flag.NewFlagSet("tuning", flag.ContinueOnError)
	flags.StringVar(&o.output, "o", "", "folder for the pictures and their numbers (default: numbers to stdout, no pictures)")
	flags.StringVar(&o.only, "only", "", "only these sweeps, with commas: "+strings.Join(sweepNames(), ","))
	flags.Float64Var(&o.seconds, "seconds", 3, "how long each point is measured")
	flags.IntVar(&o.rounds, "rounds", 3, "times that each point is measured; the median counts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen := sweeps
	if o.only != "" {
		names := strings.Split(o.only, ",")
		for _, n := range names {
			if !slices.Contains(sweepNames(), n) {
				return fmt.Errorf("no sweep %q; there are %s", n, strings.Join(sweepNames(), ", "))
			}
		}
		chosen = slices.DeleteFunc(slices.Clone(sweeps), func(s sweep) bool { return !slices.Contains(names, s.Name) })
	}
	s, err := newStage(time.Duration(o.seconds * float64(time.Second)))
	if err != nil {
		return err
	}
	defer servers.Stop()
	defer s.close()
	for _, sw := range chosen {
		measured, err := sw.run(ctx, s, o.rounds)
		if err != nil {
			return errors.Join(fmt.Errorf("sweep %s: %w", sw.Name, err), ctx.Err())
		}
		if err := publish(measured, o.output); err != nil {
			return err
		}
	}
	return nil
}
