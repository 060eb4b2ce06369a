// Member is one of three processes that hand orders on, each with its spans sent by OTLP to where OpenTelemetry's variables say:
//
//	produce   sends orders, each in a span of its own, as a request would be, and ends
//	bill      writes a bill of each order to a topic, and the order to a database, exactly once, until it is stopped
//	ship      writes the bills to a database, until it is stopped
//
// The last two print how many they have written, a batch a line.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	_ "modernc.org/sqlite" // the database

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/sqlsink"
	"github.com/sluice-go/sluice/tracing"
)

type member struct {
	brokers  []string
	database string // its file
	parent   bool
	records  int

	orders, bills string // topics

	provider *sdk.TracerProvider
	tracer   *tracing.Tracer
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var m member
	brokers := flag.String("brokers", "", "host:port, with commas")
	flag.StringVar(&m.database, "database", "", "the file of the database")
	flag.StringVar(&m.orders, "orders", "orders", "the topic of orders")
	flag.StringVar(&m.bills, "bills", "bills", "the topic of bills")
	flag.BoolVar(&m.parent, "parent", false, "process spans are children, of batches of one record")
	flag.IntVar(&m.records, "records", 0, "orders to send")
	flag.Parse()
	m.brokers = strings.Split(*brokers, ",")
	roles := map[string]func(context.Context) error{"produce": m.produce, "bill": m.bill, "ship": m.ship}
	role := roles[flag.Arg(0)]
	if role == nil {
		return fmt.Errorf("no role: %q", flag.Args())
	}
	if err := m.trace(ctx); err != nil {
		return err
	}
	err = role(ctx)
	const flush = time.Second
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), flush)
	defer cancel()
	if lost := m.provider.Shutdown(ending); lost != nil {
		fmt.Fprintln(os.Stderr, "spans were not sent:", lost) // which is no failure of what it did
	}
	return err
}

func (m *member) trace(ctx context.Context) error {
	var exporter sdk.SpanExporter
	var err error
	if os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" {
		exporter, err = otlptracegrpc.New(ctx)
	} else {
		exporter, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return err
	}
	m.provider = sdk.NewTracerProvider(sdk.WithBatcher(exporter))
	m.tracer, err = tracing.New(tracing.Config{
		Parent: m.parent, TracerProvider: m.provider,
		Propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	})
	return err
}

func (m *member) produce(ctx context.Context) error {
	p, err := sluice.NewProducer(m.tracer.Producer(sluice.ProducerConfig{Brokers: m.brokers}))
	if err != nil {
		return err
	}
	for i := range m.records {
		request, span := m.provider.Tracer("web").Start(ctx, "POST /orders", trace.WithSpanKind(trace.SpanKindServer))
		err = errors.Join(err, p.Send(request, &kgo.Record{Topic: m.orders, Value: strconv.AppendInt(nil, int64(i), 10)}))
		span.End()
	}
	return errors.Join(err, p.Close(context.WithoutCancel(ctx)))
}

func (m *member) bill(ctx context.Context) error {
	p, err := sluice.NewProducer(m.tracer.Producer(sluice.ProducerConfig{Brokers: m.brokers}))
	if err != nil {
		return err
	}
	err = m.consume(ctx, m.orders, func(ctx context.Context, b sluice.Batch[string]) error {
		bills := make([]*kgo.Record, len(b.Messages))
		for i, order := range b.Messages {
			bills[i] = &kgo.Record{Topic: m.bills, Value: []byte(order.Value)}
		}
		return p.Send(ctx, bills...)
	})
	return errors.Join(err, p.Close(context.WithoutCancel(ctx)))
}

func (m *member) ship(ctx context.Context) error {
	return m.consume(ctx, m.bills, func(context.Context, sluice.Batch[string]) error { return nil })
}

// consume writes a topic to the table of the database, after what is done first with each batch.
func (m *member) consume(ctx context.Context, topic string, first func(context.Context, sluice.Batch[string]) error) error {
	db, err := sql.Open("sqlite", m.database)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, "create table if not exists records (value text)"); err != nil {
		return err
	}
	sink, err := sqlsink.NewTx(sqlsink.TxConfig[string]{DB: db, Dialect: sqlsink.SQLite(), Work: m.insert})
	if err != nil {
		return err
	}
	if err := sink.Prepare(ctx); err != nil {
		return err
	}
	app, err := sluice.New(m.tracer.App(sluice.Config{Brokers: m.brokers, Group: topic}))
	if err != nil {
		return err
	}
	most := 0 // the default
	if m.parent {
		most = 1
	}
	err = sluice.AddBatch(app, sluice.BatchRoute[string]{
		Topics: []string{topic}, Decode: sluice.Text, MaxSize: most, Offsets: sink,
		Handle: tracing.ProcessBatch(m.tracer, topic, func(ctx context.Context, b sluice.Batch[string]) error {
			if err := first(ctx, b); err != nil {
				return err
			}
			err := sink.Handle(ctx, b)
			if err == nil {
				fmt.Println("wrote", len(b.Messages))
			}
			return err
		}),
	})
	if err == nil {
		err = app.Run(ctx)
	}
	return errors.Join(err, sink.Close())
}

// insert writes a batch, each record in a span, as an instrumented driver makes them.
func (m *member) insert(ctx context.Context, tx *sqlsink.Tx, b sluice.Batch[string]) error {
	for _, message := range b.Messages {
		ctx, span := m.provider.Tracer("sql").Start(ctx, "insert records", trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(attribute.String("db.system.name", "sqlite")))
		_, err := tx.ExecContext(ctx, "insert into records values (?)", message.Value)
		span.End()
		if err != nil {
			return err
		}
	}
	return nil
}
