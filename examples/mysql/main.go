// Command mysql writes orders to MySQL with one insert a record, as most guides do, and measures what a commit to Kafka after
// every record, every third, every hundredth and every second costs; then it does the same job with sqlsink: many rows a
// statement, offsets in the same transaction, exactly once.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
)

// Order is what a record holds.
type Order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Amount   int64  `json:"amount"`
}

func main() {
	topic := flag.String("topic", "orders", "topic, which must exist")
	count := flag.Int64("n", 2000, "orders that the topic holds; each way consumes so many")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compare(ctx, *topic, *count)
	stop()
	if err != nil {
		slog.Error("mysql", "err", err)
		os.Exit(1)
	}
}

func compare(ctx context.Context, topic string, count int64) (err error) {
	db, err := sql.Open("mysql", cmp.Or(os.Getenv("MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/test"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const table = `create table if not exists example_orders (
		way varchar(40), id bigint, customer varchar(100), amount bigint, primary key (way, id))`
	if _, err := db.ExecContext(ctx, table); err != nil {
		return err
	}
	ways := []struct {
		name   string
		commit sluice.Commit
	}{
		{"a commit after each record", sluice.EachRecord()},
		{"a commit after every third", sluice.EveryN(3)},
		{"a commit after every hundredth", sluice.EveryN(100)},
		{"a commit every second", sluice.Every(time.Second)},
	}
	for i, w := range ways {
		way := fmt.Sprintf("%d-%d", os.Getpid(), i)
		err := run(ctx, way, w.name, count, func(app *sluice.App) error {
			return sluice.Add(app, sluice.Route[Order]{
				Topics: []string{topic}, Decode: sluice.JSON[Order],
				// At least once: after a crash a record may come again, so the insert must bear that.
				Handle: func(ctx context.Context, m sluice.Message[Order]) error {
					const insert = "insert into example_orders values (?, ?, ?, ?) on duplicate key update amount = values(amount)"
					_, err := db.ExecContext(ctx, insert, way, m.Value.ID, m.Value.Customer, m.Value.Amount)
					return err // tried again, in order, with backoff
				},
				Policy: sluice.Policy{Commit: w.commit},
			})
		})
		if err != nil {
			return err
		}
	}
	way := fmt.Sprintf("%d-sink", os.Getpid())
	sink, err := sqlsink.New(sqlsink.Config[Order]{
		DB: db, Dialect: sqlsink.MySQL(mysqlNumber), Table: "example_orders",
		Columns: []sqlsink.Column{{Name: "way"}, {Name: "id"}, {Name: "customer"}, {Name: "amount"}},
		Row: func(m sluice.Message[Order]) (sqlsink.Row, error) {
			return sqlsink.Put(way, m.Value.ID, m.Value.Customer, m.Value.Amount), nil
		},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	if err := sink.Prepare(ctx); err != nil {
		return err
	}
	return run(ctx, way, "sqlsink, exactly once", count, func(app *sluice.App) error {
		return sluice.AddBatch(app, sluice.BatchRoute[Order]{
			Topics: []string{topic}, Decode: sluice.JSON[Order], Handle: sink.Handle, Offsets: sink,
		})
	})
}

// mysqlNumber tells package sqlsink, which imports no driver, what an error of this one says.
func mysqlNumber(err error) (number uint16, state string, ok bool) {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	if !ok {
		return 0, "", false
	}
	return e.Number, string(e.SQLState[:]), true
}

// run consumes count records in a group of its own, and prints what it cost.
func run(ctx context.Context, group, name string, count int64, add func(*sluice.App) error) error {
	app, err := sluice.New(sluice.Config{
		Brokers: strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "localhost:9092"), ","), Group: "example-" + group,
	})
	if err != nil {
		return err
	}
	if err := add(app); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	began := time.Now()
	go func() {
		for ctx.Err() == nil && app.Stats().Finished < count {
			time.Sleep(5 * time.Millisecond)
		}
		stop()
	}()
	if err := app.Run(ctx); err != nil {
		return err
	}
	s, took := app.Stats(), time.Since(began)
	if s.Finished < count {
		return errors.New("stopped before the end")
	}
	latency := s.CommitTime / time.Duration(max(1, s.Commits+s.CommitsFailed))
	fmt.Printf("%-32s %6d orders in %6.2f s, %5d commits of %v each\n",
		name+":", s.Finished, took.Seconds(), s.Commits, latency.Round(10*time.Microsecond))
	return nil
}
