// Consumer measures what consuming with Sluice costs, beside the loop that one would write by hand on the same client, beside goroutines
// that only sleep, and beside Confluent's Parallel Consumer. The jobs are
//
//	partition   in partition order, a handler that does nothing: against a raw loop, and while its metrics are scraped every second, or
//	            one in a hundred of its records is traced; and in key order, 1,024 keys, 64 workers
//	key         one partition in key order, a handler that does nothing: against Parallel Consumer
//	workers     one partition, 1,024 keys, a handler that takes 5 ms, 100 and 1,000 workers: against as many sleeping goroutines
//	crash       200,000 records, one of them stuck, SIGKILL: how many that were finished run again
//	rebalance   a fourth member joins and leaves: the longest gap of a partition that stays
//	backoff     how late a retry is, under full load
//	idle        1,000 partitions without a record: processor and memory
//	copy        to another topic: exactly once in transactions of 100 ms against at least once, and the client's own session
//
// Every arm runs in a process of its own, in turns; every round begins with another arm. Records have 256 B, topics 6 partitions unless
// said. Kafka is started, or named by KAFKA_BROKERS. Parallel Consumer needs javac and mvn; without them its arms are left out, and the
// report says so. Progress and a table go to standard error, one JSON object to standard output.
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
	"syscall"
	"time"

	"github.com/sluice-go/sluice/test/servers"
)

type options struct {
	only    []string // the jobs to run; nil: all
	arms    []string // of them; nil: all
	rounds  int      // 0: as each job says
	profile string   // a folder for CPU profiles; empty: none
	output  string   // a file for the report, too
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	const wrongUsage = 2
	if text := os.Getenv(taskVariable); text != "" {
		if err := runChild(ctx, text); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		return 0
	}
	o, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		return wrongUsage
	}
	defer servers.Stop()
	if err := bench(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	var only, arms string
	var names, armNames []string
	for _, j := range jobs() {
		names = append(names, j.name)
		for _, a := range j.arms {
			armNames = append(armNames, a.name)
		}
	}
	flags := flag.NewFlagSet("consumer", flag.ContinueOnError)
	flags.StringVar(&only, "jobs", "", "only these jobs, with commas (default all): "+strings.Join(names, ","))
	flags.StringVar(&arms, "arms", "", "only these arms of theirs, with semicolons, such as \"raw loop;by key\"")
	flags.IntVar(&o.rounds, "rounds", 0, "times that each arm runs (default 9 for the first two jobs, 5 for the others)")
	flags.StringVar(&o.profile, "profile", "", "write a CPU profile of every process into this folder")
	flags.StringVar(&o.output, "o", "", "write the report to this file as well")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.rounds < 0 {
		return o, errors.New("-rounds must not be negative")
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("-jobs: there is no job %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if arms != "" {
		o.arms = strings.Split(arms, ";")
	}
	for _, name := range o.arms {
		if !slices.Contains(armNames, name) {
			return o, fmt.Errorf("-arms: there is no arm %q; there are %s", name, strings.Join(armNames, "; "))
		}
	}
	return o, nil
}

// bench runs the jobs and writes the report.
func bench(ctx context.Context, o options) error {
	s, err := newStage(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	report := newReport()
	for _, j := range jobs() {
		if o.only != nil && !slices.Contains(o.only, j.name) {
			continue
		}
		began := time.Now()
		r, err := j.run(ctx, s)
		if err != nil {
			return fmt.Errorf("job %s: %w", j.name, err)
		}
		progressf("job %s took %v", j.name, time.Since(began).Round(time.Second))
		report.Jobs = append(report.Jobs, r)
	}
	return report.write(os.Stdout, o.output)
}

func progressf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
