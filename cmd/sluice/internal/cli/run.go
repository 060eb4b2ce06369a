package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
	"github.com/sluice-go/sluice/cmd/sluice/internal/listen"
	"github.com/sluice-go/sluice/cmd/sluice/internal/pipeline"
)

type runOptions struct {
	file     string
	check    bool
	caughtUp bool
	listen   listen.Options
	otlp     string // where spans go; empty: nowhere
	print    bool
	count    int // of records to print
}

// validate finds flags that have no sense together.
func (o runOptions) validate(cmd *cobra.Command) error {
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	switch {
	case !o.print && given("count"):
		return usagef("-n is the number of records to print; give --print as well")
	case o.count < 1:
		return usagef("-n %d: give a number of records from 1 on", o.count)
	}
	for _, other := range []string{"check", "until-caught-up", "listen"} {
		if o.print && given(other) {
			return usagef("--print writes nothing and ends by itself; leave --%s out", other)
		}
	}
	return nil
}

func newRun(p *Process) *cobra.Command {
	var flags kafkaFlags
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a pipeline: topics to a SQL table, or to another topic, exactly once",
		Long: `Runs the pipeline in a file until it is stopped: the first Ctrl-C (or SIGTERM) lets what runs end, commits and leaves the
group; the second one does not wait. Start it any number of times for more throughput, in as many processes as there are
partitions. At the end it prints one line of JSON on standard output.

With --print it is a dry run: for each of the first records it prints, as a line of JSON, the row or the record that a run would write,
or why it would write none. It joins no group, commits nothing, needs no database, and writes neither there nor to the dead letter topic.`,
		Example: "  sluice run orders.yaml --check\n  sluice run orders.yaml --print -n 3\n  sluice run orders.yaml --listen 9100",
		Args:    exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.file = args[0]
			if err := o.validate(cmd); err != nil {
				return err
			}
			spec, err := pipeline.Load(o.file, p.Env)
			if err != nil {
				return usageError{err}
			}
			if err := o.listen.Check(); err != nil {
				return usage(err)
			}
			cfg, err := flags.config(p, spec.Kafka)
			if err != nil {
				return err
			}
			if cfg, err = spec.Consumer(cfg); err != nil {
				return usageError{err}
			}
			if o.print {
				return (&printer{p: p, cfg: cfg, spec: spec, count: o.count}).run(cmd.Context())
			}
			if o.otlp, err = p.otlpURL(o.otlp); err != nil {
				return err
			}
			r, err := p.newRunner(cmd.Context(), spec, cfg, o)
			if err != nil {
				return configError(err)
			}
			err = r.run(cmd.Context())
			return errors.Join(err, r.close(context.WithoutCancel(cmd.Context())))
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&o.check, "check", false, "see whether file, brokers and sink fit, change nothing, and end")
	cmd.Flags().BoolVar(&o.caughtUp, "until-caught-up", false, "end when the group has committed what the topics hold at start")
	cmd.Flags().BoolVar(&o.print, "print", false, "dry run: print what the first records would become, and end")
	cmd.Flags().IntVarP(&o.count, "count", "n", defaultPrinted, "with --print, end after this many records, or at the topics' end")
	cmd.Flags().StringVar(&o.otlp, "otlp", "", "send spans to this URL by OTLP over HTTP, as http://127.0.0.1:4318; without it where\n"+
		"OTEL_EXPORTER_OTLP_ENDPOINT says, and else nowhere (docs/tracing.md)")
	p.logs.add(cmd.Flags())
	o.listen.AddFlags(cmd.Flags(), "", "/livez, /readyz, /snapshot.json and /metrics")
	return cmd
}

// runner is one run of a pipeline.
type runner struct {
	p      *Process
	o      runOptions
	cfg    sluice.Config
	spec   *pipeline.Spec
	sink   pipeline.Sink
	app    *sluice.App
	logger *slog.Logger
	flush  func(context.Context) // sends the spans that are left
}

// close closes the sink, and sends the spans that are left. Each has time of its own, so that a sink that hangs costs none of them.
func (r *runner) close(ctx context.Context) error {
	closing, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	err := r.sink.Close(closing)
	flushing, cancelFlush := context.WithTimeout(ctx, closeLimit)
	defer cancelFlush()
	r.flush(flushing)
	return err
}

func (p *Process) newRunner(ctx context.Context, spec *pipeline.Spec, cfg sluice.Config, o runOptions) (*runner, error) {
	r := &runner{p: p, o: o, spec: spec, logger: p.logger(), flush: func(context.Context) {}}
	cfg.Logger = r.logger
	r.cfg = cfg
	var err error
	var spans *pipeline.Spans
	if o.otlp != "" && !o.check {
		if spans, r.flush, err = p.trace(ctx, o.otlp, spec.Name, cfg.Group, r.logger); err != nil {
			return nil, err
		}
		cfg = spans.Tracer.App(cfg)
	}
	if r.app, err = sluice.New(cfg); err != nil {
		return nil, err
	}
	if r.sink, err = pipeline.Open(spec, cfg, r.logger, spans, o.check); err != nil {
		return nil, err
	}
	if err := r.sink.Add(r.app); err != nil {
		return nil, errors.Join(err, r.sink.Close(ctx))
	}
	return r, nil
}

func (r *runner) run(ctx context.Context) error {
	if r.o.check {
		return r.check(ctx)
	}
	caughtUp, err := r.prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("stopped before it had begun")
		}
		return err
	}
	if caughtUp != nil {
		defer caughtUp.close()
	}
	if r.o.listen.Address != "" {
		stop, err := r.serve(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	began := time.Now()
	if err := r.work(ctx, caughtUp); err != nil {
		return err
	}
	return r.summary(time.Since(began))
}

// both asks brokers and sink at once, each within the limit, and returns what is wrong with either. A topic is not asked about before a
// broker has answered.
func (r *runner) both(ctx context.Context, brokers, sink func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.p.ReachLimit)
	defer cancel()
	var wg sync.WaitGroup
	var brokerErr, sinkErr error
	wg.Go(func() {
		if brokerErr = kafka.Reach(ctx, r.cfg); brokerErr != nil {
			return
		}
		if r.spec.ToTopic() {
			wg.Go(func() { sinkErr = sink(ctx) })
		}
		brokerErr = brokers(ctx)
	})
	if !r.spec.ToTopic() {
		wg.Go(func() { sinkErr = sink(ctx) })
	}
	wg.Wait()
	return errors.Join(brokerErr, sinkErr)
}

func (r *runner) check(ctx context.Context) error {
	var found string
	err := r.both(ctx, r.app.Check, func(ctx context.Context) (err error) {
		found, err = r.sink.Check(ctx)
		return err
	})
	if err != nil {
		return err
	}
	topics := append([]string{}, r.spec.Topics...)
	if r.spec.DeadLetter != "" {
		topics = append(topics, r.spec.DeadLetter)
	}
	return errors.Join(
		r.p.printf("ok: %s", r.o.file),
		r.p.printf("ok: kafka %s: topics %s", strings.Join(r.cfg.Brokers, ","), strings.Join(topics, ", ")),
		r.p.printf("ok: %s", found),
	)
}

// prepare sees that everything is there before anything starts, and creates the tables that are missing. It returns what
// --until-caught-up waits for, or nil.
func (r *runner) prepare(ctx context.Context) (*caughtUp, error) {
	var until *caughtUp
	err := r.both(ctx, func(ctx context.Context) error {
		if err := r.app.Check(ctx); err != nil || !r.o.caughtUp {
			return err
		}
		client, err := kafka.NewClient(ctx, r.cfg)
		if err != nil {
			return err
		}
		until = &caughtUp{client: client, group: r.cfg.Group, app: r.app, logger: r.logger}
		until.bounds, err = kafka.ReadBounds(ctx, kadm.NewClient(client), r.cfg.ReadUncommitted, r.spec.Topics...)
		return err
	}, r.sink.Prepare)
	if err != nil && until != nil {
		until.close()
		until = nil
	}
	return until, err
}

// work runs the app until ctx ends, or the group has caught up.
func (r *runner) work(ctx context.Context, until *caughtUp) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	go func() { // ends with the run
		select {
		case <-r.p.Abort:
			r.app.Abort()
		case <-stopped:
		}
	}()
	var stuck error // read after wg.Wait
	if until != nil {
		wg.Go(func() {
			var done bool
			if done, stuck = until.wait(ctx); done {
				r.logger.Info("caught up", "group", r.cfg.Group)
			}
			cancel()
		})
	}
	wg.Go(func() { r.progress(ctx) })
	r.logger.Info("running", append([]any{
		"pipeline", r.spec.Name, "group", r.cfg.Group, "brokers", strings.Join(r.cfg.Brokers, ","),
		"topics", strings.Join(r.spec.Topics, ","),
	}, r.sink.LogAttrs()...)...)
	err := r.app.Run(ctx)
	unclean := errors.Is(err, sluice.ErrAborted) || errors.Is(err, sluice.ErrDrainTimeout)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !unclean {
		err = nil // stopped before it had joined
	}
	cancel()
	wg.Wait()
	return errors.Join(err, stuck)
}

// summary is the line for programs.
func (r *runner) summary(took time.Duration) error {
	stats := r.app.Stats()
	counts := r.sink.Counts(stats)
	const milli = 1000
	out := struct {
		Records      int64   `json:"records"`
		Rows         *int64  `json:"rows,omitempty"`    // of a table
		Written      *int64  `json:"written,omitempty"` // to a topic
		Skipped      int64   `json:"skipped"`
		DeadLettered int64   `json:"dead_lettered"`
		Seconds      float64 `json:"seconds"`
		PerSecond    float64 `json:"records_per_second"`
	}{
		Records: stats.Finished, Skipped: counts.Skipped, DeadLettered: stats.DeadLettered,
		Seconds:   math.Round(took.Seconds()*milli) / milli,
		PerSecond: math.Round(float64(stats.Finished) / took.Seconds()),
	}
	if out.Rows = &counts.Written; r.spec.ToTopic() {
		out.Rows, out.Written = nil, &counts.Written
	}
	line, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return r.p.printf("%s", line)
}
