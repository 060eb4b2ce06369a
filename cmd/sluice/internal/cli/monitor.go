package cli

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/listen"
	"github.com/sluice-go/sluice/cmd/sluice/internal/view"
	"github.com/sluice-go/sluice/monitor"
	"github.com/sluice-go/sluice/monitor/alert"
	"github.com/sluice-go/sluice/monitor/exporter"
)

const garbage = 50 // percent of what is in use, as in GOGC

const monitorAddress = "127.0.0.1:9308" // kafka_exporter's port

type monitorOptions struct {
	once         bool
	output       string
	group, topic string
	limit        string
	filter       view.Filter
	allowed      view.Limit
	interval     time.Duration
	alerts       string // a file
	by, compat   string
	exported     exporter.Config
	listen       listen.Options
}

func newMonitor(p *Process) *cobra.Command {
	var flags kafkaFlags
	var o monitorOptions
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Watch all groups of a cluster: who lags, by how much time, and why",
		Long: `Watches all groups of a cluster, of any client, until it is stopped, and serves what it sees on --listen: /metrics,
/snapshot.json, /livez and /readyz, and Burrow's answers under /v3/kafka. It asks the brokers in the
background; a scrape waits for nobody. It changes nothing in the cluster.

With --once it prints one look, the worst first, and ends. TIME-LAG is the age of the oldest record that a group has not handled. One look
knows no trend: LAGS may be a group that is stuck, or one that is about to catch up.

In a script, --fail-if-lag-above ends with 1 when a group is further behind, or when that cannot be said.`,
		Example: `  sluice monitor --once
  sluice monitor --once --group '^billing$' --partitions
  sluice monitor --once -o json --fail-if-lag-above 5m
  sluice monitor -b kafka:9092 --listen 9308 --alerts alerts.yaml`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
				return err
			}
			cfg, err := flags.config(p, sluice.Config{})
			if err != nil {
				return err
			}
			if o.once {
				return p.look(cmd.Context(), cfg, o)
			}
			return p.watch(cmd.Context(), cfg, o)
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.once, "once", false, "print one look, and end")
	f.StringVarP(&o.output, "output", "o", "text", "with --once: text, json or yaml")
	f.StringVar(&o.group, "group", "", "with --once: groups whose name has a match of this regular expression")
	f.StringVar(&o.topic, "topic", "", "with --once: topics whose name has one")
	f.BoolVar(&o.filter.Partitions, "partitions", false, "with --once: a line for each partition")
	f.StringVar(&o.limit, "fail-if-lag-above", "", "with --once: end with 1 when a lag is above this many records, or this time, as in 5m")
	f.DurationVar(&o.interval, "interval", 10*time.Second, "time from one look to the next")
	f.StringVar(&o.alerts, "alerts", "", "a YAML file that says who is told when a group lags, stalls or stops (docs/alerts.md)")
	f.StringVar(&o.by, "by", "topic", "what /metrics tells the groups' lags by: topic, or partition as well, three series each")
	f.StringVar(&o.compat, "compat", "", "kafka_exporter: tell its names at /metrics as well")
	p.logs.add(f)
	o.listen.AddFlags(f, monitorAddress, "/metrics, /snapshot.json, /v3/kafka, /livez and /readyz")
	return cmd
}

// check finds flags that have no sense, alone or together.
func (o *monitorOptions) check(cmd *cobra.Command) error {
	var errs []error
	var err error
	given := cmd.Flags().Changed
	alone := []string{
		"interval", "alerts", "by", "compat", "listen", "listen-config", "listen-host", "listen-token-file", "insecure", "log-format",
	}
	with := []string{"output", "group", "topic", "partitions", "fail-if-lag-above"}
	for _, name := range alone {
		if o.once && given(name) {
			errs = append(errs, usagef("--once serves nothing and ends by itself; leave --%s out", name))
		}
	}
	for _, name := range with {
		if !o.once && given(name) {
			errs = append(errs, usagef("--%s is about what --once prints; give --once as well", name))
		}
	}
	switch o.output {
	case "text", "json", "yaml":
	default:
		errs = append(errs, usagef("-o %q: give text, json or yaml", o.output))
	}
	switch o.by {
	case "topic", "partition":
		o.exported.Partitions = o.by == "partition"
	default:
		errs = append(errs, usagef("--by %q: give topic or partition", o.by))
	}
	switch o.compat {
	case "", "kafka_exporter":
		o.exported.KafkaExporter = o.compat != ""
	default:
		errs = append(errs, usagef("--compat %q: the only other names are those of kafka_exporter", o.compat))
	}
	for _, pattern := range []struct {
		flag, text string
		to         **regexp.Regexp
	}{{"group", o.group, &o.filter.Group}, {"topic", o.topic, &o.filter.Topic}} {
		if pattern.text == "" {
			continue
		}
		if *pattern.to, err = regexp.Compile(pattern.text); err != nil {
			errs = append(errs, usagef("--%s: %w", pattern.flag, err))
		}
	}
	if given("fail-if-lag-above") {
		if o.allowed, err = view.ParseLimit(o.limit); err != nil {
			errs = append(errs, usagef("--fail-if-lag-above %w", err))
		}
	}
	o.filter.OneLook = o.once
	if !o.once && o.listen.Address == "" {
		errs = append(errs, usagef("--listen is empty; give an address, such as %s", monitorAddress))
	}
	if !o.once {
		if err := o.listen.Check(); err != nil {
			errs = append(errs, usage(err))
		}
	}
	return errors.Join(errs...)
}

// watch watches until ctx ends.
func (p *Process) watch(ctx context.Context, cfg sluice.Config, o monitorOptions) error {
	// Snapshots are large, and each is garbage soon: memory would double between two collections, for little CPU that is saved.
	if _, given := p.Env("GOGC"); !given {
		defer debug.SetGCPercent(debug.SetGCPercent(garbage))
	}
	logger := p.logger()
	w := &watch{logger: logger, interval: o.interval, brokers: strings.Join(cfg.Brokers, ",")}
	m, err := monitor.New(monitor.Config{
		ClientOptions: cfg.ConnectOptions(), Interval: o.interval, Logger: logger, OnSnapshot: w.saw,
	})
	if err != nil {
		return configError(err)
	}
	w.monitor = m
	paths := "/metrics /snapshot.json /v3/kafka /livez /readyz"
	if o.alerts != "" {
		if w.alerter, err = p.alerter(o.alerts, o.interval, logger); err != nil {
			return err
		}
		paths += " /alerts.json"
	}
	logger.Info("monitoring", "brokers", w.brokers, "interval", o.interval)
	address, stop, err := o.listen.Serve(ctx, w.handler(exporter.New(m.Snapshot, o.exported)), logger)
	if err != nil {
		return err
	}
	defer stop()
	logger.Info("listening", "address", address.String(), "paths", paths)
	return w.run(ctx)
}

// watch is a monitor that is served.
type watch struct {
	monitor  *monitor.Monitor
	alerter  *alert.Alerter // nil without --alerts
	logger   *slog.Logger
	interval time.Duration
	brokers  string
	statuses map[string]monitor.Status // of the rounds alone
}

const toldAtOnce = 20 // groups, of one round

// see logs which groups have got another status.
func (w *watch) see(s *monitor.Snapshot) {
	now, told := make(map[string]monitor.Status, len(s.Groups)), 0
	for i := range s.Groups {
		g := &s.Groups[i]
		was, is := w.statuses[g.ID], g.Status
		now[g.ID] = is
		bad, wasBad := is > monitor.OK, was > monitor.OK
		if is == was || !bad && !wasBad {
			continue
		}
		if told++; told > toldAtOnce {
			continue
		}
		tell := w.logger.Info
		if bad {
			tell = w.logger.Warn
		}
		tell("a group's status changed", "group", g.ID, "status", is.String(), "was", was.String(),
			"state", g.State, "lag", g.Lag, "time_lag", g.TimeLag.Behind.Round(time.Second))
	}
	if told > toldAtOnce {
		w.logger.Warn("more groups' statuses changed", "groups", told-toldAtOnce)
	}
	if w.statuses == nil && len(s.Problems) == 0 {
		w.logger.Info("the first look is done", "groups", len(s.Groups), "topics", len(s.Topics), "took", s.Took.Round(time.Millisecond))
	}
	w.statuses = now
}
