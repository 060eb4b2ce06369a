// Chaos starts three real brokers and real databases, writes a numbered ledger to a topic, lets jobs read it as processes of their own, and
// breaks all of it for a bounded time and from a seed: processes killed and frozen, brokers and databases killed, networks cut. A
// checker then reads what every job has put out, and says what was lost, came twice, or came out of order.
//
//	cd test && go run ./chaos -seed 7 -duration 5m
//
// The last line on standard output is the verdict, and the exit status says the same: 0 it held, 1 it did not, 2 it could not run.
// The folder of -o gets report.json, timeline.html, and the members' journals and logs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	if text := os.Getenv(taskVariable); text != "" {
		os.Exit(memberMain(text))
	}
	os.Exit(run())
}

// settings are what one run is made of.
type settings struct {
	seed     uint64
	duration time.Duration // in which faults are made
	rate     int           // records a second
	jobs     []job
	out      string
}

func run() int {
	s, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := chaos(ctx, s, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 2
	}
	fmt.Fprintln(os.Stdout, r.Verdict)
	if !r.Held {
		return 1
	}
	return 0
}

func parse(args []string) (settings, error) {
	s := settings{}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&s.seed, "seed", 1, "what decides about the faults")
	flags.DurationVar(&s.duration, "duration", 5*time.Minute, "for how long faults are made; the end takes up to 4 minutes more")
	flags.IntVar(&s.rate, "rate", 200, "records a second")
	names := flags.String("jobs", "", "which of them, with commas (all): "+strings.Join(jobNames(), ", "))
	flags.StringVar(&s.out, "o", "", "the folder for the report and the journals (a new one below the temporary folder)")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	var err error
	if s.jobs, err = chosen(*names); err != nil {
		return s, err
	}
	switch {
	case flags.NArg() > 0:
		return s, fmt.Errorf("%q is no flag", flags.Arg(0))
	case s.duration < 10*time.Second:
		return s, fmt.Errorf("-duration %v: at least 10 s, so that there is a fault", s.duration)
	case s.rate < 1:
		return s, fmt.Errorf("-rate %d: at least one record a second", s.rate)
	}
	if s.out == "" {
		s.out, err = os.MkdirTemp("", "sluice-chaos-")
	} else {
		err = os.MkdirAll(s.out, 0o750)
	}
	return s, err
}
