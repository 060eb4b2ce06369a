// Bench runs the same job on every peer, side by side, in one run on one machine: JSON orders from a Kafka topic into a
// table of MariaDB, PostgreSQL and SQLite. The arms are
//
//	sluice                 `sluice run`, mode insert
//	sluice_upsert          `sluice run`, mode upsert
//	guide                  MariaDB: the loop of the usual guide: sarama, one insert a record, a commit every third
//	debezium               MariaDB: Kafka Connect standalone with Debezium's JDBC sink, mode insert, a task a partition
//	debezium_tuned         the same with batches of 3,000 records (default: 500) and the driver's bulk statements
//	handwritten            a franz-go loop with 1,000-row inserts that keeps its offsets in the same transaction
//	handwritten_parallel   the same with a goroutine and a transaction a partition; not SQLite, which has one writer
//
// The arms take turns, each in a process of its own, with a fresh table and a fresh group. What they wrote is counted and
// summed; an arm whose table is wrong fails the run. Rates are told per second, so the guide's loop may stop after a small
// part of the records. Debezium's process never ends: it is stopped. Its jars are fetched with Maven; where Java or
// Maven is missing it is left out, and that is told.
//
// The servers are started, or named by KAFKA_BROKERS, MYSQL_DSN and POSTGRES_DSN. Progress goes to standard error, one JSON object
// to standard output.
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

	"github.com/sluice-go/sluice/test/servers"
)

type options struct {
	records      int64
	guideRecords int64
	partitions   int

	rounds    int
	only      []string // the arms to run; nil: all
	databases []string // nil: all
	sluice    string   // the program; empty: built first
	output    string   // a file for the report, too
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
	var only, databases string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Int64Var(&o.records, "records", 600_000, "orders in the topic")
	flags.Int64Var(&o.guideRecords, "guide-records", 6_000, "orders after which the guide's loop may stop")
	flags.IntVar(&o.partitions, "partitions", 6, "partitions of the topic")
	flags.IntVar(&o.rounds, "rounds", 3, "times that each arm runs")
	flags.StringVar(&only, "arms", "", "only these arms, with commas (default all): "+strings.Join(armNames(), ","))
	flags.StringVar(&databases, "databases", "", "only these, with commas (default all): "+strings.Join(databaseNames(), ","))
	flags.StringVar(&o.sluice, "sluice", "", "the program to measure (default: built from this checkout)")
	flags.StringVar(&o.output, "o", "", "write the report to this file as well")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.records < 1 || o.guideRecords < 1 || o.partitions < 1 || o.rounds < 1 {
		return o, errors.New("-records, -guide-records, -partitions and -rounds must be positive")
	}
	if o.guideRecords > o.records {
		return o, errors.New("-guide-records must not be above -records")
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(armNames(), name) {
			return o, fmt.Errorf("-arms: there is no arm %q; there are %s", name, strings.Join(armNames(), ", "))
		}
	}
	if databases != "" {
		o.databases = strings.Split(databases, ",")
	}
	for _, name := range o.databases {
		if _, err := databaseOf(name); err != nil {
			return o, fmt.Errorf("-databases: %w", err)
		}
	}
	return o, nil
}

// bench runs the arms and writes the report.
func bench(ctx context.Context, o options) error {
	b, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	results, err := b.rounds(ctx)
	if err != nil {
		return err
	}
	return b.report(results).write(os.Stdout, o.output)
}
