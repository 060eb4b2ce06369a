// Producer measures how fast records of 256 B are written, acknowledged by all in-sync replicas and idempotent, and what that costs
// the process that writes them. The arms are
//
//	sluice   sluice.Producer: Enqueue with a callback
//	franz    franz-go's client, which Sluice stands on: Produce with a promise, the same options
//	sarama   sarama's AsyncProducer, idempotent, with a goroutine that reads the successes
//
// The arms take turns, each in a process of its own with a topic of its own, whose records are counted afterwards. Every round
// begins with another arm.
//
// Kafka is started, or named by KAFKA_BROKERS. Progress goes to standard error, one JSON object to standard output.
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
	records    int64
	partitions int
	rounds     int
	linger     time.Duration
	only       []string // the arms to run; nil: all
	output     string   // a file for the report, too
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx)
	stop()
	os.Exit(code)
}

func run(ctx context.Context) int {
	const wrongUsage = 2
	if text := os.Getenv(jobVariable); text != "" {
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
	var only string
	flags := flag.NewFlagSet("producer", flag.ContinueOnError)
	flags.Int64Var(&o.records, "records", 2_000_000, "records that each arm writes in a round")
	flags.IntVar(&o.partitions, "partitions", 6, "partitions of each topic")
	flags.IntVar(&o.rounds, "rounds", 7, "times that each arm runs")
	flags.DurationVar(&o.linger, "linger", 0, "how long batches of sluice and franz wait for more records")
	flags.StringVar(&only, "arms", "", "only these arms, with commas (default all): "+strings.Join(armNames(), ","))
	flags.StringVar(&o.output, "o", "", "write the report to this file as well")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.records < 1 || o.partitions < 1 || o.rounds < 1 || o.linger < 0 {
		return o, errors.New("-records, -partitions and -rounds must be positive, and -linger not negative")
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(armNames(), name) {
			return o, fmt.Errorf("-arms: there is no arm %q; there are %s", name, strings.Join(armNames(), ", "))
		}
	}
	return o, nil
}

func progressf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
