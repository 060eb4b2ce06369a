package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"github.com/sluice-go/sluice"
	"github.com/sluice-go/sluice/cmd/sluice/internal/kafka"
)

type consumeOptions struct {
	topic      string
	partitions []int
	from, to   string
	count      int64
	exit       bool
	output     string
	layout     string
	separator  string
	null       string
	isolation  string
}

func newConsume(p *Process) *cobra.Command {
	var flags kafkaFlags
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume -t TOPIC",
		Short: "Print the records of a topic, a line each",
		Long: `Prints the values of a topic's records, a line each, and follows the topic until Ctrl-C. It ends before that when -n records
were printed, with -e at what is the end of the topic at start, and with --to at that place. It is no member of any group
and commits nothing. Order holds within a partition.

--from and --to take an offset, a time as in 2026-01-31T08:00:00Z, or an age as in -1h30m. A time is the first record of
that time or later, in each partition. --from takes earliest, latest and -N as well, the last N of each partition, and --to
takes now. The record at --to is not printed; --to does not wait for records that are not there yet.

Records of aborted transactions, and of those still open, are not printed, unless --isolation is read_uncommitted; the
markers of transactions never are. isolation.level and auto.offset.reset of --properties hold where --isolation and --from
are not given.

-k prints key, separator and value, and --null what stands for a null one. -o json prints a line of JSON a record, which
sluice produce -f json takes: topic, partition, offset, timestamp, key, value and headers. Bytes that are not UTF-8 are
base64, in key_base64 or value_base64. --format prints what it says:

  %t topic   %p partition  %o offset  %d{go#15:04:05.000#} timestamp  %k key  %K its length  %v value  %V its length
  %h{%k=%v } headers  %H their number  %k{hex} %v{base64} bytes  \n \t the line's end, and a tab  %% a percent sign`,
		Example: `  sluice consume -t orders.dlq -e
  sluice consume -t orders --from -10
  sluice consume -t orders --from 2026-01-31T08:00:00Z --to 2026-01-31T09:00:00Z
  sluice consume -t orders -p 3 --from 1200 -n 1 -o json
  sluice consume -t orders --from -15m --format '%p/%o %k %h{%k=%v }\n'`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w, writer, err := o.check(p)
			if err != nil {
				return err
			}
			cfg, err := flags.config(p, sluice.Config{})
			if err != nil {
				return err
			}
			return p.consume(cmd.Context(), cfg, o, w.complete(cfg, cmd.Flags().Changed), writer)
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.topic, "topic", "t", "", "topic to read (required)")
	f.IntSliceVarP(&o.partitions, "partition", "p", nil, "partitions to read, as in 0,3 (default: all)")
	f.StringVar(&o.from, "from", "earliest", "where to start: earliest, latest, -N, an offset, a time or an age")
	f.StringVar(&o.to, "to", "", "where to end: now, an offset, a time or an age (default: do not end)")
	f.Int64VarP(&o.count, "count", "n", 0, "end after this many records (default: do not end)")
	f.BoolVarP(&o.exit, "exit", "e", false, "end at what is the end of the topic at start, as --to now")
	f.StringVarP(&o.output, "output", "o", "text", "text, or json: a line of JSON a record")
	f.StringVar(&o.layout, "format", "", "what to print of a record, as in '%p %o %k %v\\n'")
	f.StringVarP(&o.separator, "key-separator", "k", "", `print the key, this and the value, as in : or \t (default: the value alone)`)
	f.StringVar(&o.null, "null", "", "what to print for a null key or value (default: nothing)")
	f.StringVar(&o.isolation, "isolation", "read_committed", "read_committed or read_uncommitted")
	return cmd
}

func (o *consumeOptions) check(p *Process) (window, *recordWriter, error) {
	var errs []error
	bad := func(err error) { errs = append(errs, err) }
	w := window{topic: o.topic, uncommitted: o.isolation == "read_uncommitted"}
	for _, n := range o.partitions {
		if n < 0 || n > math.MaxInt32 {
			bad(usagef("-p %d: give a partition's number, from 0 to %d", n, math.MaxInt32))
		}
		w.partitions = append(w.partitions, int32(n))
	}
	if o.topic == "" {
		bad(usagef("-t: name the topic to read"))
	}
	if o.count < 0 {
		bad(usagef("-n %d: a negative number of records", o.count))
	}
	if !w.uncommitted && o.isolation != "read_committed" {
		bad(usagef("--isolation %q: neither read_committed nor read_uncommitted", o.isolation))
	}
	if o.output != "text" && o.output != "json" {
		bad(usagef("-o %q: neither text nor json", o.output))
	}
	if (o.output == "json" || o.layout != "") && (o.separator != "" || o.null != "") {
		bad(usagef("-k, --null: for lines of text; -o json and --format say themselves what is printed"))
	}
	if o.output == "json" && o.layout != "" {
		bad(usagef("-o json, --format: one of them"))
	}
	now := time.Now()
	var err error
	if w.from, err = parseFrom(o.from, now); err != nil {
		bad(err)
	}
	w.to = position{kind: atEnd}
	if o.to != "" {
		if w.to, err = parseTo(o.to, now); err != nil {
			bad(err)
		}
		o.exit = true
	}
	writer, err := newRecordWriter(p.Stdout, o)
	if err != nil {
		bad(err)
	}
	return w, writer, errors.Join(errs...)
}

func (p *Process) consume(ctx context.Context, cfg sluice.Config, o consumeOptions, w window, out *recordWriter) error {
	client, bounds, err := p.openWindow(ctx, cfg, w)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer client.Close()
	// Whoever reads may stop doing so: that is an error of a write then, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	stopShowing := p.showReading(&o, bounds, out)
	err = out.copy(ctx, client, bounds, o.exit, o.count)
	stopShowing()
	if flushErr := out.out.Flush(); flushErr != nil && !hungUp(flushErr) {
		err = errors.Join(err, fmt.Errorf("write to standard output: %w", flushErr))
	}
	return err
}

// showReading tells on a terminal how far it is, where the records go elsewhere.
func (p *Process) showReading(o *consumeOptions, bounds map[int32]kafka.Bound, out *recordWriter) (stop func()) {
	_, live := p.terminal()
	if file, ok := p.Stdout.(*os.File); !live || ok && term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	out.gauge = &gauge{name: o.topic, unit: "records"}
	switch {
	case o.exit:
		for _, b := range bounds {
			out.gauge.whole += max(b.End-b.Start, 0)
		}
		if o.count > 0 {
			out.gauge.whole = min(out.gauge.whole, o.count)
		}
	default:
		out.gauge.whole = o.count
	}
	return p.show(out.gauge)
}

// copy prints what the client reads: with toEnd up to the bounds' ends, with count so many records, else until ctx ends.
func (w *recordWriter) copy(ctx context.Context, client *kgo.Client, bounds map[int32]kafka.Bound, toEnd bool, count int64) error {
	next := map[int32]int64{}
	for partition, b := range bounds {
		next[partition] = b.Start
	}
	for !toEnd || behind(next, bounds) {
		if w.out.Flush() != nil { // told by the caller
			return nil
		}
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			if errors.Is(e.Err, kerr.OffsetOutOfRange) {
				return fmt.Errorf("topic %s partition %d: offset %d has been deleted by now; start again",
					e.Topic, e.Partition, next[e.Partition])
			}
			return fmt.Errorf("topic %s partition %d: %w", e.Topic, e.Partition, sluice.Explain(e.Err, "READ", e.Topic))
		}
		for r := range fetches.RecordsAll() {
			beyond := toEnd && r.Offset >= bounds[r.Partition].End
			if !beyond && w.gauge != nil {
				w.gauge.done.Add(r.Offset + 1 - next[r.Partition])
			}
			next[r.Partition] = r.Offset + 1
			if r.Attrs.IsControl() || beyond {
				continue
			}
			w.write(r)
			if count > 0 && w.written == count {
				return nil
			}
		}
	}
	return nil
}

func behind(next map[int32]int64, bounds map[int32]kafka.Bound) bool {
	for partition, b := range bounds {
		if next[partition] < b.End {
			return true
		}
	}
	return false
}

// openWindow makes a client that reads each partition from where the window starts.
func (p *Process) openWindow(ctx context.Context, cfg sluice.Config, w window) (*kgo.Client, map[int32]kafka.Bound, error) {
	reach, cancel := context.WithTimeout(ctx, p.ReachLimit)
	defer cancel()
	client, err := kafka.NewClient(reach, cfg, kgo.FetchIsolationLevel(isolation(w.uncommitted)), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err != nil {
		return nil, nil, err
	}
	bounds, err := w.resolve(reach, kadm.NewClient(client))
	if err != nil {
		client.Close()
		if reach.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w (no answer within %v)", err, p.ReachLimit)
		}
		return nil, nil, err
	}
	offsets := map[int32]kgo.Offset{}
	for partition, b := range bounds {
		offsets[partition] = kgo.NewOffset().At(b.Start)
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{w.topic: offsets})
	return client, bounds, nil
}
